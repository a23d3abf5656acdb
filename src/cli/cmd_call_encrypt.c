/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"

static struct err out_of_memory(struct cli *cli)
{
    return cli_error(cli, err_make(ERR_EXHAUSTED, "output"), "out of memory");
}

static struct err print_annotations(struct cli *cli, const struct kms_sealed *sealed, bool json,
                                    FILE *to)
{
    for (size_t i = 0; i < sealed->n_annotations; i++) {
        AUTO_BASE64 char *value = NULL;
        if (err_is(cli_base64(sealed->annotations[i].value, &value)))
            return out_of_memory(cli);
        if (json)
            cli_json_member(to, i == 0 ? "" : ", ", sealed->annotations[i].name, value);
        else
            (void)fprintf(to, "annotation: %s=%s\n", sealed->annotations[i].name, value);
    }
    return ERR_OK;
}

static struct err print_json(struct cli *cli, const struct kms_sealed *sealed,
                             enum kms_api_version version)
{
    AUTO_BASE64 char *ciphertext = NULL;
    if (err_is(cli_base64(sealed->ciphertext, &ciphertext)))
        return out_of_memory(cli);
    cli_json_member(cli->out, "{", "api", kms_api_version_name(version));
    cli_json_member(cli->out, ", ", "key_id", sealed->key_id);
    cli_json_member(cli->out, ", ", "ciphertext", ciphertext);
    (void)fputs(", \"annotations\": {", cli->out);
    TRY(print_annotations(cli, sealed, true, cli->out));
    (void)fputs("}}\n", cli->out);
    return ERR_OK;
}

/* What goes with the ciphertext is on standard error, so that a pipe gets the ciphertext alone. */
static struct err print_text(struct cli *cli, const struct kms_sealed *sealed)
{
    if (sealed->key_id[0])
        (void)fprintf(cli->errors, "key_id: %s\n", sealed->key_id);
    TRY(print_annotations(cli, sealed, false, cli->errors));
    return cli_write_data(cli, sealed->ciphertext);
}

static struct err run(struct cli *cli)
{
    AUTO_CONNECTION struct cli_connection connection = {.client = NULL};
    AUTO_SECRET struct secret *plaintext = NULL;
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    TRY(cli_connect(cli, &connection));
    TRY(cli_read_data(cli, &plaintext));
    struct err e =
        kms_client_encrypt(connection.client, connection.version, secret_bytes(plaintext),
                           connection.timeout_ms, &sealed, &failure);
    if (err_is(e))
        return cli_call_failed(cli, e, &failure);
    return cli_value(cli, "json") ? print_json(cli, &sealed, connection.version)
                                  : print_text(cli, &sealed);
}

const struct cli_command cmd_call_encrypt = {
    .name = "call encrypt",
    .summary = "call Encrypt of any KMS plugin",
    .description = "Reads the plaintext, base64 on one line, from standard input or a file, never "
                   "from the command line, where other users could see it. Prints the ciphertext; "
                   "the key_id goes to standard error (with --json, all in one object).",
    .options = {CLI_SOCKET_OPTION, CLI_API_OPTION, CLI_TIMEOUT_OPTION, CLI_IN_OPTION,
                CLI_RAW_OPTION, CLI_JSON_OPTION},
    .run = run,
};
