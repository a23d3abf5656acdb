/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_admin.h"
#include "cli_show.h"
#include "commands.h"
#include "text.h"

static void print_text(FILE *to, const struct admin_key *key)
{
    (void)fprintf(to, "key_id:      %s\nlabel:       %s\nstate:       ", key->key_id, key->label);
    show_coloured(to, show_state_colour(key->state), key->state, 0);
    (void)fprintf(to, "%s\ngeneration:  %u\nscheme:      %s\nmade:        ",
                  key->seals ? ", seals" : "", key->generation, key->scheme);
    if (key->made_ms != 0)
        show_when(to, key->made_ms, clock_wall_ms());
    else
        (void)fputs("not known", to);
    (void)fprintf(to, "\nattributes as read from the token:\n  true:      %s\n  false:     %s\n",
                  key->is_true, key->is_false);
    if (key->waived[0])
        (void)fprintf(to, "waived:      %s\n", key->waived);
    if (key->wrong[0])
        (void)fprintf(to, "refused:     not as they must be: %s\n", key->wrong);
    if (key->ambiguous)
        (void)fputs("refused:     two objects have its CKA_ID\n", to);
    if (key->quarantined)
        (void)fputs("quarantined: other key material stands behind its CKA_ID\n", to);
}

static struct err run(struct cli *cli)
{
    AUTO_ADMIN struct cli_admin admin = {.client = NULL};
    struct admin_key key;
    struct kms_failure failure;
    const char *key_id = NULL;
    TRY(cli_key_id(cli, &key_id));
    TRY(cli_admin_open(cli, CLI_TIMEOUT_MS, &admin));
    struct err e = admin_client_key(admin.client, key_id, admin.timeout_ms, &key, &failure);
    if (err_is(e))
        return cli_admin_failed(cli, e, &failure);
    if (cli_value(cli, "json")) {
        show_key_json(cli->out, &key);
        (void)fputs("\n", cli->out);
    } else {
        print_text(cli->out, &key);
    }
    return ERR_OK;
}

const struct cli_command cmd_keys_show = {
    .name = "keys show",
    .argument = "KEY_ID",
    .summary = "show one KEK with its attributes",
    .description = "Prints the KEK as the daemon found it at its last look at the token.",
    .options = {CLI_ADMIN_OPTION, CLI_TIMEOUT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
