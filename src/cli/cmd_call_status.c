/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"

static void print(struct cli *cli, enum kms_api_version version,
                  const struct kms_client_status *status)
{
    const struct {
        const char *name, *value;
    } rows[] = {{"version", status->version},
                {"healthz", status->healthz},
                {"key_id", status->key_id},
                {"runtime", status->runtime}};
    bool json = cli_value(cli, "json");
    if (json)
        cli_json_member(cli->out, "{", "api", kms_api_version_name(version));
    else
        (void)fprintf(cli->out, "api: %s\n", kms_api_version_name(version));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].value[0] == '\0')
            continue;
        if (json)
            cli_json_member(cli->out, ", ", rows[i].name, rows[i].value);
        else
            (void)fprintf(cli->out, "%s: %s\n", rows[i].name, rows[i].value);
    }
    if (json)
        (void)fputs("}\n", cli->out);
}

static struct err run(struct cli *cli)
{
    AUTO_CONNECTION struct cli_connection connection = {.client = NULL};
    struct kms_client_status status;
    struct kms_failure failure;
    TRY(cli_connect(cli, &connection));
    struct err e = kms_client_status(connection.client, connection.version, connection.timeout_ms,
                                     &status, &failure);
    if (err_is(e))
        return cli_call_failed(cli, e, &failure);
    print(cli, connection.version, &status);
    return ERR_OK;
}

const struct cli_command cmd_call_status = {
    .name = "call status",
    .summary = "call Status (v2) or Version (v1beta1) of any KMS plugin",
    .description = "Prints what the plugin answers, well or not.",
    .options = {CLI_SOCKET_OPTION, CLI_API_OPTION, CLI_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
