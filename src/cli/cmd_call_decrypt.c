/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"
#include "text.h"

#include <string.h>

/* The annotations given, with memory of their own: kms_sealed_release frees them. */
static struct err add_annotation(struct kms_sealed *sealed, const char *text)
{
    struct kms_annotation *to = &sealed->annotations[sealed->n_annotations];
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return err_make(ERR_USAGE, "annotation");
    size_t size = strlen(equals), len = 0;
    uint8_t *value = (uint8_t *)malloc(size);
    char *name = strndup(text, (size_t)(equals - text));
    sealed->n_annotations++;
    *to = (struct kms_annotation){name, bytes_of(value, 0)};
    if (!value || !name)
        return err_make(ERR_EXHAUSTED, "annotation");
    if (err_is(base64_decode(bytes_of_string(equals + 1), value, size, &len)))
        return err_make(ERR_USAGE, "annotation");
    to->value.len = len;
    return ERR_OK;
}

static struct err read_annotations(struct cli *cli, struct kms_sealed *sealed)
{
    size_t position = 0;
    sealed->annotations =
        (struct kms_annotation *)calloc(CLI_GIVEN_MAX, sizeof *sealed->annotations);
    if (!sealed->annotations)
        return cli_error(cli, err_make(ERR_EXHAUSTED, "annotations"), "out of memory");
    for (const char *text; (text = cli_next_value(cli, "annotation", &position));) {
        struct err e = add_annotation(sealed, text);
        if (e.code == ERR_EXHAUSTED)
            return cli_error(cli, e, "out of memory");
        if (err_is(e))
            return cli_error(cli, e, "--annotation: want NAME=BASE64, as call encrypt printed it");
    }
    return ERR_OK;
}

static struct err read_key_id(struct cli *cli, enum kms_api_version version,
                              struct kms_sealed *sealed)
{
    const char *key_id = cli_value(cli, "key-id");
    struct err usage = err_make(ERR_USAGE, "key-id");
    if (!key_id && version != KMS_API_V1BETA1)
        return cli_error(cli, usage, "--key-id is needed: what Encrypt answered");
    if (key_id && !bytes_to_string(bytes_of_string(key_id), sealed->key_id, sizeof sealed->key_id))
        return cli_error(cli, usage, "--key-id: at most %d bytes", KMS_CLIENT_KEY_ID_MAX);
    return ERR_OK;
}

static struct err print_json(struct cli *cli, struct bytes plaintext)
{
    static const char before[] = "{\"plaintext\": \"", after[] = "\"}\n";
    AUTO_BASE64 char *text = NULL;
    if (err_is(cli_base64(plaintext, &text)))
        return cli_error(cli, err_make(ERR_EXHAUSTED, "output"), "out of memory");
    (void)fputs(before, cli->out);
    TRY(cli_write_all(cli, bytes_of_string(text)));
    (void)fputs(after, cli->out);
    return ERR_OK;
}

static struct err call(struct cli *cli, const struct cli_connection *connection,
                       const struct kms_sealed *sealed)
{
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_failure failure;
    TRY(cli_secret(cli, CLI_DATA_MAX, &plaintext));
    struct err e = kms_client_decrypt(connection->client, connection->version, sealed,
                                      connection->timeout_ms, plaintext, &failure);
    if (err_is(e))
        return cli_call_failed(cli, e, &failure);
    if (cli_value(cli, "json"))
        return print_json(cli, secret_bytes(plaintext));
    return cli_write_data(cli, secret_bytes(plaintext));
}

static struct err run(struct cli *cli)
{
    AUTO_CONNECTION struct cli_connection connection = {.client = NULL};
    AUTO_SECRET struct secret *ciphertext = NULL;
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    TRY(cli_connect(cli, &connection));
    TRY(read_key_id(cli, connection.version, &sealed));
    TRY(read_annotations(cli, &sealed));
    TRY(cli_read_data(cli, &ciphertext));
    sealed.ciphertext = secret_bytes(ciphertext);
    struct err e = call(cli, &connection, &sealed);
    sealed.ciphertext = bytes_of(NULL, 0); /* the secret's, not for the release */
    return e;
}

const struct cli_command cmd_call_decrypt = {
    .name = "call decrypt",
    .summary = "call Decrypt of any KMS plugin",
    .description = "Reads the ciphertext, base64 on one line, from standard input or a file, and "
                   "prints the plaintext. v2 and v2alpha1 want the key_id, and the annotations if "
                   "there were any, that Encrypt answered.",
    .options = {CLI_SOCKET_OPTION,
                CLI_API_OPTION,
                CLI_TIMEOUT_OPTION,
                {"key-id", "ID", "the key_id that Encrypt answered"},
                {"annotation", "NAME=BASE64", "an annotation that Encrypt answered; repeatable"},
                CLI_IN_OPTION,
                CLI_RAW_OPTION,
                CLI_JSON_OPTION},
    .run = run,
};
