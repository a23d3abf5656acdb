/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_retired.h"
#include "rotation_private.h"
#include "scheme_choice.h"

#include <string.h>

void rotation_note(struct rotation *r, bool bad, const char *what, const struct key_id *key_id,
                   const char *why)
{
    r->hooks.note(r->hooks.context, bad, what, key_id ? key_id->text : "", why);
}

void rotation_judge(struct rotation *r, struct ring_standing *ret)
{
    *ret = (struct ring_standing){.active = SIZE_MAX,
                                  .newest = ring_look_newest_active(&r->maker.look)};
    /* A damaged memory is told by the keeper; what it held cannot bind us. */
    (void)err_is(ring_state_current(r->state_dir, r->maker.rules->name, &ret->known));
    if (ring_look_judge(&r->maker.look, r->maker.rules->name, &ret->known, &ret->active,
                        &ret->health) != VERDICT_SEALS)
        ret->active = SIZE_MAX;
}

/* Adds what is missing from what is published and was not found since. */
static struct err add_still_missing(struct rotation *r, struct known_keks *ret)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(r->keyring);
    size_t n = 0;
    const struct key_id *missing = ring_view_missing(view, &n);
    for (size_t i = 0; i < n; i++) {
        char ring[RING_NAME_MAX + 1];
        struct object_id id;
        if (err_is(key_id_parse(bytes_of_string(missing[i].text), ring, &id)) ||
            !maker_find(&r->maker, &id))
            TRY(known_keks_add(ret, &missing[i]));
    }
    return ERR_OK;
}

/* The token may have lost a KEK since the keeper looked, and the maker is a fresh agent. */
struct err rotation_lost(struct rotation *r, const struct ring_memory *active,
                         struct known_keks *ret)
{
    CLEANUP(known_keks_clear) struct known_keks known = {NULL, 0, 0};
    TRY(known_keks_load(r->state_dir, r->maker.rules->name, &known));
    if (active->key_id.text[0] && !active->lost)
        TRY(known_keks_add(&known, &active->key_id));
    TRY(known_keks_missing(&known, &r->maker.look, ret));
    ring_retired_forgive(r->state_dir, ret);
    return ERR_OK;
}

struct err rotation_missing(struct rotation *r, const struct ring_memory *active,
                            struct known_keks *ret)
{
    TRY(rotation_lost(r, active, ret));
    return add_still_missing(r, ret);
}

bool rotation_finds_missing(struct rotation *r, const struct ring_view *view)
{
    size_t n = 0;
    const struct key_id *missing = ring_view_missing(view, &n);
    bool found = false;
    struct err e = maker_fresh(&r->maker);
    for (size_t i = 0; i < n && !found && !err_is(e); i++) {
        char ring[RING_NAME_MAX + 1];
        struct object_id id;
        found = !err_is(key_id_parse(bytes_of_string(missing[i].text), ring, &id)) &&
                maker_find(&r->maker, &id);
        if (found)
            rotation_note(r, false, "a KEK that was missing is back", &missing[i],
                          "a fresh agent finds it");
    }
    maker_end(&r->maker);
    return found;
}

void rotation_needs_heirs(struct rotation *r)
{
    if (keyring_needs_heirs(r->keyring) || r->attended)
        return;
    rotation_note(r, false,
                  "an agent of this token does not see what others change after its start", NULL,
                  "from now on fresh ones look, each ring.rescanEvery");
    keyring_set_needs_heirs(r->keyring);
}

/* In an external ring states are this host's, and not on the token. */
static bool is_same(const struct rotation *r, const struct kek *kek, const struct kek *found)
{
    return found && (r->maker.rules->external || found->label.state == kek->label.state);
}

bool rotation_finds_changes(struct rotation *r, const struct ring_view *view)
{
    size_t n = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    const struct ring_look *look = &r->maker.look;
    if (err_is(maker_fresh(&r->maker))) { /* told by the keeper, whose agent fares no better */
        maker_end(&r->maker);
        return false;
    }
    bool same = look->n == n;
    for (size_t i = 0; i < n && same; i++)
        same = is_same(r, &keys[i], maker_find(&r->maker, &keys[i].id));
    maker_end(&r->maker);
    return !same;
}

static bool any_missing(struct rotation *r, const struct ring_memory *active)
{
    CLEANUP(known_keks_clear) struct known_keks missing = {NULL, 0, 0};
    return err_is(rotation_missing(r, active, &missing)) || missing.n > 0;
}

struct ring_plan rotation_plan_look(struct rotation *r, const struct ring_standing *standing)
{
    const struct rotation_tuning tuning = rotation_tuning_of(r);
    const struct ring_facts facts = {
        .keys = r->maker.look.keys,
        .n = r->maker.look.n,
        .active = standing->active,
        .missing = any_missing(r, &standing->known),
        .spent = seal_count_spent(&r->count),
        .settled = true,
        .now_ms = clock_wall_ms(),
        .rotate_every_ms = tuning.rotate_every_ms,
        .jitter_ms = r->jitter_ms,
        .activation_delay_ms = tuning.activation_delay_ms,
    };
    return ring_plan_make(&facts);
}

bool rotation_may_follow(const struct rotation *r, const struct ring_standing *standing,
                         const struct kek *kek)
{
    const struct kek *keys = r->maker.look.keys;
    return ring_look_compare(kek, &standing->known) > 0 &&
           (standing->newest == SIZE_MAX || kek_newer(kek, &keys[standing->newest]));
}

/* NULL: the ring has none. */
static const struct kek *newest_kek(const struct ring_look *look)
{
    const struct kek *newest = NULL;
    for (size_t i = 0; i < look->n; i++)
        if (!newest || kek_newer(&look->keys[i], newest))
            newest = &look->keys[i];
    return newest;
}

/* A ring keeps its scheme until the configuration names another. A token that does not bear that
 * one is found out before it has made a key that nobody can use. */
static struct err next_scheme(struct rotation *r, enum scheme *ret)
{
    const struct kek *newest = newest_kek(&r->maker.look);
    enum scheme kept = newest ? newest->label.scheme : SCHEME_NONE;
    enum scheme wanted = r->scheme != SCHEME_NONE ? r->scheme : kept;
    struct scheme_choice choice;
    if (wanted == SCHEME_NONE) {
        TRY(scheme_choose(&r->maker, &choice));
        wanted = choice.scheme;
    } else if (wanted != kept) {
        TRY(scheme_require(&r->maker, wanted));
    }
    *ret = wanted;
    return ERR_OK;
}

struct err rotation_make(struct rotation *r, const struct ring_standing *standing,
                         struct object_id *ret)
{
    const struct ring_look *look = &r->maker.look;
    uint32_t generation = ring_plan_generation(look->keys, look->n, standing->known.generation);
    enum scheme scheme;
    TRY(next_scheme(r, &scheme));
    TRY(maker_generate(&r->maker, generation, scheme, ret));
    return maker_prove(&r->maker, ret);
}

struct err rotation_activate(struct rotation *r, const struct object_id *id)
{
    TRY(maker_check(&r->maker, id));
    return maker_set_state(&r->maker, maker_find(&r->maker, id), KEY_ACTIVE);
}

static struct err step_make(struct rotation *r, const struct ring_standing *standing)
{
    bool spent = kek_spent(&r->maker.look.keys[standing->active], seal_count_spent(&r->count));
    struct object_id made;
    TRY(rotation_make(r, standing, &made));
    rotation_note(r, false, "made a KEK, which waits to become active",
                  &maker_find(&r->maker, &made)->key_id, spent ? "maxSeals" : "rotateEvery");
    return ERR_OK;
}

static struct err step_activate(struct rotation *r, size_t key)
{
    const struct kek kek = r->maker.look.keys[key];
    TRY(rotation_activate(r, &kek.id));
    rotation_note(r, false, "activated a KEK", &kek.key_id, "activationDelay has passed");
    return ERR_OK;
}

/* All there are: one agent does for them. */
static struct err step_retire(struct rotation *r, const struct ring_standing *standing,
                              struct ring_plan plan)
{
    while (plan.step == RING_STEP_RETIRE) {
        struct kek *kek = &r->maker.look.keys[plan.key];
        TRY(maker_set_state(&r->maker, kek, KEY_DEACTIVATED));
        kek->label.state = KEY_DEACTIVATED;
        rotation_note(r, false, "deactivated a KEK", &kek->key_id, "it is superseded");
        plan = rotation_plan_look(r, standing);
    }
    return ERR_OK;
}

struct err rotation_take_step(struct rotation *r, enum ring_step step, bool *ret_taken)
{
    struct ring_standing standing;
    *ret_taken = false;
    TRY(maker_fresh(&r->maker));
    rotation_judge(r, &standing);
    struct ring_plan plan = rotation_plan_look(r, &standing);
    if (plan.step != step)
        return ERR_OK; /* another replica was faster, or the token has changed: plan again */
    *ret_taken = true;
    switch (step) {
    case RING_STEP_MAKE:
        return step_make(r, &standing);
    case RING_STEP_ACTIVATE:
        return step_activate(r, plan.key);
    case RING_STEP_RETIRE:
        return step_retire(r, &standing, plan);
    case RING_STEP_NONE:
        break;
    }
    return ERR_OK;
}
