/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"
#include "init_external.h"
#include "own_agent.h"
#include "ring_init.h"

static const char *result_word(enum ring_init_result result)
{
    switch (result) {
    case RING_INIT_CREATED:
        return "created";
    case RING_INIT_COMPLETED:
        return "completed";
    case RING_INIT_EXISTING:
        break;
    }
    return "existing";
}

static void show_progress(void *context, const char *text)
{
    struct cli *cli = context;
    if (!cli_value(cli, "json"))
        (void)fprintf(cli->errors, "%s...\n", text);
}

static void print_attributes(FILE *to, const struct key_attributes *attributes, bool value)
{
    char names[256];
    uint32_t bits = attributes->known & (value ? attributes->value : ~attributes->value);
    (void)fputs(key_attributes_list(bits, names, sizeof names), to);
}

static void print_tried(FILE *to, const struct scheme_choice *choice)
{
    for (size_t i = 0; i < choice->n; i++)
        (void)fprintf(to, "%s %s: %s\n", i == 0 ? "tried:     " : "           ",
                      scheme_name(choice->tried[i].scheme),
                      choice->tried[i].why[0] ? choice->tried[i].why : "the token passes");
}

static void print_json_tried(FILE *to, const struct scheme_choice *choice)
{
    (void)fputs(", \"tried\": [", to);
    for (size_t i = 0; i < choice->n; i++) {
        const struct scheme_trial *trial = &choice->tried[i];
        cli_json_member(to, i > 0 ? ", {" : "{", "scheme", scheme_name(trial->scheme));
        (void)fprintf(to, ", \"passes\": %s", trial->why[0] ? "false" : "true");
        cli_json_member(to, ", ", "why", trial->why);
        (void)fputs("}", to);
    }
    (void)fputs("]", to);
}

static void print_text(FILE *to, const struct ring_init_report *report)
{
    char label[KEY_LABEL_MAX + 1] = "";
    const struct kek *kek = &report->kek;
    (void)err_is(key_label_format(&kek->label, label)); /* it was parsed from such a label */
    (void)fprintf(to, "result:     %s\nkey_id:     %s\nlabel:      %s\n",
                  result_word(report->result), kek->key_id.text, label);
    (void)fprintf(to, "token:      %s (%s %s, serial %s)\n", report->token.label,
                  report->token.manufacturer, report->token.model, report->token.serial);
    print_tried(to, &report->choice);
    (void)fputs("attributes as read from the token:\n  true:     ", to);
    print_attributes(to, &kek->attributes, true);
    (void)fputs("\n  false:    ", to);
    print_attributes(to, &kek->attributes, false);
    (void)fputs("\n", to);
}

static void print_json(FILE *to, const struct ring_init_report *report)
{
    const struct kek *kek = &report->kek;
    cli_json_member(to, "{", "result", result_word(report->result));
    cli_json_member(to, ", ", "key_id", kek->key_id.text);
    cli_json_member(to, ", ", "scheme", scheme_name(kek->label.scheme));
    print_json_tried(to, &report->choice);
    (void)fprintf(to, ", \"generation\": %u", kek->label.generation);
    cli_json_member(to, ", ", "state", key_state_name(kek->label.state));
    cli_json_member(to, ", \"token\": {", "label", report->token.label);
    cli_json_member(to, ", ", "manufacturer", report->token.manufacturer);
    cli_json_member(to, ", ", "model", report->token.model);
    cli_json_member(to, ", ", "serial", report->token.serial);
    (void)fputs("}, \"attributes\": {", to);
    const char *before = "";
    for (unsigned i = 0; i < ATTR_COUNT; i++) {
        if ((kek->attributes.known & ATTR_BIT(i)) == 0)
            continue;
        (void)fprintf(to, "%s\"%s\": %s", before, key_attribute_name((enum key_attribute)i),
                      (kek->attributes.value & ATTR_BIT(i)) != 0 ? "true" : "false");
        before = ", ";
    }
    (void)fputs("}}\n", to);
}

static struct err run(struct cli *cli)
{
    struct config config;
    struct ring_init_report report;
    char message[512], agent[PATH_MAX];
    TRY(cli_config(cli, &config));
    TRY(own_agent_check_owner(cli, config.state_dir));
    own_agent_path(cli, agent);
    if (config.ring.mode == RING_EXTERNAL)
        return init_external(cli, &config, agent, show_progress);
    struct err e = ring_init(&config, agent, show_progress, cli, &report, message);
    if (err_is(e))
        return cli_error(cli, e, "%s", message);
    if (cli_value(cli, "json"))
        print_json(cli->out, &report);
    else
        print_text(cli->out, &report);
    return ERR_OK;
}

const struct cli_command cmd_init = {
    .name = "init",
    .summary = "make the ring's first KEK in the token, or show that it is there",
    .description =
        "Proves that the token can do what ring.scheme needs (auto: tries one scheme after the "
        "other, says why each is left, and takes the first that passes), generates the KEK inside "
        "it, "
        "finds it again with a fresh agent, checks its attributes, and activates it. Needs an "
        "initialised token and its PIN source. Safe to run again: a ring that has a KEK is left as "
        "it is. Refuses (exit 6) where this host knows a KEK that the token does not show, and "
        "where "
        "stateDir belongs to another user: run it as the daemon's. Where ring.mode is external it "
        "makes nothing: it shows the keys that ring.select finds, what is wrong with those that "
        "are refused, and the `p11-kms keys adopt` that comes next; exit 6 where none is usable.",
    .options = {CLI_AGENT_OPTION, CLI_JSON_OPTION},
    .run = run,
};
