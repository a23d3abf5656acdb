/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_adopt.h"

#include "ring_external.h"

#include <string.h>

struct adopting {
    struct maker *maker;
    const struct adoption *adoption;
    struct ring_adopted adopted;
    struct ring_memory known; /* what sealed here last */
    struct key_id key_id;
    size_t place; /* of the key; 0: new */
};

static void adopting_clear(struct adopting *a)
{
    ring_adopted_clear(&a->adopted);
}

static struct err refuse(struct adopting *a, const char *why)
{
    return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"), "%s", why);
}

static struct err read_state(struct adopting *a)
{
    const char *ring = a->maker->rules->name, *state = a->maker->state_dir;
    struct err e = ring_adopted_load(state, ring, &a->adopted);
    if (e.code == ERR_INVALID)
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "ring-%s.adopted in stateDir is damaged: put it back, or remove it and "
                         "adopt again, first the key that sealed last",
                         ring);
    if (err_is(e))
        return maker_say(a->maker, e, "stateDir %s cannot be read", state);
    e = ring_state_current(state, ring, &a->known);
    if (err_is(e) && e.code != ERR_INVALID) /* a damaged one is told at start, and written anew */
        return maker_say(a->maker, e, "stateDir %s cannot be read", state);
    return ERR_OK;
}

/* The key among those that the maker's agent found, if it is as it must be. */
static struct err find_fit(struct adopting *a, const struct kek **ret)
{
    char refusal[MAKER_TEXT_MAX + 1];
    const struct kek *kek = maker_find(a->maker, &a->adoption->id);
    if (!kek)
        return maker_say(a->maker, err_make(ERR_NOT_FOUND, "adopt"),
                         "KEK %s is not among the %zu keys that ring.select finds on the token",
                         a->key_id.text, a->maker->look.n);
    if (!kek_usable(kek))
        return refuse(a, ring_external_refusal(kek, refusal, sizeof refusal));
    *ret = kek;
    return ERR_OK;
}

/* A key_id as an external ring makes it; a managed one's was never adopted. */
static bool is_external(const struct ring_rules *rules, const struct key_id *key_id)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    struct key_id made;
    return !err_is(key_id_parse(bytes_of_string(key_id->text), ring, &id)) &&
           !err_is(key_id_make_external(rules->name, &id, &made)) &&
           strcmp(made.text, key_id->text) == 0;
}

/* What sealed here last is not in the list and not the key itself, in whatever form it is named. */
static bool is_stray(const struct adopting *a)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id known;
    return !err_is(key_id_parse(bytes_of_string(a->known.key_id.text), ring, &known)) &&
           ring_adopted_place(&a->adopted, &known) == 0 &&
           !object_id_equal(&known, &a->adoption->id);
}

/* The active key of a daemon never goes back. */
static struct err check_order(struct adopting *a)
{
    const struct ring_adopted *adopted = &a->adopted;
    const char *known = a->known.key_id.text;
    bool stray = is_stray(a);
    a->place = ring_adopted_place(adopted, &a->adoption->id);
    if (a->place != 0 && a->place < adopted->n)
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "KEK %s was adopted here before KEK %s and is superseded: an active key "
                         "never goes back; it still opens what it sealed",
                         a->key_id.text, adopted->keys[adopted->n - 1].key_id.text);
    if (a->place != 0 && stray)
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "KEK %s was adopted here before KEK %s sealed and is superseded: adopt a "
                         "newer one",
                         a->key_id.text, known);
    if (stray && is_external(a->maker->rules, &a->known.key_id))
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "KEK %s sealed on this host last, and its adoption is lost: adopt it "
                         "first, then this one",
                         known);
    return ERR_OK;
}

/* --- the proof --------------------------------------------------------------------------- */

static struct err make_canary(struct adopting *a, struct canary *ret)
{
    const struct kek *kek = NULL;
    struct lane_reply reply;
    TRY(find_fit(a, &kek));
    TRY(maker_probe(a->maker, kek, bytes_of(NULL, 0), &reply));
    if (reply.u.envelope.len == 0 || reply.u.envelope.len > sizeof ret->data)
        return maker_say(a->maker, err_make(ERR_INTERNAL, "adopt"), "the agent made no canary");
    memcpy(ret->data, reply.u.envelope.data, reply.u.envelope.len);
    ret->len = reply.u.envelope.len;
    return ERR_OK;
}

/* What this host proved of the key before must still hold. A canary that is torn proves nothing,
 * and neither does none. */
static struct err open_old_canary(struct adopting *a, const struct kek *kek, bool *ret_none)
{
    struct canary old;
    struct lane_reply reply;
    struct err e = ring_state_canary(a->maker->state_dir, &kek->key_id, &old);
    *ret_none = e.code == ERR_NOT_FOUND || e.code == ERR_INVALID;
    if (*ret_none)
        return ERR_OK;
    if (err_is(e))
        return maker_say(a->maker, e, "stateDir %s cannot be read", a->maker->state_dir);
    e = maker_probe(a->maker, kek, bytes_of(old.data, old.len), &reply);
    if (e.code == ERR_AUTH)
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "other key material stands behind the CKA_ID of KEK %s than when this "
                         "host saw it first: restore the token",
                         kek->key_id.text);
    return e;
}

/* With a fresh agent, to which the first one's word is nothing. */
static struct err prove(struct adopting *a, const struct canary *canary)
{
    const struct kek *kek = NULL;
    struct lane_reply reply;
    bool none = false;
    TRY(maker_fresh(a->maker));
    TRY(find_fit(a, &kek));
    TRY(maker_probe(a->maker, kek, bytes_of(canary->data, canary->len), &reply));
    TRY(open_old_canary(a, kek, &none));
    if (!none)
        return ERR_OK;
    struct err e =
        ring_state_set_canary(a->maker->state_dir, &a->key_id, bytes_of(canary->data, canary->len));
    return err_is(e) ? maker_say(a->maker, e, "stateDir %s cannot be written", a->maker->state_dir)
                     : ERR_OK;
}

/* --- the record -------------------------------------------------------------------------- */

/* A KEK that sealed before the ring was external is superseded by this one, and must stay so. */
static struct err record(struct adopting *a)
{
    struct key_id keys[2];
    size_t n = 0;
    if (a->place != 0)
        return ERR_OK;
    if (is_stray(a))
        keys[n++] = a->known.key_id;
    keys[n++] = a->key_id;
    struct err e =
        ring_adopted_append(a->maker->state_dir, a->maker->rules->name, &a->adopted, keys, n);
    if (e.code == ERR_EXHAUSTED)
        return maker_say(a->maker, err_make(ERR_REFUSED, "adopt"),
                         "%d keys are adopted here, which is all that are kept", ADOPTED_MAX);
    return err_is(e) ? maker_say(a->maker, e, "stateDir %s cannot be written", a->maker->state_dir)
                     : ERR_OK;
}

static struct err say_adopted(struct adopting *a)
{
    char waived[200] = "";
    const struct kek *kek = maker_find(a->maker, &a->adoption->id);
    const char *wanted = a->adoption->wanted.text, *again = a->place != 0 ? " already" : "";
    if (kek)
        (void)ring_external_waived(kek, waived, sizeof waived);
    if (wanted[0] && strcmp(wanted, a->key_id.text) != 0)
        return maker_say(a->maker, ERR_OK,
                         "KEK %s is%s adopted%s and does not seal yet: ring.active names KEK %s; "
                         "change it and reload",
                         a->key_id.text, again, waived, wanted);
    return maker_say(a->maker, ERR_OK, "KEK %s is%s adopted%s and seals on this host",
                     a->key_id.text, again, waived);
}

struct err ring_adopt(struct maker *maker, const struct adoption *adoption)
{
    CLEANUP(adopting_clear) struct adopting a = {.maker = maker, .adoption = adoption};
    struct canary canary = {.len = 0};
    if (err_is(key_id_make_external(maker->rules->name, &adoption->id, &a.key_id)))
        return maker_say(maker, err_make(ERR_INVALID, "adopt"), "no key_id of this ring");
    TRY(read_state(&a));
    TRY(maker_fresh(maker));
    TRY(check_order(&a));
    TRY(make_canary(&a, &canary));
    TRY(prove(&a, &canary));
    TRY(record(&a));
    return say_adopted(&a);
}
