/* SPDX-License-Identifier: Apache-2.0 */
#include "init_external.h"

#include "cleanup.h"
#include "cli_data.h"

static bool is_adopted(const struct kek *kek)
{
    return kek->label.generation != 0;
}

static const char *standing(const struct survey_key *key)
{
    return is_adopted(&key->kek) ? key_state_name(key->kek.label.state) : "not adopted";
}

static void print_key(FILE *to, const struct survey_key *key)
{
    const struct kek *kek = &key->kek;
    char names[160];
    (void)fprintf(to, "key_id:     %s\n  label:    %s\n  here:     %s\n", kek->key_id.text,
                  kek->name, standing(key));
    (void)fprintf(
        to, "  true:     %s\n",
        key_attributes_list(kek->attributes.known & kek->attributes.value, names, sizeof names));
    if (kek->waived != 0)
        (void)fprintf(to, "  waived:   %s\n",
                      key_attributes_list(kek->waived, names, sizeof names));
    (void)fprintf(to, "  usable:   %s\n", key->fault[0] ? key->fault : "yes");
}

static void print_text(FILE *to, const struct ring_survey *survey)
{
    (void)fprintf(to, "result:     external\ntoken:      %s (%s %s, serial %s)\n",
                  survey->token.label, survey->token.manufacturer, survey->token.model,
                  survey->token.serial);
    for (size_t i = 0; i < survey->n; i++)
        print_key(to, &survey->keys[i]);
    if (survey->nameless > 0)
        (void)fprintf(to,
                      "and %zu without a CKA_ID of 1 to 64 bytes, which cannot be named: give each "
                      "one of its own\n",
                      survey->nameless);
    (void)fprintf(to, "status:     %s\n", survey->health.text);
}

static void print_names(FILE *to, const char *name, uint32_t bits)
{
    const char *before = "";
    (void)fprintf(to, ", \"%s\": [", name);
    for (unsigned i = 0; i < ATTR_BITS; i++) {
        if ((bits & ATTR_BIT(i)) == 0)
            continue;
        (void)fputs(before, to);
        cli_json_string(to, key_attribute_name((enum key_attribute)i));
        before = ", ";
    }
    (void)fputs("]", to);
}

static void print_json_key(FILE *to, const struct survey_key *key)
{
    cli_json_member(to, "{", "key_id", key->kek.key_id.text);
    cli_json_member(to, ", ", "label", key->kek.name);
    (void)fprintf(to, ", \"adopted\": %s", is_adopted(&key->kek) ? "true" : "false");
    cli_json_member(to, ", ", "state", key_state_name(key->kek.label.state));
    print_names(to, "wrong", key->kek.wrong);
    print_names(to, "waived", key->kek.waived);
    (void)fprintf(to, ", \"usable\": %s", key->fault[0] ? "false" : "true");
    cli_json_member(to, ", ", "fault", key->fault);
    (void)fputs("}", to);
}

static void print_json(FILE *to, const struct ring_survey *survey)
{
    cli_json_member(to, "{", "result", "external");
    cli_json_member(to, ", ", "status", survey->health.text);
    cli_json_member(to, ", \"token\": {", "label", survey->token.label);
    cli_json_member(to, ", ", "manufacturer", survey->token.manufacturer);
    cli_json_member(to, ", ", "model", survey->token.model);
    cli_json_member(to, ", ", "serial", survey->token.serial);
    (void)fprintf(to, "}, \"nameless\": %zu, \"keys\": [", survey->nameless);
    for (size_t i = 0; i < survey->n; i++) {
        (void)fputs(i > 0 ? ", " : "", to);
        print_json_key(to, &survey->keys[i]);
    }
    (void)fputs("]}\n", to);
}

struct err init_external(struct cli *cli, const struct config *config, const char *agent_path,
                         ring_init_progress *progress)
{
    CLEANUP(ring_survey_clear) struct ring_survey survey = {.keys = NULL};
    char message[512];
    struct err e = ring_survey(config, agent_path, progress, cli, &survey, message);
    if (err_is(e))
        return cli_error(cli, e, "%s", message);
    (cli_value(cli, "json") ? print_json : print_text)(cli->out, &survey);
    if (survey.n_usable > 0)
        return ERR_OK;
    return cli_error(cli, err_make(ERR_REFUSED, "init"),
                     survey.n > 0 ? "none of the keys that ring.select finds is usable"
                                  : "ring.select finds no key on the token: make one first "
                                    "(docs/external-keys.md)");
}
