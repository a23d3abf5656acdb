/* SPDX-License-Identifier: Apache-2.0 */
/* What every command that speaks to a plugin does first. */
#ifndef P11KMS_CLI_CONNECT_H
#define P11KMS_CLI_CONNECT_H

#include "cli.h"
#include "config.h"
#include "kms_client.h"

/* The options of these commands, for their rows. */
#define CLI_SOCKET_OPTION                                                                          \
    {                                                                                              \
        "socket", "unix://PATH", "the plugin's socket (default: the configuration's)"              \
    }
#define CLI_API_OPTION                                                                             \
    {                                                                                              \
        "api", "VERSION", "v2 (default), v2alpha1 or v1beta1"                                      \
    }
#define CLI_TIMEOUT_OPTION                                                                         \
    {                                                                                              \
        "timeout", "TIME", "how long to wait, such as 500ms or 3s (default 3s)"                    \
    }
#define CLI_JSON_OPTION                                                                            \
    {                                                                                              \
        "json", NULL, "print one JSON object"                                                      \
    }

/* --config, read. Says what is wrong with it. */
MUST_CHECK struct err cli_config(struct cli *cli, struct config *ret);

/* The path in "unix://PATH" or a plain path; NULL when it is neither. Borrowed from text. */
const char *cli_socket_path(const char *text);

/* The path in an option that was given. Prints what is wrong with it. */
MUST_CHECK struct err cli_given_socket(struct cli *cli, const char *option,
                                       char ret[static SOCKET_PATH_MAX + 1]);

/* --socket, else the configuration's. */
MUST_CHECK struct err cli_socket(struct cli *cli, char ret[static SOCKET_PATH_MAX + 1]);

/* Milliseconds of "500ms", "3s" or "2m", 1 ms to 1 h. ERR_USAGE otherwise. */
MUST_CHECK struct err cli_parse_duration(const char *text, int *ret_ms);

enum { CLI_TIMEOUT_MS = 3000 };

/* --timeout, else fallback_ms. */
MUST_CHECK struct err cli_timeout(struct cli *cli, int fallback_ms, int *ret);

/* Prints why a socket could not be connected to, and what to do; returns the error. */
MUST_CHECK struct err cli_nobody_there(struct cli *cli, struct err e, const char *path);

struct cli_connection {
    struct kms_client *client;
    enum kms_api_version version;
    int timeout_ms;
    char socket_path[SOCKET_PATH_MAX + 1];
};

void cli_disconnect(struct cli_connection *connection);
#define AUTO_CONNECTION CLEANUP(cli_disconnect)

/* Follows --socket, --config, --api and --timeout, without connecting. Prints what is wrong. */
MUST_CHECK struct err cli_target(struct cli *cli, struct cli_connection *ret);

/* Follows --socket, --config, --api and --timeout, and connects. Prints what is wrong, and what
 * to do when nobody listens. */
MUST_CHECK struct err cli_connect(struct cli *cli, struct cli_connection *ret);

/* Prints why a call failed and what to do; returns e. */
MUST_CHECK struct err cli_call_failed(struct cli *cli, struct err e,
                                      const struct kms_failure *failure);

#endif
