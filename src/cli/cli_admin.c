/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_admin.h"

#include <string.h>

void cli_admin_close(struct cli_admin *admin)
{
    admin_client_close(admin->client);
}

static struct err find_socket(struct cli *cli, char ret[static SOCKET_PATH_MAX + 1])
{
    struct config config;
    if (cli_value(cli, "admin-socket"))
        return cli_given_socket(cli, "admin-socket", ret);
    TRY(cli_config(cli, &config));
    (void)snprintf(ret, SOCKET_PATH_MAX + 1, "%s", config.admin_socket_path);
    return ERR_OK;
}

struct err cli_admin_target(struct cli *cli, int fallback_ms, struct cli_admin *ret)
{
    struct cli_admin to = {.client = NULL};
    TRY(cli_timeout(cli, fallback_ms, &to.timeout_ms));
    TRY(find_socket(cli, to.socket_path));
    *ret = to;
    return ERR_OK;
}

struct err cli_admin_open(struct cli *cli, int fallback_ms, struct cli_admin *ret)
{
    struct cli_admin admin = {.client = NULL};
    TRY(cli_admin_target(cli, fallback_ms, &admin));
    struct err e = admin_client_open(admin.socket_path, &admin.client);
    if (err_is(e))
        return cli_nobody_there(cli, e, admin.socket_path);
    *ret = admin;
    return ERR_OK;
}

static const char *remedy(enum err_code code)
{
    switch (code) {
    case ERR_UNAVAILABLE:
        return "the daemon or its token is away, or somebody must act on it: \"p11-kms status\" "
               "says "
               "more";
    case ERR_DEADLINE:
        return "no answer in time: \"p11-kms status\" says more, --timeout waits longer; an order "
               "that was given goes on";
    case ERR_NOT_FOUND:
    case ERR_INVALID:
        return "\"p11-kms keys list\" shows the ring's KEKs";
    case ERR_UNSUPPORTED:
        return "want the admin socket of a p11-kmsd, adminSocket in its configuration";
    default:
        return "see the daemon's log";
    }
}

struct err cli_admin_failed(struct cli *cli, struct err e, const struct kms_failure *failure)
{
    if (failure->code == 0)
        return cli_error(cli, e, "%s", failure->message);
    if (e.code == ERR_REFUSED)
        return cli_error(cli, e, "refused: %s", failure->message);
    return cli_error(cli, e, "%s (%d): %s\n  %s", failure->name, failure->code, failure->message,
                     remedy(e.code));
}

struct err cli_key_id(struct cli *cli, const char **ret)
{
    if (!cli->word)
        return cli_error(cli, err_make(ERR_USAGE, "key_id"),
                         "want a key_id: \"p11-kms keys list\" shows them");
    *ret = cli->word;
    return ERR_OK;
}
