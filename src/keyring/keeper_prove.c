/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_private.h"
#include "ring_state.h"

#include <string.h>

/* Sends a probe with the canary, or for a new one. False: lane or agent are lost, all said. */
static bool probe_call(struct keeper *k, const struct kek *key, struct bytes canary,
                       struct lane_reply *ret)
{
    struct lane_request request = {.op = LANE_PROBE, .number = 1};
    request.u.probe.scheme = key->label.scheme;
    request.u.probe.key_id = key->key_id;
    request.u.probe.canary = canary;
    const struct lane_watch watch = keeper_watch(k);
    struct err e = lane_call_watched(k->lanes[0], &request, keeper_timeout(k), &watch, k->memory,
                                     sizeof k->memory, ret);
    if (err_is(e))
        keeper_broken_lane(k, e);
    else if (ret->status.code == ERR_NONE)
        keeper_note_wear(k, &ret->wear);
    return !err_is(e);
}

static void keep_canary(struct keeper *k, const struct kek *key, struct bytes envelope)
{
    pthread_mutex_lock(&k->memory_lock);
    struct err e = ring_state_set_canary(k->state_dir, &key->key_id, envelope);
    if (!err_is(e))
        e = known_keks_add(&k->canaries, &key->key_id);
    pthread_mutex_unlock(&k->memory_lock);
    if (err_is(e))
        k->hooks.warn(k->hooks.context, "the canary could not be written to stateDir",
                      key->key_id.text);
}

/* The rotation makes canaries too: from here on that KEK may not go missing unnoticed. */
static void remember_canary(struct keeper *k, const struct kek *key)
{
    pthread_mutex_lock(&k->memory_lock);
    (void)err_is(
        known_keks_add(&k->canaries, &key->key_id)); /* without memory: at the next start */
    pthread_mutex_unlock(&k->memory_lock);
}

static enum proof new_canary(struct keeper *k, const struct kek *key, bool keep)
{
    struct lane_reply reply;
    if (!probe_call(k, key, bytes_of(NULL, 0), &reply))
        return PROOF_OUTAGE;
    if (reply.status.code != ERR_NONE) {
        keeper_sick_token(k, &reply.status);
        return PROOF_OUTAGE;
    }
    if (keep)
        keep_canary(k, key, reply.u.envelope);
    return PROOF_HOLDS;
}

static bool is_quarantined(struct keeper *k, const struct kek *key)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    const struct kek *before = ring_view_find(view, &key->id);
    return before && before->quarantined;
}

/* The old, intact canary does not open. Only a fresh agent that can make and open a new one with
 * the same key proves that the material has changed; anything else is an outage. */
static enum proof suspect(struct keeper *k, const struct kek *key, struct bytes canary)
{
    struct lane_reply reply;
    if (!k->fresh && is_quarantined(k, key) && !keeper_is_stale(k))
        return PROOF_CHANGED;
    if (!k->fresh) {
        keeper_condemn(k, CONDEMN_RENEW,
                       "the active KEK's canary does not open: a fresh agent must look");
        return PROOF_OUTAGE;
    }
    enum proof works = new_canary(k, key, false);
    if (works != PROOF_HOLDS)
        return works;
    if (!probe_call(k, key, canary, &reply)) /* a token that lied once is believed again */
        return PROOF_OUTAGE;
    if (reply.status.code == ERR_NONE || reply.status.code == ERR_AUTH)
        return reply.status.code == ERR_NONE ? PROOF_HOLDS : PROOF_CHANGED;
    keeper_sick_token(k, &reply.status);
    return PROOF_OUTAGE;
}

static enum proof prove(struct keeper *k, const struct kek *key)
{
    struct canary canary = {.len = 0};
    struct lane_reply reply;
    struct err e = ring_state_canary(k->state_dir, &key->key_id, &canary);
    if (e.code == ERR_INVALID)
        k->hooks.warn(k->hooks.context, "the canary file is torn: making a new one",
                      key->key_id.text);
    else if (err_is(e) && e.code != ERR_NOT_FOUND)
        k->hooks.warn(k->hooks.context, "the canary file cannot be read: the KEK is not proved",
                      key->key_id.text);
    if (err_is(e)) /* one that cannot be read now may be whole: it stays */
        return new_canary(k, key, e.code == ERR_NOT_FOUND || e.code == ERR_INVALID);
    if (!probe_call(k, key, bytes_of(canary.data, canary.len), &reply))
        return PROOF_OUTAGE;
    if (reply.status.code == ERR_NONE) {
        remember_canary(k, key);
        return new_canary(k, key, false); /* a token may open and not seal: Status must tell */
    }
    if (reply.status.code == ERR_AUTH)
        return suspect(k, key, bytes_of(canary.data, canary.len));
    keeper_sick_token(k, &reply.status);
    return PROOF_OUTAGE;
}

enum proof keeper_prove(struct keeper *k, const struct kek *key)
{
    enum proof proof = prove(k, key);
    if (proof == PROOF_HOLDS)
        atomic_store_explicit(&k->proved_ms, clock_wall_ms(), memory_order_relaxed);
    return proof;
}

/* --- older KEKs -------------------------------------------------------------------------- */

/* A KEK that fails alone is no outage. */
static void not_proved(struct keeper *k, const struct kek *key, const struct lane_status *status)
{
    k->hooks.warn(k->hooks.context, status->text, key->key_id.text);
}

static bool is_among(const struct object_id *ids, size_t n, const struct object_id *id)
{
    for (size_t i = 0; i < n; i++)
        if (object_id_equal(&ids[i], id))
            return true;
    return false;
}

static void add_suspect(struct keeper *k, const struct object_id *id)
{
    if (k->n_suspects < SUSPECTS_MAX && !is_among(k->suspects, k->n_suspects, id))
        k->suspects[k->n_suspects++] = *id;
}

static bool first_canary(struct keeper *k, const struct kek *key, bool keep, bool *ret_works)
{
    struct lane_reply reply;
    *ret_works = false;
    if (!probe_call(k, key, bytes_of(NULL, 0), &reply))
        return false;
    *ret_works = reply.status.code == ERR_NONE;
    if (!*ret_works)
        not_proved(k, key, &reply.status);
    else if (keep)
        keep_canary(k, key, reply.u.envelope);
    return true;
}

/* Sets key->quarantined. False: the agent is lost. */
static bool prove_older(struct keeper *k, struct kek *key)
{
    struct canary canary = {.len = 0};
    struct lane_reply reply;
    bool works = false;
    struct err e = ring_state_canary(k->state_dir, &key->key_id, &canary);
    (void)err_is(known_keks_add(&k->proved, &key->key_id)); /* well or not: once an agent */
    if (err_is(e))
        return first_canary(k, key, e.code == ERR_NOT_FOUND || e.code == ERR_INVALID, &works);
    if (!probe_call(k, key, bytes_of(canary.data, canary.len), &reply))
        return false;
    if (reply.status.code == ERR_NONE) {
        key->quarantined = false;
        return true;
    }
    if (reply.status.code != ERR_AUTH) {
        not_proved(k, key, &reply.status);
        return true;
    }
    if (!k->fresh) {
        add_suspect(k, &key->id);
        keeper_condemn(k, CONDEMN_RENEW,
                       "an older KEK's canary does not open: a fresh agent must look");
        return false;
    }
    if (!first_canary(k, key, false, &works))
        return false;
    if (works && !key->quarantined)
        k->hooks.warn(k->hooks.context,
                      "an older KEK is quarantined: other key material stands behind its CKA_ID on "
                      "the token than before; restore the token",
                      key->key_id.text);
    key->quarantined = key->quarantined || works;
    return true;
}

/* One whose proof an agent does not survive must not take its successors with it: the next leaves
 * it alone while it lives, and the one after that tries again, for it may have been a hiccup. From
 * then on one is risked each LONE_RENEW_MS: where heirs look, there is a fresh one each minute. */
static bool resolve_doubt(struct keeper *k, struct kek *key)
{
    if (!k->fresh || !(key->quarantined || is_among(k->suspects, k->n_suspects, &key->id)))
        return true;
    if (k->n_doubted == SUSPECTS_MAX || is_among(k->doubted, k->n_doubted, &key->id)) {
        (void)err_is(known_keks_add(&k->proved, &key->key_id));
        return true;
    }
    k->doubted[k->n_doubted++] = key->id;
    k->doubt_losses++;
    k->doubt_due_ns = clock_monotonic_ns() + ms_ns(LONE_RENEW_MS);
    if (!prove_older(k, key))
        return false;
    k->n_doubted--;
    k->doubt_losses--;
    return true;
}

bool keeper_carry_over(struct keeper *k, struct ring_look *look)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    for (size_t i = 0; i < look->n; i++) {
        struct kek *key = &look->keys[i];
        const struct kek *before = ring_view_find(view, &key->id);
        key->quarantined = before && before->quarantined;
        if (!resolve_doubt(k, key))
            return false;
    }
    if (k->fresh) { /* what was left alone is what is still suspected */
        memcpy(k->suspects, k->doubted, sizeof k->suspects);
        k->n_suspects = k->n_doubted;
        k->doubt_losses = k->n_doubted > 0 ? k->doubt_losses : 0;
        if (k->doubt_losses < 2 || clock_monotonic_ns() >= k->doubt_due_ns)
            k->n_doubted = 0;
    }
    return true;
}

static bool next_used(struct keeper *k, struct object_id *ret)
{
    pthread_mutex_lock(&k->lock);
    bool any = k->n_used > 0;
    if (any)
        *ret = k->used[--k->n_used];
    pthread_mutex_unlock(&k->lock);
    return any;
}

void keeper_prove_used(struct keeper *k)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    struct object_id id;
    if (!next_used(k, &id))
        return;
    const struct kek *found = ring_view_find(view, &id);
    if (!found || found->quarantined || found == ring_view_active(view) ||
        known_keks_has(&k->proved, &found->key_id))
        return;
    struct kek key = *found; /* what is found wrong stays a suspicion until a fresh agent looks */
    (void)prove_older(k, &key);
}
