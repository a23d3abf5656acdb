/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper_private.h"
#include "login_lock.h"
#include "ring_retired.h"
#include "ring_state.h"
#include "text.h"

#include <string.h>

int keeper_timeout(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    int64_t timeout = k->timeout_ms;
    pthread_mutex_unlock(&k->lock);
    return (int)timeout;
}

/* --- telling ----------------------------------------------------------------------------- */

/* Publishes health, with a new view if there is one. Its text comes from an agent, and a client of
 * gRPC takes no answer at all with a string that is not UTF-8. */
static void publish(struct keeper *k, struct ring_view *view, const struct health *new_health)
{
    struct health health = *new_health;
    text_clean(health.text);
    bool changed = strcmp(k->health.text, health.text) != 0 || k->health.ok != health.ok ||
                   k->health.failed != health.failed;
    k->health = health;
    k->health.pin_blocked = k->pin_blocked;
    keyring_publish(k->keyring, view, &k->health);
    if (changed)
        k->hooks.health(k->hooks.context, &k->health);
}

static void publish_text(struct keeper *k, bool failed, const char *text)
{
    struct health health = {.ok = false, .failed = failed};
    (void)snprintf(health.text, sizeof health.text, "%s", text);
    publish(k, NULL, &health);
}

/* tells: those who wait for a look need none after this one. */
static void look_begins(struct keeper *k, bool tells)
{
    pthread_mutex_lock(&k->lock);
    k->looks_begun++;
    k->look_wanted = k->look_wanted && !tells;
    pthread_mutex_unlock(&k->lock);
}

static void look_ended(struct keeper *k, bool tells)
{
    pthread_mutex_lock(&k->lock);
    k->looks_ended = k->looks_begun;
    if (tells) {
        k->looked_ns = clock_monotonic_ns();
        k->looks_told = k->looks_ended;
    }
    uint64_t number = k->looks_told;
    pthread_mutex_unlock(&k->lock);
    k->hooks.looked(k->hooks.context, number);
}

void keeper_look_in_vain(struct keeper *k)
{
    look_begins(k, true);
    look_ended(k, true);
}

bool keeper_look_wanted(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool wanted = k->look_wanted || k->looks_ended < k->looks_begun;
    pthread_mutex_unlock(&k->lock);
    return wanted;
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
    if (k->attached && k->hung == k->generation) /* all the while it was away as well */
        k->lost_ns -= ms_ns(HUNG_GRACE_LESS_MS);
    k->attached = false;
    k->laneless_ns = 0;
    k->lingers = false;
}

void keeper_lane_ended(struct keeper *k)
{
    keeper_drop_agent(k);
    k->lingers = true;
}

void keeper_condemn(struct keeper *k, enum control_reason reason, const char *why)
{
    lane_pool_drop(k->pool, k->generation, "the token agent is being replaced");
    if (k->gone < k->generation)
        k->hooks.condemn(k->hooks.context, k->generation, reason, why);
    k->explained = true;
    if (reason == CONDEMN_TIMEOUT)
        k->hung = k->generation;
    keeper_drop_agent(k);
}

void keeper_hung(struct keeper *k, uint64_t generation)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.hung = generation;
    pthread_mutex_unlock(&k->lock);
    keeper_kick(k);
}

/* The token is away. Nothing that waits for a lane will get one soon. */
void keeper_outage(struct keeper *k, const char *text)
{
    publish_text(k, k->health.failed, text);
    lane_pool_fail_waiting(k->pool);
    keeper_look_in_vain(k);
}

/* An heir looks beside the agent that serves. */
static void nobody_serves(void *context)
{
    struct keeper *k = context;
    if (k->health.ok && !lane_pool_has_lanes(k->pool))
        keeper_outage(k, "the token agent is being restarted, and its first look at the token "
                         "takes long");
}

struct lane_watch keeper_watch(struct keeper *k)
{
    return (struct lane_watch){.due_ns =
                                   k->attached ? INT64_MAX : k->lost_ns + ms_ns(ABSENCE_GRACE_MS),
                               .late = nobody_serves,
                               .context = k};
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
        keeper_condemn(k, CONDEMN_RENEW, "its lanes could not be used");
}

/* C_Login may take as long as a person at a keypad, or a library that waits for its network. The
 * monitor would not kill the agent there, and no other could log in beside it. */
void keeper_start_goes_on(struct keeper *k, int64_t now)
{
    int64_t took = now - k->since_ns;
    char line[256];
    bool login = took < ms_ns(LOGIN_PATIENCE_MS) && login_lock_holder(k->state_dir) != 0;
    if (!login && took < ms_ns(START_TIMEOUT_MS)) {
        k->start_due_ns = now + ms_ns(LOGIN_TOLD_MS);
    } else if (!login) {
        keeper_condemn(k, CONDEMN_TIMEOUT, "it did not start in time");
        keeper_outage(k, "the token agent did not start in 30 s: is the token's module blocked?");
    } else {
        (void)snprintf(line, sizeof line,
                       "C_Login has not returned for %d s: does the token wait for a PIN at its "
                       "keypad, or for its network?",
                       (int)(took / 1000000000));
        k->start_due_ns = now + ms_ns(LOGIN_TOLD_MS);
        keeper_outage(k, line);
    }
}

/* --- looking ----------------------------------------------------------------------------- */

void keeper_broken_lane(struct keeper *k, struct err e)
{
    char text[160], line[256];
    if (e.code == ERR_UNAVAILABLE) { /* it died: the monitor starts another at once */
        keeper_lane_ended(k);
        return;
    }
    (void)snprintf(line, sizeof line, "the token does not answer: %s",
                   err_format(e, text, sizeof text));
    if (e.code == ERR_DEADLINE)
        keeper_condemn(k, CONDEMN_TIMEOUT, "no answer within token.timeout");
    else
        keeper_condemn(k, CONDEMN_PROTOCOL, "broken lane");
    keeper_outage(k, line);
}

void keeper_sick_token(struct keeper *k, const struct lane_status *status)
{
    k->pin_blocked = k->pin_blocked || status->remedy == REMEDY_PIN;
    keeper_condemn(k, CONDEMN_SICK, status->text);
    keeper_outage(k, status->text);
}

struct ring_memory keeper_known(struct keeper *k)
{
    pthread_mutex_lock(&k->memory_lock);
    struct ring_memory known = k->known;
    pthread_mutex_unlock(&k->memory_lock);
    return known;
}

/* The count of seals begins before the KEK is remembered: without one, a KEK that was active here
 * before has been sealing nobody knows how often. */
static struct err begin_count(struct keeper *k, const struct key_id *key_id)
{
    const char *ring = keyring_name(k->keyring);
    uint64_t seals;
    if (k->damaged || ring_state_seals(k->state_dir, ring, key_id, &seals).code != ERR_NOT_FOUND)
        return ERR_OK;
    return ring_state_set_seals(k->state_dir, ring, key_id, 0);
}

static void remember(struct keeper *k, const struct kek *active)
{
    const struct ring_memory memory = {.key_id = active->key_id,
                                       .generation = active->label.generation};
    struct err e = ERR_OK;
    pthread_mutex_lock(&k->memory_lock);
    const bool again = k->unsaved;
    if (again || strcmp(k->known.key_id.text, memory.key_id.text) != 0 ||
        k->known.lost) { /* or is back */
        e = begin_count(k, &memory.key_id);
        if (!err_is(e))
            e = ring_state_set_current(k->state_dir, keyring_name(k->keyring), &memory);
        k->known = memory;
        k->unsaved = err_is(e);
    }
    pthread_mutex_unlock(&k->memory_lock);
    if (err_is(e) && !again)
        k->hooks.warn(k->hooks.context, "the active key_id could not be written to stateDir",
                      memory.key_id.text);
}

/* --- missing KEKs ------------------------------------------------------------------------ */

/* Adds what must be on the token and is not in the look. */
static struct err find_missing(struct keeper *k, const struct ring_look *look,
                               struct known_keks *ret)
{
    const struct ring_memory known = keeper_known(k);
    struct known_keks active = {NULL, 0, 0};
    struct err e = ERR_OK;
    if (known.key_id.text[0] && !known.lost)
        e = known_keks_add(&active, &known.key_id);
    if (!err_is(e))
        e = known_keks_missing(&active, look, ret);
    known_keks_clear(&active);
    TRY(e);
    pthread_mutex_lock(&k->memory_lock);
    e = known_keks_missing(&k->canaries, look, ret);
    pthread_mutex_unlock(&k->memory_lock);
    ring_retired_forgive(k->state_dir, ret);
    return e;
}

static void tell_missing(struct keeper *k, const struct known_keks *missing)
{
    for (size_t i = 0; i < missing->n; i++)
        if (!known_keks_has(&k->missing, &missing->ids[i]))
            k->hooks.warn(k->hooks.context,
                          "a KEK that this host knows is not on the token any more: nothing "
                          "rotates until it is back",
                          missing->ids[i].text);
}

/* Believes only a fresh agent. False: there has to be one first, or there is no memory. */
static bool account_for_missing(struct keeper *k, const struct ring_look *look)
{
    struct known_keks missing = {NULL, 0, 0};
    if (err_is(find_missing(k, look, &missing))) {
        known_keks_clear(&missing);
        return false;
    }
    bool news = false;
    for (size_t i = 0; i < missing.n; i++)
        news = news || !known_keks_has(&k->missing, &missing.ids[i]);
    if (news && !k->fresh) {
        known_keks_clear(&missing);
        keeper_condemn(k, CONDEMN_RENEW, "a known KEK is not found: a fresh agent must look");
        return false;
    }
    tell_missing(k, &missing);
    known_keks_clear(&k->missing);
    k->missing = missing;
    return true;
}

/* What Decrypts named and no look has found counts as well, with nothing to believe. */
static struct err all_missing(struct keeper *k, const struct ring_look *look,
                              struct known_keks *ret)
{
    struct err e = ERR_OK;
    for (size_t i = 0; i < k->missing.n && !err_is(e); i++)
        e = known_keks_add(ret, &k->missing.ids[i]);
    if (err_is(e))
        return e;
    pthread_mutex_lock(&k->lock);
    e = known_keks_missing(&k->named, look, ret);
    pthread_mutex_unlock(&k->lock);
    ring_retired_forgive(k->state_dir, ret);
    return e;
}

static struct err forget(struct keeper *k, const struct key_id *key_id)
{
    struct ring_memory memory = k->known;
    TRY(ring_state_forget(k->state_dir, key_id));
    known_keks_remove(&k->canaries, key_id);
    if (strcmp(memory.key_id.text, key_id->text) != 0)
        return ERR_OK;
    memory.lost = true;
    TRY(ring_state_set_current(k->state_dir, keyring_name(k->keyring), &memory));
    k->known = memory;
    return ERR_OK;
}

struct err keeper_forget(struct keeper *k, const struct key_id *key_id)
{
    pthread_mutex_lock(&k->memory_lock);
    struct err e = forget(k, key_id);
    pthread_mutex_unlock(&k->memory_lock);
    pthread_mutex_lock(&k->lock);
    known_keks_remove(&k->named, key_id);
    if (!err_is(e))
        e = known_keks_add(&k->lost, key_id);
    pthread_mutex_unlock(&k->lock);
    keeper_rescan(k);
    return e;
}

bool keeper_publish_view(struct keeper *k, const struct ring_look *look, size_t active,
                         const struct health *health)
{
    CLEANUP(known_keks_clear) struct known_keks missing = {NULL, 0, 0};
    struct ring_content content = {
        .keys = look->keys, .n = look->n, .active = active, .current = keeper_known(k).key_id};
    struct ring_view *view = NULL;
    if (err_is(all_missing(k, look, &missing)))
        return false;
    content.missing = missing.ids;
    content.n_missing = missing.n;
    if (err_is(ring_view_new(&content, &view)))
        return false;
    publish(k, view, health);
    return true;
}

static void seals(struct keeper *k, struct ring_look *look, size_t active)
{
    struct health health = {.ok = true, .text = "ok"};
    struct kek *key = &look->keys[active];
    enum proof proof = keeper_prove(k, key);
    if (proof == PROOF_OUTAGE)
        return;
    key->quarantined = proof == PROOF_CHANGED; /* or not any more: what holds opens again too */
    if (key->quarantined) {
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
    if (!k->fresh && (!k->health.failed || keeper_is_stale(k))) {
        keeper_condemn(k, CONDEMN_RENEW, "the active KEK is not found: a fresh agent must look");
        return;
    }
    health->failed = true;
    if (account_for_missing(k, look) && keeper_publish_view(k, look, SIZE_MAX, health))
        attach(k);
}

static void nothing_seals(struct keeper *k, const struct ring_look *look, struct health *health)
{
    if (!account_for_missing(k, look))
        return;
    if (look->n == 0 && k->missing.n > 0) {
        (void)snprintf(health->text, sizeof health->text,
                       "KEK %s, which this host knows, is not %son the token any more: restore the "
                       "token, nothing is made in its place",
                       k->missing.ids[0].text, ring_look_how_gone(look, &k->missing.ids[0]));
        ring_look_add_broken(look, health->text, sizeof health->text);
    }
    if (keeper_publish_view(k, look, SIZE_MAX, health))
        attach(k);
}

static void judge(struct keeper *k, struct ring_look *look)
{
    struct health health;
    size_t active = SIZE_MAX;
    keeper_tell_external(k, look);
    switch (keeper_judge(k, look, &active, &health)) {
    case VERDICT_SEALS:
        if (account_for_missing(k, look))
            seals(k, look, active);
        break;
    case VERDICT_MISSING:
        missing(k, look, &health);
        break;
    case VERDICT_EMPTY:
    case VERDICT_UNFIT:
        nothing_seals(k, look, &health);
        break;
    }
}

/* `keys destroy` asks for how long a KEK has been out of use, and the token keeps no dates. An old
 * agent may go on to see what that has destroyed: only a fresh one's look says that it is there. */
static void note_retired(struct keeper *k, const struct ring_look *look)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    int64_t now_ms = clock_wall_ms();
    if (err_is(ring_retired_note_all(k->state_dir, look, view, now_ms)))
        k->hooks.warn(k->hooks.context,
                      "since when a KEK is out of use could not be written to stateDir", "");
    if (k->fresh && err_is(ring_retired_abandon_whole(k->state_dir, look, now_ms)))
        k->hooks.warn(k->hooks.context,
                      "the record of a destruction could not be removed from stateDir: it hides "
                      "the loss of its KEK",
                      "");
}

/* They do no harm, but are hardly there by chance. */
static void tell_publics(struct keeper *k, const struct ring_look *look)
{
    char text[200];
    if (look->publics > k->publics) {
        (void)snprintf(text, sizeof text,
                       "public keys on the token pass for the ring's, %zu in all, and are ignored: "
                       "anybody can make such without the PIN; find out who did, and remove them",
                       look->publics);
        k->hooks.warn(k->hooks.context, text, "");
    }
    k->publics = look->publics;
}

void keeper_look_at_ring(struct keeper *k)
{
    CLEANUP(ring_look_clear) struct ring_look look = {.n = 0};
    struct lane_status status;
    status.code = ERR_NONE;
    /* An agent that cannot see what others have made cannot tell that it is not there. */
    const bool tells = k->fresh || !keyring_needs_heirs(k->keyring);
    look_begins(k, tells);
    const struct lane_watch watch = keeper_watch(k);
    struct err e = ring_look_take(k->lanes[0], keeper_timeout(k), &watch, keyring_rules(k->keyring),
                                  &look, &status);
    if (err_is(e) && status.code != ERR_NONE)
        keeper_sick_token(k, &status);
    else if (err_is(e))
        keeper_broken_lane(k, e);
    if (err_is(e))
        return;
    note_retired(k, &look);
    tell_publics(k, &look);
    if (keeper_carry_over(k, &look))
        judge(k, &look);
    k->fresh = false;
    if (k->phase == AGENT_UP)
        look_ended(k, tells);
}

void keeper_probe_active(struct keeper *k)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    const struct kek *active = ring_view_active(view);
    if (!k->health.ok || !active)
        keeper_look_at_ring(k);
    else
        (void)keeper_prove(k, active);
}
