/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_private.h"
#include "ring_state.h"

#include <string.h>

static int timeout_of(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    int64_t timeout = k->timeout_ms;
    pthread_mutex_unlock(&k->lock);
    return (int)timeout;
}

/* --- telling ----------------------------------------------------------------------------- */

/* Publishes health, with a new view if there is one. */
static void publish(struct keeper *k, struct ring_view *view, const struct health *health)
{
    bool changed = strcmp(k->health.text, health->text) != 0 || k->health.ok != health->ok ||
                   k->health.failed != health->failed;
    k->health = *health;
    keyring_publish(k->keyring, view, health);
    if (changed)
        k->hooks.health(k->hooks.context, health);
}

static void publish_text(struct keeper *k, bool failed, const char *text)
{
    struct health health = {.ok = false, .failed = failed};
    (void)snprintf(health.text, sizeof health.text, "%s", text);
    publish(k, NULL, &health);
}

void keeper_look_ended(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->looked_ns = clock_monotonic_ns();
    k->look_pending = false;
    pthread_mutex_unlock(&k->lock);
    k->hooks.looked(k->hooks.context);
}

bool keeper_look_pending(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool pending = k->look_pending;
    pthread_mutex_unlock(&k->lock);
    return pending;
}

/* --- the agent --------------------------------------------------------------------------- */

void keeper_drop_agent(struct keeper *k)
{
    for (size_t i = 0; i < k->n_lanes; i++)
        if (k->lanes[i] >= 0)
            (void)close(k->lanes[i]);
    k->n_lanes = 0;
    k->phase = AGENT_NONE;
    k->since_ns = clock_monotonic_ns();
    if (k->attached)
        k->lost_ns = k->since_ns;
    k->attached = false;
    k->lingers = false;
}

void keeper_lane_ended(struct keeper *k)
{
    keeper_drop_agent(k);
    k->lingers = true;
}

void keeper_condemn(struct keeper *k, const char *why)
{
    lane_pool_drop(k->pool, k->generation, "the token agent is being replaced");
    if (k->gone < k->generation)
        k->hooks.condemn(k->hooks.context, k->generation, why);
    k->explained = true;
    keeper_drop_agent(k);
}

/* The token is away. Nothing that waits for a lane will get one soon. */
void keeper_outage(struct keeper *k, const char *text)
{
    publish_text(k, k->health.failed, text);
    lane_pool_fail_waiting(k->pool);
    keeper_look_ended(k);
}

/* Hands the request lanes to the pool; lane 0 stays here. */
static void attach(struct keeper *k)
{
    if (k->attached)
        return;
    struct err e = lane_pool_add(k->pool, k->generation, k->lanes + 1, k->n_lanes - 1);
    k->n_lanes = 1;
    k->attached = true;
    if (err_is(e))
        keeper_condemn(k, "its lanes could not be used");
}

/* --- looking ----------------------------------------------------------------------------- */

static void broken_lane(struct keeper *k, struct err e)
{
    char text[160], line[256];
    if (e.code == ERR_UNAVAILABLE) { /* it died: the monitor starts another at once */
        keeper_lane_ended(k);
        return;
    }
    (void)snprintf(line, sizeof line, "the token does not answer: %s",
                   err_format(e, text, sizeof text));
    keeper_condemn(k, e.code == ERR_DEADLINE ? "no answer within token.timeout" : "broken lane");
    keeper_outage(k, line);
}

static void sick_token(struct keeper *k, const struct lane_status *status)
{
    keeper_condemn(k, status->text);
    keeper_outage(k, status->text);
}

/* Sends a probe with the canary, or for a new one. False: lane or agent are lost, all said. */
static bool probe_call(struct keeper *k, const struct kek *key, struct bytes canary,
                       struct lane_reply *ret)
{
    struct lane_request request = {.op = LANE_PROBE, .number = 1};
    request.u.probe.scheme = key->label.scheme;
    request.u.probe.key_id = key->key_id;
    request.u.probe.canary = canary;
    struct err e =
        lane_call(k->lanes[0], &request, timeout_of(k), k->memory, sizeof k->memory, ret);
    if (err_is(e))
        broken_lane(k, e);
    return !err_is(e);
}

enum proof { PROOF_HOLDS, PROOF_CHANGED, PROOF_OUTAGE };

static enum proof new_canary(struct keeper *k, const struct kek *key, bool keep)
{
    struct lane_reply reply;
    if (!probe_call(k, key, bytes_of(NULL, 0), &reply))
        return PROOF_OUTAGE;
    if (reply.status.code != ERR_NONE) {
        sick_token(k, &reply.status);
        return PROOF_OUTAGE;
    }
    if (keep && err_is(ring_state_set_canary(k->state_dir, &key->key_id, reply.u.envelope)))
        k->hooks.warn(k->hooks.context, "the canary could not be written to stateDir",
                      key->key_id.text);
    return PROOF_HOLDS;
}

/* What a fresh agent has proved stands for a while: its successors would be condemned in turn. */
static bool is_stale(const struct keeper *k)
{
    return clock_monotonic_ns() - k->since_ns > ms_ns(FRESH_LOOK_MS);
}

static bool is_quarantined(struct keeper *k, const struct kek *key)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    const struct kek *before = ring_view_find(view, &key->id);
    return before && before->quarantined;
}

/* The old, intact canary does not open. Only a fresh agent that can make and open a new one with
 * the same key proves that the material has changed; anything else is an outage. */
static enum proof suspect(struct keeper *k, const struct kek *key)
{
    if (!k->fresh && is_quarantined(k, key) && !is_stale(k))
        return PROOF_CHANGED;
    if (!k->fresh) {
        keeper_condemn(k, "the active KEK's canary does not open: a fresh agent must look");
        return PROOF_OUTAGE;
    }
    enum proof works = new_canary(k, key, false);
    return works == PROOF_HOLDS ? PROOF_CHANGED : works;
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
    if (reply.status.code == ERR_NONE) /* a token may open and not seal: Status must tell */
        return new_canary(k, key, false);
    if (reply.status.code == ERR_AUTH)
        return suspect(k, key);
    sick_token(k, &reply.status);
    return PROOF_OUTAGE;
}

static void remember(struct keeper *k, const struct kek *active)
{
    const struct ring_memory memory = {.key_id = active->key_id,
                                       .generation = active->label.generation};
    if (strcmp(k->known.key_id.text, memory.key_id.text) == 0)
        return;
    if (err_is(ring_state_set_current(k->state_dir, keyring_name(k->keyring), &memory)))
        k->hooks.warn(k->hooks.context, "the active key_id could not be written to stateDir",
                      memory.key_id.text);
    k->known = memory;
}

bool keeper_publish_view(struct keeper *k, const struct ring_look *look, size_t active,
                         const struct health *health)
{
    const struct ring_content content = {
        .keys = look->keys, .n = look->n, .active = active, .current = k->known.key_id};
    struct ring_view *view = NULL;
    if (err_is(ring_view_new(&content, &view)))
        return false;
    publish(k, view, health);
    return true;
}

static void seals(struct keeper *k, struct ring_look *look, size_t active)
{
    struct health health = {.ok = true, .text = "ok"};
    struct kek *key = &look->keys[active];
    enum proof proof = prove(k, key);
    if (proof == PROOF_OUTAGE)
        return;
    if (proof == PROOF_CHANGED) {
        key->quarantined = true;
        health = (struct health){.failed = true};
        (void)snprintf(health.text, sizeof health.text,
                       "KEK %s is quarantined: other key material stands behind its CKA_ID on the "
                       "token than before; restore the token, nothing is sealed with it",
                       key->key_id.text);
        active = SIZE_MAX;
    } else {
        remember(k, key);
    }
    if (keeper_publish_view(k, look, active, &health))
        attach(k);
}

/* A missing KEK is believed only from an agent that has not looked before. */
static void missing(struct keeper *k, const struct ring_look *look, struct health *health)
{
    if (!k->fresh && (!k->health.failed || is_stale(k))) {
        keeper_condemn(k, "the active KEK is not found: a fresh agent must look");
        return;
    }
    health->failed = true;
    if (keeper_publish_view(k, look, SIZE_MAX, health))
        attach(k);
}

void keeper_look_at_ring(struct keeper *k)
{
    CLEANUP(ring_look_clear) struct ring_look look = {NULL, 0, 0};
    struct lane_status status;
    struct health health;
    size_t active = SIZE_MAX;
    status.code = ERR_NONE;
    struct err e =
        ring_look_take(k->lanes[0], timeout_of(k), keyring_name(k->keyring), &look, &status);
    if (err_is(e) && status.code != ERR_NONE)
        sick_token(k, &status);
    else if (err_is(e))
        broken_lane(k, e);
    if (err_is(e))
        return;
    switch (ring_look_judge(&look, keyring_name(k->keyring), &k->known, &active, &health)) {
    case VERDICT_SEALS:
        seals(k, &look, active);
        break;
    case VERDICT_MISSING:
        missing(k, &look, &health);
        break;
    case VERDICT_EMPTY:
    case VERDICT_UNFIT:
        if (keeper_publish_view(k, &look, SIZE_MAX, &health))
            attach(k);
        break;
    }
    k->fresh = false;
    if (k->phase == AGENT_UP)
        keeper_look_ended(k);
}

void keeper_probe_active(struct keeper *k)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    const struct kek *active = ring_view_active(view);
    if (!k->health.ok || !active)
        keeper_look_at_ring(k);
    else
        (void)prove(k, active);
}
