/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_admin.h"
#include "cli_data.h"
#include "cli_show.h"
#include "commands.h"
#include "status_show.h"
#include "text.h"

#include <string.h>
#include <time.h>

/* Whom to ask: the daemon itself by its admin socket, a plugin by the KMS protocol, or, with both
 * sockets given, the plugin where nobody answers for the daemon. */
struct question {
    bool admin, kms;
    struct cli_admin daemon;
    struct cli_connection plugin;
};

static struct err find_whom_to_ask(struct cli *cli, struct question *ret)
{
    struct question q = {.kms = cli_value(cli, "socket") != NULL};
    q.admin = !q.kms || cli_value(cli, "admin-socket") != NULL;
    if (q.admin)
        TRY(cli_admin_target(cli, CLI_TIMEOUT_MS, &q.daemon));
    if (q.kms)
        TRY(cli_target(cli, &q.plugin));
    *ret = q;
    return ERR_OK;
}

/* --- by the KMS protocol ----------------------------------------------------------------- */

static bool is_ok(const struct kms_client_status *status)
{
    return strcmp(status->healthz, "ok") == 0;
}

static void print_text(FILE *to, const struct kms_client_status *status, const char *socket)
{
    (void)fputs("status:  ", to);
    show_coloured(to, is_ok(status) ? SHOW_GOOD : SHOW_BAD, status->healthz, 0);
    (void)fprintf(to, "\nkey_id:  %s\n", status->key_id[0] ? status->key_id : "(none yet)");
    (void)fprintf(to, "version: %s\nsocket:  unix://%s\n", status->version, socket);
}

static void print_json(FILE *to, const struct kms_client_status *status, const char *socket)
{
    (void)fprintf(to, "{\"ok\": %s", is_ok(status) ? "true" : "false");
    cli_json_member(to, ", ", "healthz", status->healthz);
    cli_json_member(to, ", ", "key_id", status->key_id);
    cli_json_member(to, ", ", "version", status->version);
    char url[SOCKET_PATH_MAX + sizeof "unix://"];
    (void)snprintf(url, sizeof url, "unix://%s", socket);
    cli_json_member(to, ", ", "socket", url);
    (void)fputs("}\n", to);
}

static struct err ask_plugin(struct cli *cli, const struct cli_connection *target, bool *ret_ok)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    const struct kms_client_options to = {.socket_path = target->socket_path};
    struct kms_client_status status;
    struct kms_failure failure;
    struct err e = kms_client_open(&to, &client);
    if (err_is(e))
        return cli_nobody_there(cli, e, target->socket_path);
    e = kms_client_status(client, target->version, target->timeout_ms, &status, &failure);
    if (err_is(e))
        return cli_call_failed(cli, e, &failure);
    *ret_ok = is_ok(&status);
    if (cli_value(cli, "json"))
        print_json(cli->out, &status, target->socket_path);
    else
        print_text(cli->out, &status, target->socket_path);
    return ERR_OK;
}

/* --- by the admin socket ----------------------------------------------------------------- */

static struct err ask_daemon(struct cli *cli, const struct cli_admin *target,
                             struct admin_client *client, bool *ret_ok)
{
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    struct kms_failure failure;
    struct err e = admin_client_status(client, target->timeout_ms, &status, &failure);
    if (err_is(e))
        return cli_admin_failed(cli, e, &failure);
    *ret_ok = status.ok;
    if (cli_value(cli, "json"))
        status_show_json(cli->out, &status, target->socket_path);
    else
        status_show_text(cli->out, &status, target->socket_path, clock_wall_ms());
    return ERR_OK;
}

/* --- either ------------------------------------------------------------------------------ */

static struct err ask(struct cli *cli, const struct question *q, bool *ret_ok)
{
    CLEANUP(admin_client_close_p) struct admin_client *client = NULL;
    struct err e = q->admin ? admin_client_open(q->daemon.socket_path, &client) : ERR_OK;
    if (client)
        return ask_daemon(cli, &q->daemon, client, ret_ok);
    if (q->kms)
        return ask_plugin(cli, &q->plugin, ret_ok);
    return cli_nobody_there(cli, e, q->daemon.socket_path);
}

/* One question, without a word about its answer. */
static bool is_well(const struct question *q)
{
    CLEANUP(admin_client_close_p) struct admin_client *daemon = NULL;
    CLEANUP(kms_client_close_p) struct kms_client *plugin = NULL;
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    const struct kms_client_options to = {.socket_path = q->plugin.socket_path};
    struct kms_client_status kms_status;
    struct kms_failure failure;
    if (q->admin && !err_is(admin_client_open(q->daemon.socket_path, &daemon)))
        return !err_is(admin_client_status(daemon, q->daemon.timeout_ms, &status, &failure)) &&
               status.ok;
    return q->kms && !err_is(kms_client_open(&to, &plugin)) &&
           !err_is(kms_client_status(plugin, q->plugin.version, q->plugin.timeout_ms, &kms_status,
                                     &failure)) &&
           is_ok(&kms_status);
}

static struct err wait_until_well(struct cli *cli, const struct question *q, const char *time)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    int wait_ms = 0;
    if (err_is(cli_parse_duration(time, &wait_ms)))
        return cli_error(cli, err_make(ERR_USAGE, "status"), "--wait takes a time such as 10s");
    int64_t end = clock_monotonic_ns() + wait_ms * INT64_C(1000000);
    while (!is_well(q) && clock_monotonic_ns() < end)
        (void)nanosleep(&pause, NULL);
    return ERR_OK;
}

static struct err run(struct cli *cli)
{
    static struct question question; /* large */
    const char *wait = cli_value(cli, "wait");
    bool ok = false;
    TRY(find_whom_to_ask(cli, &question));
    if (wait)
        TRY(wait_until_well(cli, &question, wait));
    /* Whatever the reason: exit 5 is what scripts wait for. */
    if (err_is(ask(cli, &question, &ok)) || !ok)
        return err_make(ERR_UNAVAILABLE, "status");
    return ERR_OK;
}

const struct cli_command cmd_status = {
    .name = "status",
    .summary = "say whether the daemon can seal and open, and if not, why",
    .description = "Asks the running daemon on its admin socket: health, the KEK that seals, the "
                   "next rotation and what is in its way, missing and quarantined KEKs. With "
                   "--socket it asks any plugin there by the KMS protocol (v2 Status), as "
                   "kube-apiserver does. Exits 0 when it is well and 5 when it is not, or when "
                   "nobody listens.",
    .options = {CLI_ADMIN_OPTION,
                CLI_SOCKET_OPTION,
                CLI_TIMEOUT_OPTION,
                CLI_JSON_OPTION,
                {"wait", "TIME", "ask again until the daemon is well, for at most this long"}},
    .run = run,
};
