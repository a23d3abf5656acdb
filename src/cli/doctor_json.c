/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's report for scripts: docs/doctor.md has the keys. */
#include "doctor.h"

#include "cli_data.h"
#include "quirks.h"

#include <inttypes.h>

static const char *word(bool value)
{
    return value ? "true" : "false";
}

/* A name, or null. */
static void put_scheme(FILE *to, const char *before, const char *key, enum scheme scheme)
{
    if (scheme_name(scheme))
        cli_json_member(to, before, key, scheme_name(scheme));
    else
        (void)fprintf(to, "%s\"%s\": null", before, key);
}

static void put_version(FILE *to, const char *key, struct fact_version version)
{
    (void)fprintf(to, ", \"%s\": \"%u.%u\"", key, version.major, version.minor);
}

static void put_number(FILE *to, const char *key, uint64_t number)
{
    if (number == FACT_UNKNOWN)
        (void)fprintf(to, ", \"%s\": null", key);
    else
        (void)fprintf(to, ", \"%s\": %" PRIu64, key, number);
}

static void put_module(const struct doctor *d, FILE *to)
{
    const struct module_facts *m = &d->report.module_facts.u.module;
    cli_json_member(to, ", \"module\": {", "path", d->config->token.module);
    (void)fprintf(to, ", \"known\": %s", word(d->report.module.known));
    cli_json_member(to, ", ", "why", d->report.module.why);
    if (d->report.module.known) {
        cli_json_member(to, ", ", "description", m->description);
        cli_json_member(to, ", ", "manufacturer", m->manufacturer);
        put_version(to, "version", m->library);
        put_version(to, "cryptoki", m->cryptoki);
    }
    (void)fputs("}", to);
}

static void put_flags(FILE *to, uint32_t flags)
{
    const char *before = ", \"flags\": [";
    for (unsigned i = 0; i < TOKEN_FLAGS; i++) {
        if ((flags & (1U << i)) == 0)
            continue;
        (void)fprintf(to, "%s\"%s\"", before, token_flag_word((enum token_flag)i));
        before = ", ";
    }
    (void)fputs(before[2] == '"' ? ", \"flags\": []" : "]", to);
}

static void put_quirks(FILE *to, uint32_t quirks)
{
    const char *before = "";
    (void)fputs(", \"quirks\": [", to);
    for (unsigned i = 0; i < QUIRKS; i++) {
        if (!quirks_have(quirks, (enum quirk)i))
            continue;
        (void)fputs(before, to);
        cli_json_string(to, quirk_text((enum quirk)i));
        before = ", ";
    }
    (void)fputs("]", to);
}

static void put_token(const struct doctor *d, FILE *to)
{
    const struct token_facts *t = &d->report.token_facts.u.token;
    (void)fprintf(to, ", \"token\": {\"known\": %s", word(d->report.token.known));
    cli_json_member(to, ", ", "why", d->report.token.why);
    if (d->report.token.known) {
        cli_json_member(to, ", ", "label", t->label);
        cli_json_member(to, ", ", "manufacturer", t->manufacturer);
        cli_json_member(to, ", ", "model", t->model);
        cli_json_member(to, ", ", "serial", t->serial);
        put_version(to, "hardware", t->hardware);
        put_version(to, "firmware", t->firmware);
        put_number(to, "slot", t->slot);
        cli_json_member(to, ", ", "slot_description", t->slot_description);
        put_flags(to, t->flags);
        put_quirks(to, t->quirks);
        put_number(to, "max_sessions", t->max_sessions);
        put_number(to, "open_sessions", t->open_sessions);
    }
    (void)fputs("}", to);
}

static void put_ring(const struct doctor *d, FILE *to)
{
    const struct doctor_report *r = &d->report;
    (void)fprintf(to, ", \"login\": {\"known\": %s", word(r->login.known));
    cli_json_member(to, ", ", "why", r->login.why);
    cli_json_member(to, "}, \"ring\": {", "name", d->rules.name);
    cli_json_member(to, ", ", "mode", d->rules.external ? "external" : "managed");
    (void)fprintf(to, ", \"keks\": %zu", r->keks);
    cli_json_member(to, ", ", "active", r->active.text);
    cli_json_member(to, ", ", "why", r->active.text[0] ? "" : r->health.text);
    put_scheme(to, ", ", "scheme", r->ring_scheme);
    (void)fprintf(to, "}, \"lanes\": %u, \"daemon\": ", (unsigned)d->config->token.sessions);
    if (r->daemon == 0)
        (void)fputs("null", to);
    else
        (void)fprintf(to, "%d", (int)r->daemon);
}

static void put_uses(FILE *to, uint32_t uses)
{
    const char *before = "";
    (void)fputs(", \"uses\": [", to);
    for (uint32_t bit = 1; bit <= USE_UNWRAP; bit <<= 1) {
        if ((uses & bit) == 0)
            continue;
        (void)fprintf(to, "%s\"%s\"", before, mechanism_use_name(bit));
        before = ", ";
    }
    (void)fputs("]", to);
}

static void put_mechanisms(const struct doctor *d, FILE *to)
{
    (void)fputs(", \"mechanisms\": [", to);
    for (unsigned i = 0; d->report.mechanisms.known && i < MECHANISMS; i++) {
        const struct mechanism_facts *m = &d->report.mechanism_facts.u.mechanism[i];
        cli_json_member(to, i > 0 ? ", {" : "{", "name", mechanism_name((enum mechanism)i));
        (void)fprintf(to, ", \"listed\": %s", word(m->listed));
        put_number(to, "least", m->told ? m->least : FACT_UNKNOWN);
        put_number(to, "most", m->told ? m->most : FACT_UNKNOWN);
        put_uses(to, m->uses);
        (void)fputs("}", to);
    }
    (void)fputs("]", to);
}

static void put_speed(FILE *to, const char **before, const char *of,
                      const struct doctor_speed *speed)
{
    if (speed->lanes == 0)
        return;
    (void)fprintf(to,
                  "%s{\"of\": \"%s\", \"lanes\": %u, \"count\": %" PRIu64
                  ", \"seconds\": %.6f, \"per_second\": %.1f}",
                  *before, of, (unsigned)speed->lanes, speed->count, (double)speed->ns / 1e9,
                  speed->ns ? (double)speed->count * 1e9 / (double)speed->ns : 0.0);
    *before = ", ";
}

static void put_scheme_report(FILE *to, const char *before, const struct doctor_scheme *s)
{
    const char *separator = "";
    cli_json_member(to, before, "name", scheme_name(s->scheme));
    cli_json_member(to, ", ", "result", doctor_result_word(s->result));
    cli_json_member(to, ", ", "why", s->why);
    (void)fprintf(to, ", \"keks\": %zu, \"speeds\": [", s->keks);
    put_speed(to, &separator, "generate", &s->generate);
    for (size_t column = 0; column < 2; column++) {
        put_speed(to, &separator, "seal", &s->seal[column]);
        put_speed(to, &separator, "open", &s->open[column]);
        put_speed(to, &separator, "seal+open", &s->round[column]);
    }
    cli_json_member(to, "], ", "speed_why", s->speed_why);
    (void)fprintf(to, ", \"too_many_lanes\": %s}", word(s->too_many_lanes));
}

void doctor_print_json(const struct doctor *d)
{
    const struct doctor_report *r = &d->report;
    FILE *to = d->cli->out;
    (void)fprintf(to, "{\"ok\": %s", word(r->ok));
    cli_json_member(to, ", ", "verdict", r->verdict);
    put_scheme(to, ", ", "best", r->best);
    put_scheme(to, ", ", "used", r->used);
    (void)fprintf(to, ", \"keys_made\": %s", word(!d->no_keys));
    cli_json_member(to, ", ", "left", r->left);
    put_module(d, to);
    put_token(d, to);
    put_ring(d, to);
    put_mechanisms(d, to);
    (void)fputs(", \"schemes\": [", to);
    for (size_t i = 0; i < r->n_schemes; i++)
        put_scheme_report(to, i > 0 ? ", {" : "{", &r->schemes[i]);
    (void)fputs("], \"ask\": [", to);
    for (size_t i = 0; i < r->n_ask; i++) {
        (void)fputs(i > 0 ? ", " : "", to);
        cli_json_string(to, r->ask[i]);
    }
    (void)fputs("]}\n", to);
}
