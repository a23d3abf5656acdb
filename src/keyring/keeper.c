/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"
#include "keeper_private.h"
#include "quirks.h"
#include "ring_state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/* --- greeting ---------------------------------------------------------------------------- */

void keeper_comes_up(struct keeper *k, const struct token_identity *token)
{
    k->token = *token;
    k->pin_blocked = false;
    k->phase = AGENT_UP;
    k->was_up = true;
    k->since_ns = clock_monotonic_ns();
    if (quirks_have(token->quirks, QUIRK_RESCANS_NEED_NEW_AGENT))
        keyring_set_needs_heirs(k->keyring);
    keeper_look_at_ring(k);
    k->probe_ns = k->rescan_ns = clock_monotonic_ns();
    k->took_ns = k->probe_ns - k->began_ns;
}

static void greet(struct keeper *k)
{
    struct lane_reply reply;
    struct err e = lane_hello(k->lanes[0], 0, k->memory, sizeof k->memory, &reply);
    if (e.code == ERR_UNAVAILABLE) { /* died at once: keeper_agent_gone says how */
        keeper_lane_ended(k);
        return;
    }
    if (err_is(e)) {
        keeper_condemn(k, CONDEMN_PROTOCOL, "it did not greet as agents do");
        return;
    }
    if (reply.status.code != ERR_NONE) {
        k->explained = true;
        k->pin_blocked = k->pin_blocked || reply.status.remedy == REMEDY_PIN;
        keeper_drop_agent(k);
        keeper_make_room(k, reply.status.code);
        keeper_outage(k, reply.status.text);
        return;
    }
    keeper_comes_up(k, &reply.u.hello);
}

static void lane_readable(struct keeper *k)
{
    size_t len;
    if (k->phase == AGENT_STARTING) {
        greet(k);
        return;
    }
    struct err e = packet_receive(k->lanes[0], k->memory, sizeof k->memory, &len, NULL, 0, NULL);
    if (e.code == ERR_UNAVAILABLE)
        keeper_lane_ended(k);
    else
        keeper_condemn(k, CONDEMN_PROTOCOL, "it spoke unasked");
}

/* The monitor has reaped it. Its last words may still be in lane 0, which a child of the vendor's
 * library may hold open. */
static void bury(struct keeper *k)
{
    if (k->phase == AGENT_STARTING)
        greet(k);
    lane_pool_drop(k->pool, k->generation, "the token agent is gone");
    keeper_drop_agent(k);
}

/* --- the loop ---------------------------------------------------------------------------- */

static int64_t probe_period(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    int64_t period = k->probe_every_ms;
    pthread_mutex_unlock(&k->lock);
    return k->health.ok || period < SICK_EVERY_MS ? period : SICK_EVERY_MS;
}

static int64_t rescan_period(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    int64_t period = k->rescan_every_ms;
    pthread_mutex_unlock(&k->lock);
    return period;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Older KEKs to prove; they wait while the token is sick. */
static bool has_used(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool any = k->n_used > 0;
    pthread_mutex_unlock(&k->lock);
    return any && k->health.ok;
}

/* At most one a second, whatever is asked for. Where it takes an heir, that one's is waited for,
 * and none is started before the agent whose place the last one took has gone. */
static int64_t wanted_look_due(struct keeper *k)
{
    const bool heirs = keyring_needs_heirs(k->keyring);
    pthread_mutex_lock(&k->lock);
    bool wanted = k->look_wanted && !k->heir.asked && !(heirs && k->old_lane >= 0);
    int64_t due = k->looked_ns == 0 ? 0 : k->looked_ns + ms_ns(LOOK_AGAIN_MS);
    pthread_mutex_unlock(&k->lock);
    if (heirs && k->heir.next_ns > due)
        due = k->heir.next_ns;
    return wanted ? due : INT64_MAX;
}

static int64_t next_due(struct keeper *k)
{
    int64_t due = INT64_MAX;
    switch (k->phase) {
    case AGENT_UP:
        if (k->laneless_ns > 0)
            return k->laneless_ns + ms_ns(LANELESS_GRACE_MS);
        if (has_used(k))
            return 0;
        return earlier(wanted_look_due(k), earlier(k->probe_ns + ms_ns(probe_period(k)),
                                                   k->rescan_ns + ms_ns(rescan_period(k))));
    case AGENT_STARTING:
        due = k->start_due_ns;
        break;
    case AGENT_NONE:
        if (k->lingers)
            due = k->since_ns + ms_ns(ABSENCE_GRACE_MS);
        else if (k->heir.n_lanes > 0)
            due = 0; /* it inherits */
        break;
    }
    return k->health.ok ? earlier(due, k->lost_ns + ms_ns(ABSENCE_GRACE_MS)) : due;
}

/* What may be read is in *ret_readable and k->heir.readable. */
static struct wishes wait_for_wishes(struct keeper *k, bool *ret_readable)
{
    struct pollfd fds[] = {{.fd = k->wake_fd, .events = POLLIN},
                           {.fd = -1, .events = POLLIN},
                           {.fd = -1, .events = POLLIN}};
    int64_t due = k->heir.asked ? earlier(next_due(k), k->heir.due_ns) : next_due(k),
            now = clock_monotonic_ns();
    int timeout = -1;
    eventfd_t count;
    if (k->phase != AGENT_NONE)
        fds[1].fd = k->lanes[0];
    if (k->phase == AGENT_UP && k->heir.n_lanes > 0)
        fds[2].fd = k->heir.lanes[0];
    if (due != INT64_MAX)
        timeout = due <= now ? 0 : (int)((due - now) / 1000000 + 1);
    int n = poll(fds, sizeof fds / sizeof *fds, timeout);
    *ret_readable = n > 0 && fds[1].revents != 0;
    k->heir.readable = n > 0 && fds[2].revents != 0;
    (void)eventfd_read(k->wake_fd, &count);
    pthread_mutex_lock(&k->lock);
    struct wishes wishes = k->wishes;
    k->wishes = (struct wishes){.stop = wishes.stop};
    pthread_mutex_unlock(&k->lock);
    return wishes;
}

/* One that is about to die is left to the monitor, which knows what of. */
static void without_lanes(struct keeper *k, int64_t now)
{
    if (k->laneless_ns == 0)
        k->laneless_ns = now;
    if (now >= k->laneless_ns + ms_ns(LANELESS_GRACE_MS))
        keeper_condemn(k, CONDEMN_PROTOCOL, "it closed its lanes");
}

static void look_due(struct keeper *k, const struct wishes *w)
{
    int64_t now = clock_monotonic_ns();
    bool wanted = now >= wanted_look_due(k), afresh = wanted && keyring_needs_heirs(k->keyring);
    bool rescan = w->rescan || (wanted && !afresh) || now >= k->rescan_ns + ms_ns(rescan_period(k));
    bool probe = w->probe || now >= k->probe_ns + ms_ns(probe_period(k));
    if (!err_is(fd_wait_readable(k->lanes[0], 0))) { /* it died or spoke since we looked */
        lane_readable(k);
        return;
    }
    if (k->attached && !lane_pool_has_lanes(k->pool)) {
        without_lanes(k, now);
        return;
    }
    if (w->replace) {
        keeper_condemn(k, w->replace_reason, w->replace);
        return;
    }
    if (w->renew || afresh)
        keeper_want_heir(k, w->renew ? w->renew : "a KEK is asked for that it may not see");
    if (k->heir.readable)
        keeper_greet_heir(k); /* and looks */
    else if (rescan)
        keeper_look_at_ring(k);
    else if (probe)
        keeper_probe_active(k);
    else if (has_used(k))
        keeper_prove_used(k);
    now = clock_monotonic_ns();
    if (rescan)
        k->rescan_ns = now;
    if (rescan || probe)
        k->probe_ns = now;
}

/* An end that nothing before it explained is told as the monitor saw it. */
static bool tell_how_it_ended(struct keeper *k)
{
    char line[256];
    if (k->phase != AGENT_NONE || k->gone != k->generation || !k->gone_how[0] || k->explained ||
        k->health.failed)
        return false;
    (void)snprintf(line, sizeof line,
                   k->was_up ? "the token agent ended (%s) and is being restarted: see its lines "
                               "in the log"
                             : "the token agent ended before it was up (%s): see its lines in the "
                               "log and check token.module",
                   k->gone_how);
    k->gone_how[0] = '\0';
    keeper_outage(k, line);
    return true;
}

/* A short restart is no outage; but however many agents it takes, it is one restart. */
static void without_agent(struct keeper *k)
{
    int64_t now = clock_monotonic_ns();
    bool grace = k->health.ok && now < k->lost_ns + ms_ns(ABSENCE_GRACE_MS);
    if (k->phase == AGENT_STARTING && now >= k->start_due_ns)
        keeper_start_goes_on(k, now);
    else if (!grace && !tell_how_it_ended(k)) {
        if (k->health.ok)
            keeper_outage(k, "the token agent is being restarted");
        else if (keeper_look_wanted(k))
            keeper_look_in_vain(k);
    }
    if (k->lingers && now >= k->since_ns + ms_ns(ABSENCE_GRACE_MS))
        keeper_condemn(k, CONDEMN_TIMEOUT, "its lane has ended, and it has not");
}

static void take_news(struct keeper *k, const struct wishes *w, bool readable)
{
    k->hung = w->hung > k->hung ? w->hung : k->hung;
    if (w->gone > k->gone) {
        k->gone = w->gone;
        memcpy(k->gone_how, w->gone_how, sizeof k->gone_how);
    }
    if (w->offered && !keeper_takes_heir(k, w)) {
        keeper_drop_heir(k);
        k->heir.again = NULL; /* whoever comes is fresh */
        keeper_take_agent(k, w->generation, w->fds, w->n_fds);
    } else if (readable) {
        lane_readable(k);
    }
    if (k->phase != AGENT_NONE && k->gone >= k->generation)
        bury(k);
    if (k->gone >= k->generation)
        k->lingers = false;
}

static void *run(void *argument)
{
    struct keeper *k = argument;
    for (;;) {
        bool readable = false;
        struct wishes wishes = wait_for_wishes(k, &readable);
        if (wishes.stop)
            break;
        take_news(k, &wishes, readable);
        keeper_tend_heir(k);
        if (k->phase == AGENT_UP)
            look_due(k, &wishes);
        if (k->phase != AGENT_UP)
            without_agent(k);
    }
    keeper_drop_heir(k);
    close_p(&k->old_lane);
    keeper_drop_agent(k);
    return NULL;
}

/* --- from outside ------------------------------------------------------------------------ */

static void close_all(const int *fds, size_t n)
{
    for (size_t i = 0; i < n; i++)
        (void)close(fds[i]);
}

static void release(struct keeper *k)
{
    if (k->wishes.offered)
        close_all(k->wishes.fds, k->wishes.n_fds);
    if (k->wake_fd >= 0)
        (void)close(k->wake_fd);
    pthread_mutex_destroy(&k->lock);
    pthread_mutex_destroy(&k->memory_lock);
    known_keks_clear(&k->canaries);
    known_keks_clear(&k->named);
    known_keks_clear(&k->lost);
    known_keks_clear(&k->missing);
    known_keks_clear(&k->proved);
    free(k);
}

/* What this host remembers is what Status says until the token was seen. */
static struct err publish_memory(struct keeper *k)
{
    const char *ring = keyring_name(k->keyring);
    struct health health = {.text = "the token agent is starting"};
    struct err e = ring_state_current(k->state_dir, ring, &k->known);
    k->damaged = e.code == ERR_INVALID;
    if (err_is(e)) /* no reason not to serve: it is only what Status says until the token is seen */
        k->hooks.warn(k->hooks.context,
                      k->damaged ? "ring-RING.active in stateDir is damaged and ignored"
                                 : "ring-RING.active in stateDir cannot be read: who owns it?",
                      "");
    if (err_is(known_keks_load(k->state_dir, ring, &k->canaries)) ||
        err_is(known_keks_load_lost(k->state_dir, ring, &k->lost)))
        k->hooks.warn(k->hooks.context,
                      "the canaries in stateDir cannot be read: missing KEKs would not be noticed",
                      "");
    const struct ring_content remembered = {.active = SIZE_MAX, .current = k->known.key_id};
    struct ring_view *view = NULL;
    TRY(ring_view_new(&remembered, &view));
    k->health = health;
    keyring_publish(k->keyring, view, &health); /* no hook: a start is no change of health */
    return ERR_OK;
}

struct err keeper_new(const struct keeper_options *options, struct keeper **ret)
{
    struct keeper *k = calloc(1, sizeof *k);
    if (!k)
        return err_make(ERR_EXHAUSTED, "keeper_new");
    pthread_mutex_init(&k->lock, NULL);
    pthread_mutex_init(&k->memory_lock, NULL);
    k->hooks = options->hooks;
    k->state_dir = options->state_dir;
    k->keyring = options->keyring;
    k->pool = options->pool;
    k->timeout_ms = options->timeout_ms;
    k->probe_every_ms = options->probe_every_ms;
    k->rescan_every_ms = options->rescan_every_ms;
    k->since_ns = clock_monotonic_ns();
    k->old_lane = -1;
    k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct err e = k->wake_fd < 0 ? err_errno(errno, "eventfd") : publish_memory(k);
    if (!err_is(e)) {
        int failed = pthread_create(&k->thread, NULL, run, k);
        e = failed ? err_errno(failed, "pthread_create") : ERR_OK;
    }
    if (err_is(e))
        release(k);
    else
        *ret = k;
    return e;
}

static void wake(struct keeper *k)
{
    (void)eventfd_write(k->wake_fd, 1);
}

void keeper_free(struct keeper *k)
{
    if (!k)
        return;
    pthread_mutex_lock(&k->lock);
    k->wishes.stop = true;
    pthread_mutex_unlock(&k->lock);
    wake(k);
    pthread_join(k->thread, NULL);
    release(k);
}

void keeper_offer(struct keeper *k, uint64_t generation, const int *fds, size_t n)
{
    if (n < 2 || n > AGENT_LANES_MAX) {
        close_all(fds, n);
        return;
    }
    pthread_mutex_lock(&k->lock);
    if (k->wishes.offered)
        close_all(k->wishes.fds, k->wishes.n_fds);
    k->wishes.offered = true;
    k->wishes.generation = generation;
    k->wishes.n_fds = n;
    memcpy(k->wishes.fds, fds, n * sizeof *fds);
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

void keeper_agent_gone(struct keeper *k, uint64_t generation, const char *how)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.gone = generation;
    (void)snprintf(k->wishes.gone_how, sizeof k->wishes.gone_how, "%s", how);
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

void keeper_kick(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.probe = true;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

void keeper_replace(struct keeper *k, enum control_reason reason, const char *why)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.replace = why;
    k->wishes.replace_reason = reason;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

void keeper_renew(struct keeper *k, const char *why)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.renew = why;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

uint64_t keeper_want_look(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool news = !k->look_wanted;
    k->look_wanted = true;
    uint64_t number = k->looks_begun + 1;
    pthread_mutex_unlock(&k->lock);
    if (news)
        wake(k);
    return number;
}

void keeper_named(struct keeper *k, const struct key_id *key_id)
{
    pthread_mutex_lock(&k->lock);
    bool news = k->named.n < NAMED_MAX && !known_keks_has(&k->named, key_id) &&
                !known_keks_has(&k->lost, key_id);
    if (news && !err_is(known_keks_add(&k->named, key_id)))
        k->wishes.rescan = true; /* to publish it */
    pthread_mutex_unlock(&k->lock);
    if (!news)
        return;
    k->hooks.warn(k->hooks.context,
                  "a Decrypt named a KEK that is not on the token: nothing rotates until it is "
                  "back or given up",
                  key_id->text);
    wake(k);
}

void keeper_used(struct keeper *k, const struct object_id *id)
{
    pthread_mutex_lock(&k->lock);
    bool room = k->n_used < USED_MAX;
    if (room)
        k->used[k->n_used++] = *id;
    pthread_mutex_unlock(&k->lock);
    if (room)
        wake(k);
}

int64_t keeper_proved_ms(const struct keeper *k)
{
    return atomic_load_explicit(&k->proved_ms, memory_order_relaxed);
}

void keeper_rescan(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.rescan = true;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

void keeper_retune(struct keeper *k, int64_t timeout_ms, int64_t probe_every_ms,
                   int64_t rescan_every_ms)
{
    pthread_mutex_lock(&k->lock);
    k->timeout_ms = timeout_ms;
    k->probe_every_ms = probe_every_ms;
    k->rescan_every_ms = rescan_every_ms;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}
