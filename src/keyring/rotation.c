/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation_private.h"

#include "cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum {
    TICK_MS = 1000,      /* how late a jump of the clock is noticed */
    LOOK_WAIT_MS = 5000, /* for the keeper to see what was changed */
    RETRY_FIRST_MS = 1000,
    RETRY_MOST_MS = 600000,
    SEEK_EVERY_MS = 3000,
    SEEK_PART = 10,  /* and no more than this part of the time is spent on it */
    IDLE_UNSEEN = 2, /* after that many looks in vain, the keeper's agent does not see it */
    HEIR_WAIT_MS = 30000,
    JITTER_PART = 10,
    JITTER_MOST_MS = 3600000
};

struct rotation_tuning rotation_tuning_of(struct rotation *r)
{
    pthread_mutex_lock(&r->lock);
    struct rotation_tuning tuning = r->tuning;
    pthread_mutex_unlock(&r->lock);
    return tuning;
}

/* --- what is known ----------------------------------------------------------------------- */

static int64_t jitter(int64_t rotate_every_ms)
{
    uint64_t random = 0;
    int64_t most = rotate_every_ms / JITTER_PART;
    if (most > JITTER_MOST_MS)
        most = JITTER_MOST_MS;
    if (most <= 0 || err_is(random_fill(&random, sizeof random)))
        return 0;
    return (int64_t)(random % (uint64_t)most);
}

static void follow_active(struct rotation *r, const struct ring_view *view,
                          const struct rotation_tuning *tuning)
{
    const struct kek *active = ring_view_active(view);
    const struct key_id none = {""}, *now = active ? &active->key_id : &none;
    if (active && strcmp(now->text, r->active.text) != 0) {
        r->active = *now;
        r->active_since_ns = clock_monotonic_ns();
        r->idle = 0;
        r->jitter_ms = jitter(tuning->rotate_every_ms);
    }
    if (err_is(seal_count_tend(&r->count, now, tuning->max_seals)))
        rotation_note(r, true, "the count of seals could not be written to stateDir", now,
                      "is its disk full?");
}

static struct ring_plan plan_view(struct rotation *r, const struct ring_view *view,
                                  const struct rotation_tuning *tuning)
{
    size_t n_missing = 0;
    struct ring_facts facts = {
        .active = SIZE_MAX,
        .spent = seal_count_spent(&r->count),
        .settled = clock_monotonic_ns() - r->active_since_ns >=
                   tuning->activation_delay_ms * INT64_C(1000000),
        .now_ms = clock_wall_ms(),
        .rotate_every_ms = tuning->rotate_every_ms,
        .jitter_ms = r->jitter_ms,
        .activation_delay_ms = tuning->activation_delay_ms,
    };
    facts.keys = ring_view_keys(view, &facts.n);
    if (ring_view_active(view) && !r->maker.rules->external) /* else nothing is ours to do */
        facts.active = (size_t)(ring_view_active(view) - facts.keys);
    (void)ring_view_missing(view, &n_missing);
    facts.missing = n_missing > 0;
    return ring_plan_make(&facts);
}

/* --- steps ------------------------------------------------------------------------------- */

/* Where somebody gives the PIN none starts for a look: it would wait for them, and be killed there
 * in the end, which counts as a refused PIN. */
static void ask_look(struct rotation *r, bool unseen)
{
    r->hooks.changed(r->hooks.context, unseen && !r->attended);
}

static void await_look(struct rotation *r, bool unseen)
{
    r->awaits_look = true;
    r->awaits_since_ns = clock_monotonic_ns();
    ask_look(r, unseen);
}

static bool is_active(struct rotation *r, const struct object_id *id, enum key_state state)
{
    (void)state; /* an operator's key has no other */
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(r->keyring);
    const struct kek *active = ring_view_active(view);
    return active && object_id_equal(&active->id, id);
}

static bool is_seen(struct rotation *r, const struct object_id *id, enum key_state state)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(r->keyring);
    const struct kek *kek = ring_view_find(view, id);
    return kek && kek->label.state >= state;
}

/* A look in vain may have begun before the token was changed; the second has not. */
static void looked_in_vain(struct rotation *r, unsigned times, struct timespec *until)
{
    if (times == IDLE_UNSEEN && !r->attended) {
        rotation_needs_heirs(r);
        *until = clock_after_ms(HEIR_WAIT_MS);
    }
    if (times <= IDLE_UNSEEN)
        ask_look(r, times == IDLE_UNSEEN);
}

static bool await_published(struct rotation *r, const struct object_id *id, enum key_state state,
                            bool (*holds)(struct rotation *r, const struct object_id *id,
                                          enum key_state state))
{
    const bool heirs = keyring_needs_heirs(r->keyring);
    const enum key_state shown = r->maker.rules->external ? KEY_PRE_ACTIVE : state;
    struct timespec until = clock_after_ms(heirs ? HEIR_WAIT_MS : LOOK_WAIT_MS);
    unsigned in_vain = heirs ? IDLE_UNSEEN : 0;
    int waited = 0;
    ask_look(r, heirs);
    while (waited == 0 && !holds(r, id, state)) {
        pthread_mutex_lock(&r->lock);
        while (!r->stop && !r->looked && waited == 0)
            waited = pthread_cond_timedwait(&r->changed, &r->lock, &until);
        r->looked = false;
        if (r->stop)
            waited = ETIMEDOUT;
        pthread_mutex_unlock(&r->lock);
        if (waited == 0 && !is_seen(r, id, shown))
            looked_in_vain(r, ++in_vain, &until);
    }
    return holds(r, id, state);
}

bool rotation_await_active(struct rotation *r, const struct object_id *id)
{
    return await_published(r, id, KEY_ACTIVE, is_active);
}

void rotation_await_seen(struct rotation *r, const struct object_id *id, enum key_state state)
{
    (void)await_published(r, id, state, is_seen);
}

static void wait_before_next(struct rotation *r, unsigned times)
{
    int64_t wait = RETRY_FIRST_MS;
    for (unsigned i = 0; i < times && wait < RETRY_MOST_MS; i++)
        wait *= 2;
    r->retry_ns =
        clock_monotonic_ns() + (wait < RETRY_MOST_MS ? wait : RETRY_MOST_MS) * INT64_C(1000000);
}

static void step_failed(struct rotation *r)
{
    wait_before_next(r, r->failures++);
    if (strcmp(r->failed, r->maker.text) != 0)
        rotation_note(r, true, "the ring could not be changed", NULL, r->maker.text);
    (void)snprintf(r->failed, sizeof r->failed, "%s", r->maker.text);
}

/* A step that fails may have changed the token all the same. One that was not called for is another
 * replica's work, mostly, and seen by the next look; what is planned from must not start makers as
 * fast as they come. */
static void take_step(struct rotation *r, enum ring_step step)
{
    bool taken;
    struct err e = rotation_take_step(r, step, &taken);
    maker_end(&r->maker);
    if (err_is(e)) {
        step_failed(r);
    } else {
        r->failures = 0;
        r->failed[0] = '\0';
        r->idle = taken ? 0 : r->idle_step == step ? r->idle + 1 : 1;
        r->idle_step = step;
        if (!taken)
            wait_before_next(r, r->idle - 1);
        if (r->idle >= IDLE_UNSEEN)
            rotation_needs_heirs(r);
    }
    await_look(r, keyring_needs_heirs(r->keyring) || (!err_is(e) && r->idle >= IDLE_UNSEEN));
}

/* Some tokens show what has come back only to who starts after that. A fresh agent looks, but only
 * where somebody asks: the keeper looks for each Decrypt that names what is missing, and each
 * rescanEvery. */
static void seek_missing(struct rotation *r, const struct ring_view *view)
{
    size_t n = 0;
    int64_t now = clock_monotonic_ns();
    (void)ring_view_missing(view, &n);
    if (n == 0 || !r->seen || now < r->seek_ns || r->attended)
        return;
    r->seen = false;
    bool found = rotation_finds_missing(r, view);
    int64_t pause = (clock_monotonic_ns() - now) * SEEK_PART,
            least = SEEK_EVERY_MS * INT64_C(1000000);
    r->seek_ns = now + (pause > least ? pause : least);
    if (found)
        await_look(r, true);
}

/* What other replicas do is seen by a look; where only a fresh agent sees it, one looks. */
static void look_afresh(struct rotation *r, const struct ring_view *view, int64_t every_ms)
{
    int64_t now = clock_monotonic_ns();
    if (!keyring_needs_heirs(r->keyring) || now < r->afresh_ns)
        return;
    bool due = r->afresh_ns > 0, differs = due && rotation_finds_changes(r, view);
    int64_t pause = (clock_monotonic_ns() - now) * SEEK_PART, least = every_ms * INT64_C(1000000);
    r->afresh_ns = now + (pause > least ? pause : least);
    if (differs)
        await_look(r, true);
}

/* Somebody has done what failed here. */
static void forget_failure(struct rotation *r)
{
    r->failures = r->idle = 0;
    r->retry_ns = 0;
    r->failed[0] = '\0';
}

static void tend(struct rotation *r)
{
    const struct rotation_tuning tuning = rotation_tuning_of(r);
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(r->keyring);
    struct health health;
    struct key_id current;
    keyring_status(r->keyring, &health, &current);
    follow_active(r, view, &tuning);
    struct ring_plan plan = plan_view(r, view, &tuning);
    int64_t now = clock_monotonic_ns();
    if (r->awaits_look && now - r->awaits_since_ns > LOOK_WAIT_MS * INT64_C(1000000))
        r->awaits_look = false;
    r->due_ms =
        plan.activate_due_ms < plan.rotate_due_ms ? plan.activate_due_ms : plan.rotate_due_ms;
    if (health.ok && !r->awaits_look && plan.step == RING_STEP_NONE && plan.pending == SIZE_MAX)
        forget_failure(r);
    rotation_tell_status(r, view, &health, &plan, &tuning);
    if (health.ok && !r->awaits_look && now >= r->retry_ns && plan.step != RING_STEP_NONE)
        take_step(r, plan.step);
    else if (health.ok && !r->awaits_look)
        seek_missing(r, view);
    if (!r->awaits_look)
        look_afresh(r, view, tuning.rescan_every_ms);
}

/* --- the thread -------------------------------------------------------------------------- */

static int64_t wait_ms(const struct rotation *r)
{
    int64_t left = r->due_ms == INT64_MAX ? TICK_MS : r->due_ms - clock_wall_ms() + 1;
    return left < 1 || left > TICK_MS ? TICK_MS : left;
}

/* Yields the next order, if there is one. False: stop. */
static bool wait_for_work(struct rotation *r, struct ring_order *ret_order)
{
    const struct timespec until = clock_after_ms(wait_ms(r));
    int waited = 0;
    ret_order->command = 0;
    pthread_mutex_lock(&r->lock);
    while (!r->stop && r->n_orders == 0 && !r->looked && !r->kicked && waited == 0)
        waited = pthread_cond_timedwait(&r->changed, &r->lock, &until);
    if (r->looked)
        r->awaits_look = false;
    r->seen = r->seen || r->looked;
    r->looked = r->kicked = false;
    if (r->n_orders > 0 && !r->stop) {
        *ret_order = r->orders[r->first_order];
        r->first_order = (r->first_order + 1) % ORDERS_MAX;
        r->n_orders--;
    }
    bool on = !r->stop;
    pthread_mutex_unlock(&r->lock);
    return on;
}

static void *run(void *argument)
{
    struct rotation *r = argument;
    struct ring_order order;
    while (wait_for_work(r, &order)) {
        if (order.command != 0) {
            rotation_carry_out(r, &order);
            await_look(r, false);
        }
        tend(r);
    }
    maker_end(&r->maker);
    return NULL;
}

/* --- from outside ------------------------------------------------------------------------ */

static void answer(const struct ring_order *order, enum err_code code, const char *text)
{
    struct ring_report report = {.code = code};
    (void)snprintf(report.text, sizeof report.text, "%s", text);
    order->done(order->context, &report);
}

void rotation_order(struct rotation *r, const struct ring_order *order)
{
    pthread_mutex_lock(&r->lock);
    bool stops = r->stop, room = r->n_orders < ORDERS_MAX && !stops;
    if (room)
        r->orders[(r->first_order + r->n_orders++) % ORDERS_MAX] = *order;
    (void)pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (stops)
        answer(order, ERR_UNAVAILABLE, "the daemon stops");
    else if (!room)
        answer(order, ERR_EXHAUSTED, "too many orders wait: try again");
}

void rotation_status(struct rotation *r, struct rotation_status *ret)
{
    pthread_mutex_lock(&r->lock);
    *ret = r->status;
    pthread_mutex_unlock(&r->lock);
    ret->seals = atomic_load(&r->count.seals);
}

static void wake(struct rotation *r, bool *flag)
{
    pthread_mutex_lock(&r->lock);
    *flag = true;
    (void)pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void rotation_looked(struct rotation *r)
{
    wake(r, &r->looked);
}

void rotation_retune(struct rotation *r, const struct rotation_tuning *tuning)
{
    pthread_mutex_lock(&r->lock);
    r->tuning = *tuning;
    r->kicked = true;
    (void)pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void rotation_sealed(struct rotation *r)
{
    if (seal_count_add(&r->count))
        wake(r, &r->kicked);
}

static void release(struct rotation *r)
{
    if (r->offered_lane >= 0)
        (void)close(r->offered_lane);
    (void)pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}

static void init_waiting(struct rotation *r)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    pthread_mutex_init(&r->lock, NULL);
}

struct err rotation_new(const struct rotation_options *options, struct rotation **ret)
{
    struct rotation *r = calloc(1, sizeof *r);
    if (!r)
        return err_make(ERR_EXHAUSTED, "rotation_new");
    const char *ring = keyring_name(options->keyring);
    r->hooks = options->hooks;
    r->attended = options->attended;
    r->state_dir = options->state_dir;
    r->keyring = options->keyring;
    r->scheme = options->scheme;
    r->tuning = options->tuning;
    r->offered_lane = r->maker_lane = -1;
    r->due_ms = INT64_MAX;
    r->maker = (struct maker){.source = {rotation_fresh_maker, rotation_end_maker, r},
                              .state_dir = r->state_dir,
                              .rules = keyring_rules(options->keyring),
                              .timeout_ms = (int)options->generate_timeout_ms};
    init_waiting(r);
    seal_count_init(&r->count, r->state_dir, ring);
    int failed = pthread_create(&r->thread, NULL, run, r);
    if (failed) {
        release(r);
        return err_errno(failed, "pthread_create");
    }
    *ret = r;
    return ERR_OK;
}

void rotation_stop(struct rotation *r)
{
    pthread_mutex_lock(&r->lock);
    bool again = r->stop;
    r->stop = true;
    if (r->maker_lane >= 0) /* nobody waits for the token any more */
        (void)shutdown(r->maker_lane, SHUT_RDWR);
    (void)pthread_cond_signal(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (again)
        return;
    pthread_join(r->thread, NULL);
    for (; r->n_orders > 0; r->n_orders--, r->first_order = (r->first_order + 1) % ORDERS_MAX)
        answer(&r->orders[r->first_order], ERR_UNAVAILABLE, "the daemon stops");
    (void)err_is(seal_count_close(&r->count)); /* what is on disk then is only higher */
}

void rotation_free(struct rotation *r)
{
    if (!r)
        return;
    rotation_stop(r);
    release(r);
}
