/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_connect.h"
#include "commands.h"
#include "doctor.h"

#include <string.h>

enum { MEASURE_MS = 500 };

static struct err read_scheme(struct cli *cli, enum scheme *ret)
{
    const char *given = cli_value(cli, "scheme");
    *ret = given ? scheme_from_name(bytes_of_string(given)) : SCHEME_NONE;
    if (!given || *ret != SCHEME_NONE)
        return ERR_OK;
    return cli_error(cli, err_make(ERR_USAGE, "scheme"), "no such scheme: %s", given);
}

static struct err read_measure(struct cli *cli, int *ret_ms)
{
    const char *given = cli_value(cli, "measure");
    *ret_ms = MEASURE_MS;
    if (!given || (!err_is(cli_parse_duration(given, ret_ms)) && *ret_ms <= TRIAL_MS_MAX))
        return ERR_OK;
    return cli_error(cli, err_make(ERR_USAGE, "measure"), "--measure takes a time of at most %d s",
                     TRIAL_MS_MAX / 1000);
}

/* In an external ring nothing is ever made. */
static struct err prepare(struct cli *cli, const struct config *config, const char *agent,
                          struct doctor *d)
{
    d->cli = cli;
    d->config = config;
    d->no_keys = cli_value(cli, "no-keys") || config->ring.mode == RING_EXTERNAL;
    d->rules = (struct ring_rules){.external = config->ring.mode == RING_EXTERNAL,
                                   .waive = config_waivers(config)};
    memcpy(d->rules.name, config->ring.name, sizeof config->ring.name);
    d->agent = d->second = (struct own_agent){config, agent, {.pid = -1}, 0, false};
    TRY(read_scheme(cli, &d->only));
    TRY(read_measure(cli, &d->measure_ms));
    return cli_timeout(cli, (int)config->token.generate_timeout_ms, &d->step_ms);
}

static struct err run(struct cli *cli)
{
    static struct config config; /* these are large */
    static struct doctor doctor;
    char agent[PATH_MAX];
    TRY(cli_config(cli, &config));
    TRY(own_agent_check_owner(cli, config.state_dir));
    own_agent_path(cli, agent);
    TRY(prepare(cli, &config, agent, &doctor));
    struct err e = doctor_examine(&doctor);
    if (cli_value(cli, "json"))
        doctor_print_json(&doctor);
    else
        doctor_print_text(&doctor);
    return e;
}

const struct cli_command cmd_doctor_token = {
    .name = "doctor token",
    .summary = "say what the token can do, what was tried, how fast it is, and what would be used",
    .description =
        "With the configuration alone, before or after init, and whether the daemon runs or not: "
        "shows module, token, flags, sessions and mechanisms as they describe themselves, logs in "
        "by the same PIN record as every agent, tries each scheme by a self-test with keys that it "
        "removes again, measures those that pass, and says which one ring.scheme leads to, and "
        "why; "
        "where none passes, what to ask the vendor. In an external ring, and with --no-keys, it "
        "makes no object: a scheme is then proved by a KEK of the ring that seals and opens, or "
        "only guessed. Exits 0 when what would be used works, 5 when it does not or the token is "
        "away, and in bounded time: each step may take as long as --timeout says.",
    .options = {CLI_AGENT_OPTION,
                CLI_JSON_OPTION,
                {"scheme", "NAME", "try this one only"},
                {"no-keys", NULL, "make no object on the token; what is not proved is a guess"},
                {"measure", "TIME",
                 "how long each measured run takes (default 500ms, at most 10s)"},
                {"timeout", "TIME",
                 "how long the token may take for one step (default: token.generateTimeout)"}},
    .run = run,
};
