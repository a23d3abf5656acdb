/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "cli_data.h"
#include "commands.h"
#include "own_agent.h"
#include "ring_destroy.h"

#include <string.h>
#include <unistd.h>

static const char checked_option[] = "unreferenced-checked-by-me";

static const char *result_word(enum ring_destroy_result result)
{
    return result == RING_DESTROYED ? "destroyed" : "already gone";
}

static struct err ask(struct cli *cli, const struct ring_destroy_report *report)
{
    char line[KEY_ID_MAX + 2] = "";
    (void)fprintf(cli->errors,
                  "KEK %s (%s) on token %s is destroyed for ever: whatever it sealed and nobody "
                  "sealed anew is lost, in backups too.\nType its key_id to go on: ",
                  report->key_id.text, report->label, report->token.label);
    (void)fflush(cli->errors);
    if (!fgets(line, sizeof line, cli->in))
        line[0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, report->key_id.text) == 0
               ? ERR_OK
               : cli_error(cli, err_make(ERR_REFUSED, "confirm"),
                           "that is not its key_id: nothing was destroyed");
}

/* --confirm was compared before anything began. */
static struct err confirm(void *context, const struct ring_destroy_report *report)
{
    struct cli *cli = context;
    return cli_value(cli, "confirm") ? ERR_OK : ask(cli, report);
}

static struct err check_arguments(struct cli *cli, struct key_id *ret)
{
    const char *confirmed = cli_value(cli, "confirm");
    if (!cli->word)
        return cli_error(cli, err_make(ERR_USAGE, "KEY_ID"), "want: p11-kms keys destroy KEY_ID");
    if (!bytes_to_string(bytes_of_string(cli->word), ret->text, sizeof ret->text))
        return cli_error(cli, err_make(ERR_USAGE, "KEY_ID"), "no key_id is that long");
    if (!cli_value(cli, checked_option))
        return cli_error(
            cli, err_make(ERR_REFUSED, "destroy"),
            "this version does not look into etcd: make sure that nothing there and in "
            "no backup is sealed under the KEK, then say so with --%s",
            checked_option);
    if (confirmed && strcmp(confirmed, ret->text) != 0)
        return cli_error(cli, err_make(ERR_REFUSED, "confirm"),
                         "--confirm names another key_id: nothing was destroyed");
    if (!confirmed && !isatty(fileno(cli->in)))
        return cli_error(cli, err_make(ERR_USAGE, "confirm"),
                         "without a terminal the key_id is to be given again, with --confirm");
    return ERR_OK;
}

static void print_text(FILE *to, const struct ring_destroy_report *report)
{
    (void)fprintf(to, "result: %s\nkey_id: %s\nactive: %s\n", result_word(report->result),
                  report->key_id.text, report->active.text);
    (void)fputs("The daemon goes on and need not be restarted.\n", to);
}

static void print_json(FILE *to, const struct ring_destroy_report *report)
{
    cli_json_member(to, "{", "result", result_word(report->result));
    cli_json_member(to, ", ", "key_id", report->key_id.text);
    if (report->label[0])
        cli_json_member(to, ", ", "label", report->label);
    cli_json_member(to, ", ", "active", report->active.text);
    cli_json_member(to, ", \"token\": {", "label", report->token.label);
    cli_json_member(to, ", ", "serial", report->token.serial);
    (void)fputs("}, \"daemon_restart_needed\": false}\n", to);
}

static struct err run(struct cli *cli)
{
    struct config config;
    struct key_id key_id;
    struct ring_destroy_report report = {.label = ""};
    char message[512], agent[PATH_MAX];
    TRY(check_arguments(cli, &key_id));
    TRY(cli_config(cli, &config));
    TRY(own_agent_check_owner(cli, config.state_dir));
    own_agent_path(cli, agent);
    struct err e = ring_destroy(&config, agent, &key_id, confirm, cli, &report, message);
    if (err_is(e))
        return message[0] ? cli_error(cli, e, "%s", message) : e;
    if (cli_value(cli, "json"))
        print_json(cli->out, &report);
    else
        print_text(cli->out, &report);
    return ERR_OK;
}

const struct cli_command cmd_keys_destroy = {
    .name = "keys destroy",
    .argument = "KEY_ID",
    .summary = "destroy a KEK that nothing needs any more",
    .description =
        "Destroys one KEK in the token, for ever, with an agent started for that. Refuses (exit 6) "
        "unless the KEK has been deactivated or compromised for seven days as this host has seen "
        "it, and a newer KEK of the ring is older than seven days. Its key_id has to be typed. "
        "Run it as the daemon's user; the daemon goes on. Cut short, it is to be run again: it "
        "finishes and says \"already gone\".",
    .options = {{"unreferenced-checked-by-me", NULL,
                 "nothing in etcd or in a backup is sealed under it any more"},
                {"confirm", "KEY_ID", "the key_id once more, instead of typing it"},
                CLI_AGENT_OPTION,
                CLI_JSON_OPTION},
    .run = run,
};
