/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool coloured(FILE *to)
{
    const char *none = getenv("NO_COLOR");
    int fd = fileno(to);
    return fd >= 0 && isatty(fd) && (!none || none[0] == '\0');
}

static void print_text(struct cli *cli, const struct kms_client_status *status, const char *socket)
{
    bool ok = strcmp(status->healthz, "ok") == 0;
    bool colour = coloured(cli->out);
    (void)fprintf(cli->out, "status:  %s%s%s\n",
                  !colour ? ""
                  : ok    ? "\033[32m"
                          : "\033[31m",
                  status->healthz, colour ? "\033[0m" : "");
    (void)fprintf(cli->out, "key_id:  %s\n", status->key_id[0] ? status->key_id : "(none yet)");
    (void)fprintf(cli->out, "version: %s\nsocket:  unix://%s\n", status->version, socket);
}

static void print_json(FILE *to, const struct kms_client_status *status, const char *socket)
{
    bool ok = strcmp(status->healthz, "ok") == 0;
    (void)fprintf(to, "{\"ok\": %s", ok ? "true" : "false");
    cli_json_member(to, ", ", "healthz", status->healthz);
    cli_json_member(to, ", ", "key_id", status->key_id);
    cli_json_member(to, ", ", "version", status->version);
    char url[SOCKET_PATH_MAX + sizeof "unix://"];
    (void)snprintf(url, sizeof url, "unix://%s", socket);
    cli_json_member(to, ", ", "socket", url);
    (void)fputs("}\n", to);
}

/* One question, without a word about its failure. */
static bool is_well(const struct cli_connection *target)
{
    AUTO_CONNECTION struct cli_connection connection = {.client = NULL};
    const struct kms_client_options to = {.socket_path = target->socket_path};
    struct kms_client_status status;
    struct kms_failure failure;
    return !err_is(kms_client_open(&to, &connection.client)) &&
           !err_is(kms_client_status(connection.client, target->version, target->timeout_ms,
                                     &status, &failure)) &&
           strcmp(status.healthz, "ok") == 0;
}

static struct err wait_until_well(struct cli *cli, const char *time)
{
    const struct timespec pause = {.tv_nsec = 100000000};
    struct cli_connection target = {.client = NULL};
    int wait_ms = 0;
    if (err_is(cli_parse_duration(time, &wait_ms)))
        return cli_error(cli, err_make(ERR_USAGE, "status"), "--wait takes a time such as 10s");
    TRY(cli_target(cli, &target));
    int64_t end = clock_monotonic_ns() + wait_ms * INT64_C(1000000);
    while (!is_well(&target) && clock_monotonic_ns() < end)
        (void)nanosleep(&pause, NULL);
    return ERR_OK;
}

static struct err run(struct cli *cli)
{
    AUTO_CONNECTION struct cli_connection connection = {.client = NULL};
    struct kms_client_status status;
    struct kms_failure failure;
    const char *wait = cli_value(cli, "wait");
    if (wait)
        TRY(wait_until_well(cli, wait));
    TRY(cli_connect(cli, &connection));
    struct err e = kms_client_status(connection.client, connection.version, connection.timeout_ms,
                                     &status, &failure);
    if (err_is(e)) { /* whatever the reason: exit 5 is what scripts wait for */
        (void)err_is(cli_call_failed(cli, e, &failure));
        return err_make(ERR_UNAVAILABLE, "status");
    }
    if (cli_value(cli, "json"))
        print_json(cli->out, &status, connection.socket_path);
    else
        print_text(cli, &status, connection.socket_path);
    bool ok = strcmp(status.healthz, "ok") == 0;
    return ok ? ERR_OK : err_make(ERR_UNAVAILABLE, "status");
}

const struct cli_command cmd_status = {
    .name = "status",
    .summary = "say whether the daemon can seal and open, and if not, why",
    .description = "Asks the running daemon over the KMS protocol (v2 Status), as kube-apiserver "
                   "does. Exits 0 when it is well and 5 when it is not, or when nobody listens.",
    .options = {CLI_SOCKET_OPTION,
                CLI_TIMEOUT_OPTION,
                CLI_JSON_OPTION,
                {"wait", "TIME", "ask again until the daemon is well, for at most this long"}},
    .run = run,
};
