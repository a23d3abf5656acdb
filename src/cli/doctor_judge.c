/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include <stdarg.h>
#include <string.h>

static const struct {
    const char *text, *word;
    bool good;
} results[] = {
    [DOCTOR_NOT_TRIED] = {"not tried", "not-tried", false},
    [DOCTOR_WORKS] = {"works", "works", true},
    [DOCTOR_WORKS_BY_KEK] = {"works", "works-with-kek", true},
    [DOCTOR_FAILS] = {"does not work", "fails", false},
    [DOCTOR_MAY_WORK] = {"may work", "may-work", true},
    [DOCTOR_MAY_NOT] = {"may not work", "may-not-work", false},
};

const char *doctor_result_text(enum doctor_result result)
{
    return results[result].text;
}

const char *doctor_result_word(enum doctor_result result)
{
    return results[result].word;
}

bool doctor_result_good(enum doctor_result result)
{
    return results[result].good;
}

static const struct doctor_scheme *find(const struct doctor_report *r, enum scheme scheme)
{
    for (size_t i = 0; i < r->n_schemes; i++)
        if (r->schemes[i].scheme == scheme)
            return &r->schemes[i];
    return NULL;
}

/* The first that is proved, else the first that is guessed. */
static enum scheme best_of(const struct doctor_report *r)
{
    enum scheme guessed = SCHEME_NONE;
    for (size_t i = 0; i < r->n_schemes; i++) {
        const struct doctor_scheme *s = &r->schemes[i];
        if (s->result == DOCTOR_MAY_WORK && guessed == SCHEME_NONE)
            guessed = s->scheme;
        else if (doctor_result_good(s->result) && s->result != DOCTOR_MAY_WORK)
            return s->scheme;
    }
    return guessed;
}

static enum scheme used_by(const struct doctor *d)
{
    if (d->only != SCHEME_NONE)
        return d->only;
    if (d->rules.external)
        return d->report.ring_scheme;
    if (d->config->ring.scheme != SCHEME_NONE)
        return d->config->ring.scheme;
    return d->report.ring_scheme != SCHEME_NONE ? d->report.ring_scheme : d->report.best;
}

__attribute__((format(printf, 2, 3))) static void say(struct doctor_report *r, const char *format,
                                                      ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(r->verdict, sizeof r->verdict, format, arguments);
    va_end(arguments);
}

/* --- what to ask ------------------------------------------------------------------------- */

static void uses_text(uint32_t uses, char *text, size_t size)
{
    size_t len = 0;
    text[0] = '\0';
    for (uint32_t bit = 1; bit <= uses && len < size; bit <<= 1)
        if ((uses & bit) != 0)
            len += (size_t)snprintf(text + len, size - len, "%s%s", len > 0 ? " and " : "",
                                    mechanism_use_name(bit));
}

__attribute__((format(printf, 2, 3))) static void ask(struct doctor_report *r, const char *format,
                                                      ...)
{
    va_list arguments;
    if (r->n_ask == DOCTOR_ASK_MAX)
        return;
    va_start(arguments, format);
    (void)vsnprintf(r->ask[r->n_ask++], sizeof r->ask[0], format, arguments);
    va_end(arguments);
}

static void ask_for_mechanism(struct doctor_report *r, const char *scheme,
                              const struct scheme_need *need)
{
    const struct mechanism_facts *facts = &r->mechanism_facts.u.mechanism[need->mechanism];
    char uses[96], instead[64] = "";
    uses_text(need->uses, uses, sizeof uses);
    if (need->instead != MECHANISMS)
        (void)snprintf(instead, sizeof instead, ", or %s", mechanism_name(need->instead));
    ask(r, "%s: %s%s that can %s: the token %s", scheme, mechanism_name(need->mechanism), instead,
        uses, facts->listed ? "lists it without that" : "does not list it");
}

static void ask_for_scheme(struct doctor *d, const struct doctor_scheme *s)
{
    struct doctor_report *r = &d->report;
    const struct mechanism_facts *facts = r->mechanism_facts.u.mechanism;
    const struct scheme_need *need;
    for (size_t i = 0; r->mechanisms.known && (need = scheme_need(s->scheme, i)); i++)
        if (!scheme_need_is_told(need, facts) &&
            (scheme_need_is_of_use(need) || !d->rules.external))
            ask_for_mechanism(r, scheme_name(s->scheme), need);
}

/* It fails, and not for want of what the token does not list. */
static bool fails_oddly(const struct doctor *d, const struct doctor_scheme *s)
{
    return s->result == DOCTOR_FAILS &&
           scheme_needs_are_told(s->scheme, d->rules.external,
                                 d->report.mechanism_facts.u.mechanism);
}

/* A reason that several have is told once. */
static void ask_for_reason(struct doctor *d, size_t first)
{
    struct doctor_report *r = &d->report;
    const char *why = r->schemes[first].why;
    char names[128] = "";
    size_t len = 0;
    for (size_t i = 0; i < r->n_schemes; i++) {
        if (!fails_oddly(d, &r->schemes[i]) || strcmp(r->schemes[i].why, why) != 0)
            continue;
        if (i < first)
            return;
        len += (size_t)snprintf(names + len, sizeof names - len, "%s%s", len > 0 ? ", " : "",
                                scheme_name(r->schemes[i].scheme));
    }
    ask(r, "%s: the token lists all that is needed, and fails: %s", names, why);
}

static void ask_vendor(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    for (size_t i = 0; i < r->n_schemes; i++)
        if (!doctor_result_good(r->schemes[i].result) && r->schemes[i].result != DOCTOR_NOT_TRIED)
            ask_for_scheme(d, &r->schemes[i]);
    for (size_t i = 0; i < r->n_schemes; i++)
        if (fails_oddly(d, &r->schemes[i]))
            ask_for_reason(d, i);
    ask(r,
        "for each of them: keys that the token makes itself with CKA_TOKEN, CKA_PRIVATE and "
        "CKA_SENSITIVE true, CKA_EXTRACTABLE false, every usage named, a CKA_ID of 16 bytes and a "
        "CKA_LABEL of 64 bytes in the template; ALWAYS_SENSITIVE, NEVER_EXTRACTABLE and LOCAL "
        "read back as true; CKA_LABEL changed by C_SetAttributeValue");
    if (!d->rules.external)
        ask(r,
            "if only its own tool makes such keys, or an attribute of them is reported wrongly: an "
            "external ring may do (docs/external-keys.md)");
}

/* --- the verdict ------------------------------------------------------------------------- */

static const char *first_reason(const struct doctor_report *r)
{
    if (!r->module.known)
        return r->module.why;
    if (!r->token.known)
        return r->token.why;
    return r->login.known ? NULL : r->login.why;
}

/* Why this scheme and no other. */
static const char *reason_for(const struct doctor *d)
{
    if (d->only != SCHEME_NONE)
        return "no other was asked for";
    if (d->rules.external)
        return "the type of the ring's keys says it";
    if (d->config->ring.scheme != SCHEME_NONE)
        return "ring.scheme names it";
    if (d->report.ring_scheme != SCHEME_NONE)
        return "ring.scheme is auto, and a ring that has a KEK keeps its scheme";
    return "ring.scheme is auto, which takes the first that passes";
}

static void judge_scheme(struct doctor *d, const struct doctor_scheme *used)
{
    struct doctor_report *r = &d->report;
    bool good = used && doctor_result_good(used->result);
    r->ok = good && !used->too_many_lanes && !r->ring_lost;
    if (r->ring_lost)
        say(r, "%.500s", r->health.text);
    else if (d->rules.external && r->keks == 0)
        say(r, "ring %s is external, and ring.select finds no key", d->rules.name);
    else if (!used && d->rules.external)
        say(r, "no key that ring.select finds can be used");
    else if (!used)
        say(r, "the token passes for no scheme");
    else if (good && used->too_many_lanes)
        say(r,
            "%s works with one lane, and not with token.sessions %u, which a daemon needs to "
            "start: "
            "%.200s",
            scheme_name(used->scheme), (unsigned)d->config->token.sessions, used->speed_why);
    else if (!r->ok)
        say(r, "%s does not work on this token, and is what is used: %s", scheme_name(used->scheme),
            reason_for(d));
    else
        say(r, "%s%s is used: %s", scheme_name(used->scheme),
            used->result == DOCTOR_MAY_WORK ? " (a guess: no key was made)" : "", reason_for(d));
}

void doctor_judge(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    const char *reason = first_reason(r);
    if (doctor_interrupted()) {
        say(r, "interrupted: not all was tried");
        return;
    }
    if (reason) {
        say(r, "the token cannot be used: %s", reason);
        return;
    }
    if (r->stopped[0]) {
        say(r, "not all was tried, for the token fails: %.400s", r->stopped);
        return;
    }
    r->best = best_of(r);
    r->used = used_by(d);
    const struct doctor_scheme *used = find(r, r->used);
    judge_scheme(d, used);
    if (!r->ok && !r->ring_lost && !(used && used->too_many_lanes) &&
        !(d->rules.external && r->keks > 0))
        ask_vendor(d);
}
