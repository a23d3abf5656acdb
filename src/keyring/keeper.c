/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"
#include "keeper_private.h"
#include "ring_state.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

static void take_offer(struct keeper *k, const struct wishes *w)
{
    keeper_drop_agent(k);
    memcpy(k->lanes, w->fds, w->n_fds * sizeof *w->fds);
    k->n_lanes = w->n_fds;
    k->generation = w->generation;
    k->phase = AGENT_STARTING;
    k->fresh = true;
    k->greeted = false;
}

/* --- greeting ---------------------------------------------------------------------------- */

static void greet(struct keeper *k)
{
    struct lane_reply reply;
    struct err e = lane_hello(k->lanes[0], 0, k->memory, sizeof k->memory, &reply);
    if (err_is(e)) { /* died at once: keeper_agent_gone says how */
        keeper_drop_agent(k);
        return;
    }
    k->greeted = true;
    if (reply.status.code != ERR_NONE) {
        keeper_drop_agent(k);
        keeper_outage(k, reply.status.text);
        return;
    }
    k->token = reply.u.hello;
    k->phase = AGENT_UP;
    k->since_ns = clock_monotonic_ns();
    keeper_look_at_ring(k);
    k->probe_ns = k->rescan_ns = clock_monotonic_ns();
}

static void lane_readable(struct keeper *k)
{
    if (k->phase == AGENT_STARTING)
        greet(k);
    else if (k->phase == AGENT_UP) /* unasked: its end, or nonsense */
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

static int64_t next_due(struct keeper *k)
{
    switch (k->phase) {
    case AGENT_STARTING:
        return k->since_ns + ms_ns(START_TIMEOUT_MS);
    case AGENT_UP: {
        int64_t probe = k->probe_ns + ms_ns(probe_period(k));
        int64_t rescan = k->rescan_ns + ms_ns(rescan_period(k));
        return probe < rescan ? probe : rescan;
    }
    case AGENT_NONE:
        break;
    }
    return k->health.ok ? k->since_ns + ms_ns(ABSENCE_GRACE_MS) : INT64_MAX;
}

static struct wishes wait_for_wishes(struct keeper *k, bool *ret_readable)
{
    struct pollfd fds[2] = {{.fd = k->wake_fd, .events = POLLIN}, {.fd = -1, .events = POLLIN}};
    int64_t due = next_due(k), now = clock_monotonic_ns();
    int timeout = -1;
    eventfd_t count;
    if (k->phase != AGENT_NONE)
        fds[1].fd = k->lanes[0];
    if (due != INT64_MAX)
        timeout = due <= now ? 0 : (int)((due - now) / 1000000 + 1);
    int n = poll(fds, 2, timeout);
    *ret_readable = n > 0 && fds[1].revents != 0;
    (void)eventfd_read(k->wake_fd, &count);
    pthread_mutex_lock(&k->lock);
    struct wishes wishes = k->wishes;
    k->wishes = (struct wishes){.stop = wishes.stop, .gone = wishes.gone};
    pthread_mutex_unlock(&k->lock);
    return wishes;
}

static void look_due(struct keeper *k, const struct wishes *w)
{
    int64_t now = clock_monotonic_ns();
    bool rescan = w->rescan || now >= k->rescan_ns + ms_ns(rescan_period(k));
    bool probe = w->probe || now >= k->probe_ns + ms_ns(probe_period(k));
    if (!err_is(fd_wait_readable(k->lanes[0], 0))) { /* it died since we looked */
        keeper_drop_agent(k);
        return;
    }
    if (k->attached && !lane_pool_has_lanes(k->pool)) {
        keeper_condemn(k, "it closed its lanes");
        return;
    }
    if (w->replace) {
        keeper_condemn(k, w->replace);
        return;
    }
    if (rescan)
        keeper_look_at_ring(k);
    else if (probe)
        keeper_probe_active(k);
    now = clock_monotonic_ns();
    if (rescan)
        k->rescan_ns = now;
    if (rescan || probe)
        k->probe_ns = now;
}

static void without_agent(struct keeper *k, const struct wishes *w)
{
    char line[256];
    bool grace = clock_monotonic_ns() < k->since_ns + ms_ns(ABSENCE_GRACE_MS);
    if (w->gone_how[0] && !k->health.ok && !k->health.failed && k->generation == w->gone &&
        !k->greeted) {
        (void)snprintf(line, sizeof line,
                       "the token agent ended before it was up (%s): see its lines in the log and "
                       "check token.module",
                       w->gone_how);
        keeper_outage(k, line);
    } else if (k->health.ok && !grace) {
        keeper_outage(k, "the token agent is being restarted");
    } else if (w->rescan && !k->health.ok) {
        keeper_look_ended(k);
    }
}

static void *run(void *argument)
{
    struct keeper *k = argument;
    for (;;) {
        bool readable = false;
        struct wishes wishes = wait_for_wishes(k, &readable);
        if (wishes.stop)
            break;
        if (wishes.offered)
            take_offer(k, &wishes);
        else if (readable)
            lane_readable(k);
        if (k->phase == AGENT_UP)
            look_due(k, &wishes);
        else if (k->phase == AGENT_NONE)
            without_agent(k, &wishes);
        else if (clock_monotonic_ns() >= k->since_ns + ms_ns(START_TIMEOUT_MS)) {
            keeper_condemn(k, "it did not start in 30 s");
            keeper_outage(k,
                          "the token agent did not start in 30 s: is the token's module blocked?");
        }
    }
    keeper_drop_agent(k);
    return NULL;
}

/* --- from outside ------------------------------------------------------------------------ */

static void release(struct keeper *k)
{
    if (k->wishes.offered)
        for (size_t i = 0; i < k->wishes.n_fds; i++)
            (void)close(k->wishes.fds[i]);
    if (k->wake_fd >= 0)
        (void)close(k->wake_fd);
    pthread_mutex_destroy(&k->lock);
    free(k);
}

/* What this host remembers is what Status says until the token was seen. */
static struct err publish_memory(struct keeper *k)
{
    const char *ring = keyring_name(k->keyring);
    struct health health = {.text = "the token agent is starting"};
    struct err e = ring_state_current(k->state_dir, ring, &k->known);
    if (e.code == ERR_INVALID)
        k->hooks.warn(k->hooks.context, "the file with the active key_id is damaged and ignored",
                      "");
    else
        TRY(e);
    struct ring_view *view = NULL;
    TRY(ring_view_new(NULL, 0, SIZE_MAX, &k->known, &view));
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
    k->hooks = options->hooks;
    k->state_dir = options->state_dir;
    k->keyring = options->keyring;
    k->pool = options->pool;
    k->timeout_ms = options->timeout_ms;
    k->probe_every_ms = options->probe_every_ms;
    k->rescan_every_ms = options->rescan_every_ms;
    k->since_ns = clock_monotonic_ns();
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
    pthread_mutex_lock(&k->lock);
    if (k->wishes.offered)
        for (size_t i = 0; i < k->wishes.n_fds; i++)
            (void)close(k->wishes.fds[i]);
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

void keeper_replace(struct keeper *k, const char *why)
{
    pthread_mutex_lock(&k->lock);
    k->wishes.replace = why;
    pthread_mutex_unlock(&k->lock);
    wake(k);
}

bool keeper_want_look(struct keeper *k)
{
    pthread_mutex_lock(&k->lock);
    bool recent = clock_monotonic_ns() - k->looked_ns < ms_ns(LOOK_AGAIN_MS) && k->looked_ns != 0;
    bool coming = k->look_pending || !recent;
    if (coming) {
        k->look_pending = true;
        k->wishes.rescan = true;
    }
    pthread_mutex_unlock(&k->lock);
    if (coming)
        wake(k);
    return coming;
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
