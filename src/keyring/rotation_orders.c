/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_adopt.h"
#include "rotation_private.h"

#include <stdarg.h>
#include <string.h>

/* One order on its way. */
struct errand {
    struct rotation *r;
    const struct ring_order *order;
    struct ring_standing standing;
    struct ring_report report;
    struct object_id changed; /* the KEK last made or relabelled; len 0: none */
    enum key_state state;     /* its new one */
};

/* The report's text; yields e. */
__attribute__((format(printf, 3, 4))) static struct err say(struct errand *errand, struct err e,
                                                            const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(errand->report.text, sizeof errand->report.text, format, arguments);
    va_end(arguments);
    return e;
}

static struct err refuse(void)
{
    return err_make(ERR_REFUSED, "order");
}

static struct err look(struct errand *errand)
{
    TRY(maker_fresh(&errand->r->maker));
    rotation_judge(errand->r, &errand->standing);
    return ERR_OK;
}

static struct kek *named(struct errand *errand)
{
    struct ring_look *found = &errand->r->maker.look;
    for (size_t i = 0; i < found->n; i++)
        if (object_id_equal(&found->keys[i].id, &errand->order->id))
            return &found->keys[i];
    return NULL;
}

static void has_changed(struct errand *errand, const struct object_id *id, enum key_state state)
{
    errand->changed = *id;
    errand->state = state;
}

/* --- lost KEKs --------------------------------------------------------------------------- */

static struct err find_missing(struct errand *errand, bool named_too, struct known_keks *ret)
{
    const struct ring_memory *active = &errand->standing.known;
    struct err e = named_too ? rotation_missing(errand->r, active, ret)
                             : rotation_lost(errand->r, active, ret);
    if (err_is(e))
        (void)say(errand, refuse(), "stateDir cannot be read: which KEKs are missing is not known");
    return e;
}

/* instead: what else may be done, or "". */
static struct err refuse_while_missing(struct errand *errand, bool named_too, const char *instead)
{
    CLEANUP(known_keks_clear) struct known_keks missing = {NULL, 0, 0};
    TRY(find_missing(errand, named_too, &missing));
    if (missing.n == 0)
        return ERR_OK;
    return say(errand, refuse(),
               "KEK %s is not on the token any more: restore the token, or give the KEK up with "
               "`p11-kms keys rotate --acknowledge-loss %s`%s",
               missing.ids[0].text, missing.ids[0].text, instead);
}

/* Yields another that is missing as well, or an empty one. */
static struct err acknowledge_loss(struct errand *errand, struct key_id *ret_other)
{
    struct rotation *r = errand->r;
    const struct key_id lost = errand->report.key_id;
    bool known = strcmp(errand->standing.known.key_id.text, lost.text) == 0;
    CLEANUP(known_keks_clear) struct known_keks missing = {NULL, 0, 0};
    TRY(find_missing(errand, true, &missing));
    if (named(errand))
        return say(errand, refuse(), "KEK %s is on the token: it is not lost", lost.text);
    if (!known && !known_keks_has(&missing, &lost))
        return say(errand, refuse(), "no KEK %s is known to be missing here", lost.text);
    struct err e = r->hooks.forget(r->hooks.context, &lost);
    if (err_is(e)) {
        (void)say(errand, refuse(), "the loss could not be written to stateDir");
        return e;
    }
    rotation_note(r, true, "a KEK was given up as lost", &lost, "by order");
    rotation_judge(r, &errand->standing);
    known_keks_remove(&missing, &lost);
    *ret_other = missing.n > 0 ? missing.ids[0] : (struct key_id){""};
    return ERR_OK;
}

/* --- rotating ---------------------------------------------------------------------------- */

static const struct kek *pending_of(struct errand *errand)
{
    const struct ring_look *found = &errand->r->maker.look;
    const struct kek *best = NULL;
    for (size_t i = 0; i < found->n; i++) {
        const struct kek *key = &found->keys[i];
        if (key->label.state == KEY_PRE_ACTIVE &&
            rotation_may_follow(errand->r, &errand->standing, key) &&
            (!best || kek_newer(key, best)))
            best = key;
    }
    return best;
}

/* A ring whose KEKs this host has never seen active is `init`'s to begin, not ours. */
static struct err refuse_to_begin(struct errand *errand)
{
    if (errand->standing.active != SIZE_MAX || errand->standing.known.key_id.text[0])
        return ERR_OK;
    return say(errand, refuse(), "%s", errand->standing.health.text);
}

static struct err make(struct errand *errand, struct object_id *ret)
{
    struct rotation *r = errand->r;
    TRY(rotation_make(r, &errand->standing, ret));
    has_changed(errand, ret, KEY_PRE_ACTIVE);
    errand->report.key_id = maker_find(&r->maker, ret)->key_id;
    rotation_note(r, false, "made a KEK", &errand->report.key_id, "by order");
    return ERR_OK;
}

static struct err activate(struct errand *errand, const struct object_id *id)
{
    struct rotation *r = errand->r;
    TRY(rotation_activate(r, id));
    has_changed(errand, id, KEY_ACTIVE);
    rotation_note(r, false, "activated a KEK", &maker_find(&r->maker, id)->key_id, "by order");
    return ERR_OK;
}

/* Whether there is a KEK that may seal, here or on another replica, be the token well or not. */
static bool has_active(struct errand *errand)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(errand->r->keyring);
    if (errand->standing.active == SIZE_MAX)
        return false;
    const struct kek *active = &errand->r->maker.look.keys[errand->standing.active];
    const struct kek *published = ring_view_find(view, &active->id);
    return !published || !published->quarantined;
}

/* Yields whether a successor is to be made after that. */
static struct err give_up(struct errand *errand, bool *ret_make)
{
    struct key_id other = {""};
    TRY(acknowledge_loss(errand, &other));
    *ret_make = false;
    if (has_active(errand))
        return say(errand, ERR_OK, "the loss of KEK %s is acknowledged; the active KEK stays",
                   errand->report.key_id.text);
    if (other.text[0])
        return say(errand, ERR_OK,
                   "the loss of KEK %s is acknowledged; nothing is made while KEK %s is missing "
                   "too: restore the token, or give it up as well",
                   errand->report.key_id.text, other.text);
    *ret_make = true;
    return ERR_OK;
}

/* Nobody seals: there is nothing to wait for. */
static struct err activate_pending(struct errand *errand, const struct kek *pending)
{
    const struct object_id id = pending->id;
    errand->report.key_id = pending->key_id;
    errand->report.active_ms = clock_wall_ms();
    TRY(activate(errand, &id));
    return say(errand, ERR_OK, "KEK %s, which was on its way already, is active",
               errand->report.key_id.text);
}

static struct err make_successor(struct errand *errand)
{
    const struct rotation_tuning tuning = rotation_tuning_of(errand->r);
    const bool sealing = has_active(errand);
    struct object_id made;
    TRY(refuse_to_begin(errand));
    const struct kek *pending = pending_of(errand);
    if (pending && !sealing && kek_usable(pending))
        return activate_pending(errand, pending);
    if (pending)
        return say(errand, refuse(),
                   "KEK %s is on its way already: wait, `p11-kms keys activate` it now, or "
                   "`p11-kms keys deactivate` it",
                   pending->key_id.text);
    TRY(make(errand, &made));
    errand->report.active_ms = clock_wall_ms();
    if (!sealing) { /* nothing to wait for: nobody seals */
        TRY(activate(errand, &made));
        return say(errand, ERR_OK, "KEK %s is made and active", errand->report.key_id.text);
    }
    errand->report.active_ms =
        kek_made_ms(maker_find(&errand->r->maker, &made)) + tuning.activation_delay_ms;
    return say(errand, ERR_OK, "KEK %s is made and becomes active after ring.activationDelay",
               errand->report.key_id.text);
}

static struct err rotate(struct errand *errand)
{
    bool goes_on = true;
    TRY(look(errand));
    if (errand->order->id.len > 0)
        TRY(give_up(errand, &goes_on));
    else
        TRY(refuse_while_missing(errand, true, ""));
    return goes_on ? make_successor(errand) : ERR_OK;
}

/* --- states ------------------------------------------------------------------------------ */

static struct err look_for_named(struct errand *errand)
{
    TRY(look(errand));
    if (named(errand))
        return ERR_OK;
    (void)say(errand, refuse(), "no KEK %s is on the token", errand->report.key_id.text);
    return err_make(ERR_NOT_FOUND, "order");
}

static struct err activate_named(struct errand *errand)
{
    TRY(look_for_named(errand));
    TRY(refuse_while_missing(errand, true, ""));
    const struct kek *kek = named(errand);
    if (kek->label.state != KEY_PRE_ACTIVE)
        return say(errand, refuse(), "KEK %s is %s: only a pre-active one can be activated",
                   kek->key_id.text, key_state_name(kek->label.state));
    if (!rotation_may_follow(errand->r, &errand->standing, kek))
        return say(errand, refuse(), "KEK %s is superseded: a newer one has been active",
                   kek->key_id.text);
    TRY(activate(errand, &errand->order->id));
    return say(errand, ERR_OK, "KEK %s is active", errand->report.key_id.text);
}

/* So that there is always one that seals. Leaves the maker's look as a fresh agent found it. What
 * Decrypts alone have named does not stop it: anybody who writes to etcd could keep a stolen KEK in
 * use, by headers that nothing proves. */
static struct err put_successor_in_place(struct errand *errand)
{
    TRY(refuse_while_missing(errand, false,
                             ", and then give this order again, or give it on a host that "
                             "misses none; until then the named KEK stays active"));
    const struct key_id old = errand->report.key_id;
    const struct kek *pending = pending_of(errand);
    struct object_id id;
    if (pending && kek_usable(pending))
        id = pending->id;
    else
        TRY(make(errand, &id));
    TRY(activate(errand, &id));
    errand->report.key_id = old;
    return ERR_OK;
}

/* Asked of the token, not of this host's verdict: where that is bad, other replicas may be well and
 * seal with it. */
static bool is_newest_active(struct errand *errand, const struct kek *kek)
{
    return errand->standing.newest != SIZE_MAX &&
           kek == &errand->r->maker.look.keys[errand->standing.newest];
}

static struct err worsen_named(struct errand *errand, enum key_state state)
{
    TRY(look_for_named(errand));
    const struct kek *kek = named(errand);
    if (kek->label.state >= state)
        return say(errand, refuse(), "KEK %s is %s already", kek->key_id.text,
                   key_state_name(kek->label.state));
    const bool seals = is_newest_active(errand, kek);
    if (seals)
        TRY(put_successor_in_place(errand));
    kek = named(errand);
    if (!kek)
        return say(errand, refuse(), "KEK %s has gone from the token meanwhile",
                   errand->report.key_id.text);
    TRY(maker_set_state(&errand->r->maker, kek, state));
    has_changed(errand, &kek->id, state);
    rotation_note(errand->r, state == KEY_COMPROMISED, "relabelled a KEK", &kek->key_id,
                  key_state_name(state));
    return say(errand, ERR_OK, "KEK %s is %s%s", kek->key_id.text, key_state_name(state),
               seals ? "; its successor is active" : "");
}

static struct err adopt(struct errand *errand)
{
    struct rotation *r = errand->r;
    const struct adoption adoption = {.id = errand->order->id,
                                      .wanted = keyring_wanted(r->keyring)};
    struct health health;
    struct key_id current;
    TRY(ring_adopt(&r->maker, &adoption));
    rotation_note(r, false, "adopted a key", &errand->report.key_id, "by order");
    maker_end(&r->maker);
    bool waits =
        adoption.wanted.text[0] && strcmp(adoption.wanted.text, errand->report.key_id.text) != 0;
    if (waits || rotation_await_active(r, &adoption.id))
        return say(errand, ERR_OK, "%s", r->maker.text);
    keyring_status(r->keyring, &health, &current);
    return say(errand, ERR_OK, "KEK %s is adopted and does not seal yet: %s",
               errand->report.key_id.text, health.ok ? "look at Status again" : health.text);
}

static struct err carry_out_external(struct errand *errand)
{
    if (errand->order->command == RING_ADOPT)
        return adopt(errand);
    return say(errand, refuse(),
               "ring %s is external: its keys are made, retired and removed by whoever made "
               "them, and `p11-kms keys adopt` puts a new one in place",
               errand->r->maker.rules->name);
}

static struct err carry_out(struct errand *errand)
{
    if (errand->r->maker.rules->external)
        return carry_out_external(errand);
    switch (errand->order->command) {
    case RING_ROTATE:
        return rotate(errand);
    case RING_ACTIVATE:
        return activate_named(errand);
    case RING_DEACTIVATE:
        return worsen_named(errand, KEY_DEACTIVATED);
    case RING_COMPROMISE:
        return worsen_named(errand, KEY_COMPROMISED);
    case RING_ADOPT:
        break;
    }
    return say(errand, refuse(), "keys are adopted only where ring.mode is external");
}

static struct err name_key(const struct ring_rules *rules, const struct object_id *id,
                           struct key_id *ret)
{
    return (rules->external ? key_id_make_external : key_id_make)(rules->name, id, ret);
}

void rotation_carry_out(struct rotation *r, const struct ring_order *order)
{
    struct errand errand = {.r = r, .order = order};
    r->maker.text[0] = '\0';
    if (order->id.len > 0 && err_is(name_key(r->maker.rules, &order->id, &errand.report.key_id)))
        errand.report.key_id.text[0] = '\0';
    struct err e = carry_out(&errand);
    maker_end(&r->maker);
    if (errand.changed.len > 0) /* who asks next must not be told of the ring before */
        rotation_await_seen(r, &errand.changed, errand.state);
    errand.report.code = e.code;
    if (!errand.report.text[0])
        (void)snprintf(errand.report.text, sizeof errand.report.text, "%s",
                       r->maker.text[0] ? r->maker.text : "failed");
    if (err_is(e))
        errand.report.active_ms = 0;
    order->done(order->context, &errand.report);
}
