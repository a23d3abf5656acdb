/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include "ring_external.h"

#include <string.h>

static struct err new_trial(struct object_id *ret)
{
    uint8_t uuid[UUID_BYTES];
    TRY(uuid_make(uuid));
    return object_id_from(bytes_of(uuid, sizeof uuid), ret);
}

static struct err remove_once(struct doctor *d, const struct object_id *trial)
{
    struct lane_request request = {.op = LANE_TRIAL};
    struct lane_reply reply;
    request.u.trial.step = TRIAL_REMOVE;
    request.u.trial.trial = *trial;
    return doctor_call(d, d->maker.lane, &request, &reply, d->maker.text, sizeof d->maker.text);
}

struct err doctor_remove(struct doctor *d, const struct object_id *trial)
{
    char uuid[UUID_TEXT + 1];
    struct err e = remove_once(d, trial);
    if (err_is(e))
        e = maker_fresh(&d->maker);
    else
        return ERR_OK;
    if (!err_is(e))
        e = remove_once(d, trial);
    uuid_format(trial->data, uuid);
    if (err_is(e))
        (void)snprintf(
            d->report.left, sizeof d->report.left,
            "objects labelled p11-kms-selftest/%s... may be left on the token, and could "
            "not be removed: %.300s; a self-test after ten minutes removes them",
            uuid, d->maker.text);
    return e;
}

/* One self-test. After a failure the module may be in any state, and its agent dead with a key
 * made: so a fresh agent follows, which removes it. *lost: there is none. */
static struct err attempt(struct doctor *d, struct doctor_scheme *scheme, struct err *lost)
{
    *lost = new_trial(&d->maker.trial);
    TRY(*lost);
    struct err e = maker_self_test(&d->maker, scheme->scheme);
    if (!err_is(e))
        return e;
    (void)snprintf(scheme->why, sizeof scheme->why, "%.200s", d->maker.text);
    if (e.code == ERR_DEADLINE)
        (void)snprintf(scheme->why, sizeof scheme->why,
                       "it hangs: no answer to the self-test within %d s", d->step_ms / 1000);
    *lost = maker_fresh(&d->maker);
    if (!err_is(*lost))
        *lost = doctor_remove(d, &d->maker.trial);
    else
        (void)err_is(doctor_remove(d, &d->maker.trial)); /* says what may be left */
    return e;
}

static struct err self_test(struct doctor *d, struct doctor_scheme *scheme)
{
    struct err lost, e;
    doctor_progress(d, "%s: self-test: generate, keep, relabel, seal, open, destroy",
                    scheme_name(scheme->scheme));
    e = attempt(d, scheme, &lost);
    if (err_is(e) && !err_is(lost) && scheme_may_pass(e) && !doctor_interrupted())
        e = attempt(d, scheme, &lost);
    scheme->result = err_is(e) ? DOCTOR_FAILS : DOCTOR_WORKS;
    if (!err_is(e))
        scheme->why[0] = '\0';
    return lost;
}

/* --- without a key ----------------------------------------------------------------------- */

/* The newest KEK of the scheme that may seal. */
static const struct kek *sealing_kek(const struct doctor *d, enum scheme scheme)
{
    const struct ring_look *look = &d->maker.look;
    const struct kek *best = NULL;
    for (size_t i = 0; i < look->n; i++) {
        const struct kek *kek = &look->keys[i];
        if (kek->label.scheme == scheme && kek_usable(kek) && kek->label.state <= KEY_ACTIVE &&
            (!best || kek_newer(kek, best)))
            best = kek;
    }
    return best;
}

static void guess(const struct doctor *d, struct doctor_scheme *scheme)
{
    const struct doctor_report *r = &d->report;
    bool told =
        scheme_needs_are_told(scheme->scheme, d->rules.external, r->mechanism_facts.u.mechanism);
    if (!r->mechanisms.known)
        return;
    scheme->result = told ? DOCTOR_MAY_WORK : DOCTOR_MAY_NOT;
    (void)snprintf(scheme->why, sizeof scheme->why, "a guess, by %s the token lists",
                   told ? "what" : "what is not among the mechanisms that");
}

/* Where the ring has KEKs of the scheme, and none may be used. */
static bool all_refused(const struct doctor *d, struct doctor_scheme *scheme)
{
    const struct ring_look *look = &d->maker.look;
    const struct kek *refused = NULL;
    for (size_t i = 0; i < look->n; i++) {
        if (look->keys[i].label.scheme != scheme->scheme)
            continue;
        if (kek_usable(&look->keys[i]))
            return false;
        refused = &look->keys[i];
    }
    if (refused)
        (void)ring_external_refusal(refused, scheme->why, sizeof scheme->why);
    return refused != NULL;
}

static void do_without(const struct doctor *d, struct doctor_scheme *scheme)
{
    if (d->rules.external && scheme_roles(scheme->scheme) > 1)
        (void)snprintf(scheme->why, sizeof scheme->why,
                       "its KEKs are two objects each, and those of an external ring are one");
    else if (all_refused(d, scheme))
        scheme->result = DOCTOR_FAILS;
    else
        guess(d, scheme);
}

static struct err probe(struct doctor *d, struct doctor_scheme *scheme)
{
    struct lane_reply reply;
    const struct kek *kek = sealing_kek(d, scheme->scheme);
    if (!kek) {
        do_without(d, scheme);
        return ERR_OK;
    }
    doctor_progress(d, "%s: sealing and opening with KEK %s", scheme_name(scheme->scheme),
                    kek->key_id.text);
    struct err e = maker_probe(&d->maker, kek, bytes_of(NULL, 0), &reply);
    scheme->result = err_is(e) ? DOCTOR_FAILS : DOCTOR_WORKS_BY_KEK;
    if (!err_is(e)) {
        (void)snprintf(scheme->why, sizeof scheme->why, "KEK %s seals and opens", kek->key_id.text);
        doctor_measure_kek(d, scheme, kek);
        return ERR_OK;
    }
    (void)snprintf(scheme->why, sizeof scheme->why, "%.200s", d->maker.text);
    return maker_fresh(&d->maker);
}

/* --- all --------------------------------------------------------------------------------- */

static size_t count_keks(const struct doctor *d, enum scheme scheme)
{
    size_t n = 0;
    for (size_t i = 0; i < d->maker.look.n; i++)
        n += d->maker.look.keys[i].label.scheme == scheme;
    return n;
}

static struct err try_one(struct doctor *d, struct doctor_scheme *scheme)
{
    scheme->keks = count_keks(d, scheme->scheme);
    if (d->no_keys)
        return probe(d, scheme);
    TRY(self_test(d, scheme));
    return scheme->result == DOCTOR_WORKS && !doctor_interrupted() ? doctor_measure(d, scheme)
                                                                   : ERR_OK;
}

struct err doctor_try(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    struct err e = ERR_OK;
    for (size_t i = 0; i < r->n_schemes && !err_is(e) && !doctor_interrupted(); i++)
        e = try_one(d, &r->schemes[i]);
    if (err_is(e))
        (void)snprintf(r->stopped, sizeof r->stopped, "%.500s", d->maker.text);
    return e;
}
