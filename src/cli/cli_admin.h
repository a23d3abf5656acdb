/* SPDX-License-Identifier: Apache-2.0 */
/* What every command that asks the daemon's admin socket does first. */
#ifndef P11KMS_CLI_ADMIN_H
#define P11KMS_CLI_ADMIN_H

#include "admin_client.h"
#include "cli_connect.h"

#define CLI_ADMIN_OPTION                                                                           \
    {                                                                                              \
        "admin-socket", "unix://PATH", "the daemon's admin socket (default: the configuration's)"  \
    }

struct cli_admin {
    struct admin_client *client;
    int timeout_ms;
    char socket_path[SOCKET_PATH_MAX + 1];
};

void cli_admin_close(struct cli_admin *admin);
#define AUTO_ADMIN CLEANUP(cli_admin_close)

/* Follows --admin-socket, --config and --timeout (fallback_ms where it is not given), without
 * connecting. Prints what is wrong. */
MUST_CHECK struct err cli_admin_target(struct cli *cli, int fallback_ms, struct cli_admin *ret);

/* The same, and connects. Prints also what to do when nobody listens. */
MUST_CHECK struct err cli_admin_open(struct cli *cli, int fallback_ms, struct cli_admin *ret);

/* Prints why a call failed and what to do; returns e. */
MUST_CHECK struct err cli_admin_failed(struct cli *cli, struct err e,
                                       const struct kms_failure *failure);

/* The one argument, a key_id. Prints that it is missing. */
MUST_CHECK struct err cli_key_id(struct cli *cli, const char **ret);

#endif
