/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's report for people. */
#include "doctor.h"

#include "cli_show.h"
#include "quirks.h"

#include <inttypes.h>
#include <string.h>

enum { LEFT = 12, SESSIONS_MANY = 1 << 30 /* openCryptoki tells the largest number there is */ };

static void name(FILE *to, const char *text)
{
    (void)fprintf(to, "%-*s", LEFT, text);
}

static void print_why(FILE *to, const char *why)
{
    show_coloured(to, SHOW_BAD, why[0] ? why : "not asked", 0);
    (void)fputc('\n', to);
}

/* --- module and token -------------------------------------------------------------------- */

static void print_module(const struct doctor *d, FILE *to)
{
    const struct module_facts *m = &d->report.module_facts.u.module;
    name(to, "module:");
    (void)fprintf(to, "%s\n", d->config->token.module);
    name(to, "library:");
    if (!d->report.module.known) {
        print_why(to, d->report.module.why);
        return;
    }
    (void)fprintf(to, "%s %u.%u, %s; Cryptoki %u.%u\n", m->description, m->library.major,
                  m->library.minor, m->manufacturer, m->cryptoki.major, m->cryptoki.minor);
}

static enum show_colour flag_colour(enum token_flag flag)
{
    switch (flag) {
    case TOKEN_FLAG_WRITE_PROTECTED:
    case TOKEN_FLAG_PIN_FINAL_TRY:
    case TOKEN_FLAG_PIN_LOCKED:
        return SHOW_BAD;
    case TOKEN_FLAG_PIN_COUNT_LOW:
    case TOKEN_FLAG_PIN_TO_BE_CHANGED:
        return SHOW_CARE;
    default:
        return SHOW_PLAIN;
    }
}

static void print_flags(FILE *to, uint32_t flags)
{
    const char *before = "";
    name(to, "flags:");
    for (unsigned i = 0; i < TOKEN_FLAGS; i++) {
        if ((flags & (1U << i)) == 0)
            continue;
        (void)fputs(before, to);
        show_coloured(to, flag_colour((enum token_flag)i), token_flag_name((enum token_flag)i), 0);
        before = ", ";
    }
    (void)fputs(before[0] ? "\n" : "none\n", to);
}

static void print_quirks(FILE *to, uint32_t quirks)
{
    for (unsigned i = 0; i < QUIRKS; i++) {
        if (!quirks_have(quirks, (enum quirk)i))
            continue;
        name(to, "quirk:");
        (void)fprintf(to, "%s\n", quirk_text((enum quirk)i));
    }
}

/* While an agent is replaced there are two: lanes and one for probes each. */
static void print_sessions(const struct doctor *d, FILE *to)
{
    const struct token_facts *t = &d->report.token_facts.u.token;
    uint32_t lanes = d->config->token.sessions;
    name(to, "sessions:");
    if (t->max_sessions == FACT_UNKNOWN)
        (void)fputs("the token does not tell how many", to);
    else if (t->max_sessions == FACT_NO_LIMIT || t->max_sessions > SESSIONS_MANY)
        (void)fputs("no limit told", to);
    else
        (void)fprintf(to, "at most %" PRIu64 ", which is enough for token.sessions up to %" PRIu64,
                      t->max_sessions, t->max_sessions < 4 ? 0 : (t->max_sessions - 2) / 2);
    (void)fprintf(to, "; configured: %u, which takes up to %u for a moment\n", (unsigned)lanes,
                  (unsigned)lanes * 2 + 2);
}

static void print_token(const struct doctor *d, FILE *to)
{
    const struct token_facts *t = &d->report.token_facts.u.token;
    name(to, "token:");
    if (!d->report.token.known) {
        print_why(to, d->report.token.why);
        return;
    }
    (void)fprintf(to, "%s (%s %s, serial %s; hardware %u.%u, firmware %u.%u)\n", t->label,
                  t->manufacturer, t->model, t->serial, t->hardware.major, t->hardware.minor,
                  t->firmware.major, t->firmware.minor);
    name(to, "slot:");
    (void)fprintf(to, "%" PRIu64 ", %s\n", t->slot, t->slot_description);
    print_flags(to, t->flags);
    print_quirks(to, t->quirks);
    print_sessions(d, to);
}

static void print_login(const struct doctor *d, FILE *to)
{
    const struct doctor_report *r = &d->report;
    name(to, "login:");
    if (!r->login.known) {
        print_why(to, r->login.why);
        return;
    }
    bool needed = (r->token_facts.u.token.flags & (1U << TOKEN_FLAG_LOGIN_REQUIRED)) != 0;
    show_coloured(to, SHOW_GOOD, needed ? "the PIN is right" : "not needed", 0);
    (void)fputc('\n', to);
    name(to, "ring:");
    (void)fprintf(to, "%s, %s: %zu %s%s; ", d->rules.name,
                  d->rules.external ? "external" : "managed", r->keks,
                  d->rules.external ? "key" : "KEK", r->keks == 1 ? "" : "s");
    if (r->active.text[0])
        (void)fprintf(to, "%s seals\n", r->active.text);
    else
        (void)fprintf(to, "%s\n", r->health.text);
}

static void print_daemon(const struct doctor *d, FILE *to)
{
    unsigned lanes = d->config->token.sessions;
    if (!d->report.login.known)
        return;
    name(to, "daemon:");
    if (d->report.daemon == 0)
        (void)fputs("none runs with this stateDir\n", to);
    else
        (void)fprintf(to,
                      "p11-kmsd runs (pid %d), with %u lanes and %u sessions of its own; measured "
                      "with one lane alone\n",
                      (int)d->report.daemon, lanes, lanes + 1);
}

/* --- mechanisms -------------------------------------------------------------------------- */

static void print_size(FILE *to, const struct mechanism_facts *m)
{
    char text[48] = "";
    if (m->told && m->most != FACT_UNKNOWN && (m->least != 0 || m->most != 0))
        (void)snprintf(text, sizeof text, "%" PRIu64 " to %" PRIu64, m->least, m->most);
    (void)fprintf(to, "%-18s", text);
}

static void print_uses(FILE *to, const struct mechanism_facts *m)
{
    const char *before = "";
    if (!m->told)
        (void)fputs("C_GetMechanismInfo does not tell", to);
    for (uint32_t bit = 1; m->told && bit <= USE_UNWRAP; bit <<= 1) {
        if ((m->uses & bit) == 0)
            continue;
        (void)fprintf(to, "%s%s", before, mechanism_use_name(bit));
        before = ", ";
    }
}

static void print_mechanisms(const struct doctor *d, FILE *to)
{
    if (!d->report.token.known)
        return;
    if (!d->report.mechanisms.known) {
        name(to, "mechanisms:");
        print_why(to, d->report.mechanisms.why);
        return;
    }
    (void)fputs("\nmechanism                    key sizes         for, as the token says\n", to);
    for (unsigned i = 0; i < MECHANISMS; i++) {
        const struct mechanism_facts *m = &d->report.mechanism_facts.u.mechanism[i];
        (void)fprintf(to, "%-29s", mechanism_name((enum mechanism)i));
        if (m->listed) {
            print_size(to, m);
            print_uses(to, m);
        } else {
            show_coloured(to, SHOW_CARE, "not listed", 0);
        }
        (void)fputc('\n', to);
    }
}

/* --- schemes ----------------------------------------------------------------------------- */

static enum show_colour result_colour(enum doctor_result result)
{
    if (result == DOCTOR_NOT_TRIED || result == DOCTOR_MAY_WORK)
        return SHOW_CARE;
    return doctor_result_good(result) ? SHOW_GOOD : SHOW_BAD;
}

static void print_scheme(const struct doctor_scheme *s, FILE *to)
{
    (void)fprintf(to, "%-16s", scheme_name(s->scheme));
    show_coloured(to, result_colour(s->result), doctor_result_text(s->result), 0);
    if (s->why[0])
        (void)fprintf(to, ": %s", s->why);
    if (s->keks > 0)
        (void)fprintf(to, " (the ring has %zu KEK%s of it)", s->keks, s->keks == 1 ? "" : "s");
    (void)fputc('\n', to);
}

static void print_schemes(const struct doctor *d, FILE *to)
{
    const struct doctor_report *r = &d->report;
    if (!r->login.known)
        return;
    (void)fprintf(to, "\nscheme          %s\n",
                  d->no_keys ? "no key was made on the token" : "self-test on the token");
    for (size_t i = 0; i < r->n_schemes; i++)
        print_scheme(&r->schemes[i], to);
}

static void print_speed(FILE *to, const char *scheme, const char *what,
                        const struct doctor_speed *speed)
{
    if (speed->lanes == 0 || speed->ns == 0)
        return;
    double rate = (double)speed->count * 1e9 / (double)speed->ns;
    (void)fprintf(to, "%-16s%-10s%5u%12.*f%10" PRIu64 " in %.3f s\n", scheme, what,
                  (unsigned)speed->lanes, rate < 100 ? 1 : 0, rate, speed->count,
                  (double)speed->ns / 1e9);
}

static void print_speeds(const struct doctor *d, FILE *to)
{
    const struct doctor_report *r = &d->report;
    bool any = false;
    for (size_t i = 0; i < r->n_schemes; i++) {
        const struct doctor_scheme *s = &r->schemes[i];
        if (s->generate.lanes == 0 && s->round[0].lanes == 0 && !s->speed_why[0])
            continue;
        if (!any)
            (void)fputs("\nspeed           of        lanes    a second  measured\n", to);
        any = true;
        print_speed(to, scheme_name(s->scheme), "generate", &s->generate);
        for (size_t column = 0; column < 2; column++) {
            print_speed(to, scheme_name(s->scheme), "seal", &s->seal[column]);
            print_speed(to, scheme_name(s->scheme), "open", &s->open[column]);
            print_speed(to, scheme_name(s->scheme), "seal+open", &s->round[column]);
        }
        if (s->speed_why[0])
            (void)fprintf(to, "%-16snot all was measured: %s\n", scheme_name(s->scheme),
                          s->speed_why);
    }
}

void doctor_print_text(const struct doctor *d)
{
    const struct doctor_report *r = &d->report;
    FILE *to = d->cli->out;
    print_module(d, to);
    if (r->module.known) {
        print_token(d, to);
        if (r->token.known)
            print_login(d, to);
        print_daemon(d, to);
        print_mechanisms(d, to);
        print_schemes(d, to);
        print_speeds(d, to);
    }
    (void)fputs("\nresult:     ", to);
    show_coloured(to, r->ok ? SHOW_GOOD : SHOW_BAD, r->verdict, 0);
    (void)fputc('\n', to);
    if (r->left[0])
        (void)fprintf(to, "left:       %s\n", r->left);
    for (size_t i = 0; i < r->n_ask; i++)
        (void)fprintf(to, "%s  - %s\n", i == 0 ? "\nWhat to ask the vendor:\n" : "", r->ask[i]);
}
