/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_pool.h"

#include "io.h"
#include "lane_tally.h"
#include "pool_lanes.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

/* How late a hung agent or an expired job may be noticed. */
enum { TICK_MS = 100, SWEEP_MS = 1, EVENTS = 16, TOOK_MAX_MS = 250 };

struct lane_pool {
    pthread_mutex_t lock; /* guards all below it */
    struct pool_lanes lanes;
    struct lane_queue queue;
    int64_t swept_ns;   /* when a full queue was last looked through for room */
    uint64_t condemned; /* the last generation that was reported */
    uint64_t retired;   /* the last generation that another has taken the place of */
    int64_t timeout_ns;
    int64_t took_ns[2]; /* how long the last open and the last seal took, TOOK_MAX_MS at most */
    bool stopping;
    bool away; /* what finds no free lane is refused, until there are new lanes */

    struct lane_pool_hooks hooks; /* this and the rest never change */
    int epoll_fd, wake_fd;
    pthread_t thread;
    atomic_uint_fast64_t next_number;
};

/* Jobs that have ended, to be told so once the lock is free. */
struct ended {
    struct lane_job *first;
};

static const struct err gone = {.code = ERR_UNAVAILABLE, .where = "the token agent is gone"};

static void end_job(struct ended *ended, struct lane_job *job, struct err error)
{
    job->ending = error;
    job->next = ended->first;
    ended->first = job;
}

static void finish(struct lane_job *job, struct err error, const struct lane_reply *reply)
{
    secret_free(TAKE_PTR(job->packet));
    job->done(job, error, reply);
}

static void tell_ended(struct ended *ended)
{
    while (ended->first) {
        struct lane_job *job = ended->first;
        ended->first = job->next;
        finish(job, job->ending, NULL);
    }
}

/* Whether there is no use in the token's answer at that time; then why is in job->ending. */
static bool is_pointless(struct lane_job *job, void *at_ns)
{
    int64_t at = *(const int64_t *)at_ns;
    if (job->deadline_ns <= at)
        job->ending = err_make(ERR_DEADLINE, "no lane became free in time");
    else if (job->abandoned(job, clock_monotonic_ns()))
        job->ending = err_make(ERR_CANCELLED, "nobody waits");
    else if (job->abandoned(job, at))
        job->ending = err_make(ERR_DEADLINE, "it would be answered too late");
    else
        return false;
    return true;
}

/* Takes out of the queue what nobody waits for any more. */
static void sweep_locked(struct lane_pool *pool, struct ended *ended)
{
    int64_t now = clock_monotonic_ns();
    struct lane_job *swept = lane_queue_sweep(&pool->queue, is_pointless, &now);
    while (swept) {
        struct lane_job *job = swept;
        swept = job->next;
        end_job(ended, job, job->ending);
    }
}

/* Writes a job to a free lane. False: the agent is gone, and the lane's EOF will tell: one that
 * takes no packets and does not end either is ended here. */
static bool send_locked(struct pool_lane *lane, struct lane_job *job)
{
    struct err e = packet_send(lane->fd, secret_bytes(job->packet), NULL, 0);
    if (err_is(e) && e.code != ERR_EXHAUSTED)
        (void)shutdown(lane->fd, SHUT_RDWR);
    if (err_is(e))
        return false;
    secret_wipe(job->packet);
    lane->job = job;
    atomic_store(&job->sent, true);
    lane->sent_ns = clock_monotonic_ns();
    return true;
}

/* When the token will have answered, if it takes as long as it did last: with more requests than it
 * can answer, the next in turn is always one whose time is nearly up, and a slow token would work
 * for those who have just gone. */
static int64_t answered_ns(const struct lane_pool *pool, const struct lane_job *job)
{
    return clock_monotonic_ns() + pool->took_ns[job->op == LANE_SEAL];
}

static void note_took(struct lane_pool *pool, const struct lane_job *job, int64_t took_ns)
{
    const int64_t most = TOOK_MAX_MS * INT64_C(1000000);
    pool->took_ns[job->op == LANE_SEAL] = took_ns < most ? took_ns : most;
}

/* Feeds free lanes from the queue; what is pointless by now never reaches the token. A job that was
 * not written stays the next in turn. */
static void feed_locked(struct lane_pool *pool, struct ended *ended)
{
    struct pool_lane *lane;
    struct lane_job *job;
    while ((job = lane_queue_peek(&pool->queue)) && (lane = pool_lanes_free(&pool->lanes))) {
        int64_t at = answered_ns(pool, job);
        if (is_pointless(job, &at))
            end_job(ended, lane_queue_take(&pool->queue), job->ending);
        else if (send_locked(lane, job))
            (void)lane_queue_take(&pool->queue);
        else
            break;
    }
}

/* Gives up the lanes of all generations older than `below`. */
static void drop_lanes_locked(struct lane_pool *pool, uint64_t below, const char *why,
                              struct ended *ended)
{
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < pool->lanes.n; i++) {
        struct pool_lane *lane = &pool->lanes.lanes[i];
        if (lane->dead || lane->generation >= below)
            continue;
        if (lane->job) {
            int64_t took_ns = now - lane->sent_ns;
            lane_tally_add(lane->job->op,
                           took_ns > pool->timeout_ns ? ERR_DEADLINE : ERR_UNAVAILABLE, took_ns);
            end_job(ended, TAKE_PTR(lane->job), err_make(ERR_UNAVAILABLE, why));
        }
        pool_lane_give_up(lane);
    }
}

void lane_pool_drop(struct lane_pool *pool, uint64_t generation, const char *why)
{
    struct ended ended = {NULL};
    pthread_mutex_lock(&pool->lock);
    drop_lanes_locked(pool, generation + 1, why, &ended);
    pthread_mutex_unlock(&pool->lock);
    tell_ended(&ended);
}

/* The lanes go at once: not even SIGKILL ends an agent that hangs in the kernel. */
static void condemn(struct lane_pool *pool, uint64_t generation, enum control_reason reason,
                    const char *why)
{
    pthread_mutex_lock(&pool->lock);
    bool first = generation > pool->condemned;
    if (first)
        pool->condemned = generation;
    pthread_mutex_unlock(&pool->lock);
    lane_pool_drop(pool, generation, why);
    if (first)
        pool->hooks.condemn(pool->hooks.context, generation, reason, why);
}

/* Gives the lane to the next waiting job, and yields the job the reply is for; NULL, with
 * *ret_broken set, when the reply answers nothing that was asked. */
static struct lane_job *take_reply_locked(struct lane_pool *pool, int fd, struct err decoded,
                                          const struct lane_reply *reply, bool *ret_broken,
                                          uint64_t *ret_generation, struct ended *ended)
{
    struct pool_lane *lane = pool_lanes_of_fd(&pool->lanes, fd);
    if (!lane)
        return NULL;
    struct lane_job *job = lane->job;
    *ret_generation = lane->generation;
    *ret_broken = !job || err_is(decoded) || reply->number != job->number || reply->op != job->op;
    if (*ret_broken)
        return NULL;
    int64_t took_ns = clock_monotonic_ns() - lane->sent_ns;
    lane_tally_add(job->op, reply->status.code, took_ns);
    note_took(pool, job, took_ns);
    lane->job = NULL;
    if (lane->retires)
        pool_lane_give_up(lane);
    feed_locked(pool, ended);
    return job;
}

static void on_packet(struct lane_pool *pool, int fd, struct bytes packet)
{
    struct lane_reply reply;
    struct ended ended = {NULL};
    uint64_t generation = 0;
    bool broken = false;
    struct err decoded = lane_get_reply(packet, &reply);
    pthread_mutex_lock(&pool->lock);
    struct lane_job *job =
        take_reply_locked(pool, fd, decoded, &reply, &broken, &generation, &ended);
    bool last = generation <= pool->retired && !pool_lanes_left(&pool->lanes, generation);
    pthread_mutex_unlock(&pool->lock);
    if (job)
        finish(job, ERR_OK, &reply);
    tell_ended(&ended);
    if (job && last)
        pool->hooks.ended(pool->hooks.context, generation);
    if (broken)
        condemn(pool, generation, CONDEMN_PROTOCOL, "the agent answered what was not asked");
}

static void lane_ended(struct lane_pool *pool, uint64_t generation)
{
    lane_pool_drop(pool, generation, gone.where);
    pool->hooks.ended(pool->hooks.context, generation);
}

static void on_readable(struct lane_pool *pool, int fd, uint8_t *memory)
{
    size_t len = 0;
    pthread_mutex_lock(&pool->lock);
    const struct pool_lane *lane = pool_lanes_of_fd(&pool->lanes, fd);
    uint64_t generation = lane ? lane->generation : 0;
    pthread_mutex_unlock(&pool->lock);
    if (generation == 0)
        return;
    struct err e = packet_receive(fd, memory, LANE_PACKET_MAX, &len, NULL, 0, NULL);
    if (e.code == ERR_DEADLINE)
        return;
    if (!err_is(e))
        on_packet(pool, fd, bytes_of(memory, len));
    else if (e.code == ERR_UNAVAILABLE)
        lane_ended(pool, generation);
    else
        condemn(pool, generation, CONDEMN_PROTOCOL, "the agent sent no packet of ours");
    wipe(memory, err_is(e) ? LANE_PACKET_MAX : len);
}

static void tick(struct lane_pool *pool)
{
    struct ended ended = {NULL};
    uint64_t hung = 0;
    int64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&pool->lock);
    sweep_locked(pool, &ended);
    feed_locked(pool, &ended);
    for (size_t i = 0; i < pool->lanes.n; i++) {
        const struct pool_lane *lane = &pool->lanes.lanes[i];
        if (lane->job && now - lane->sent_ns > pool->timeout_ns && lane->generation > hung)
            hung = lane->generation;
    }
    pthread_mutex_unlock(&pool->lock);
    tell_ended(&ended);
    if (hung != 0)
        condemn(pool, hung, CONDEMN_TIMEOUT, "no answer within token.timeout");
}

static bool goes_on(struct lane_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    pool_lanes_reap(&pool->lanes);
    bool on = !pool->stopping;
    pthread_mutex_unlock(&pool->lock);
    return on;
}

static void *run(void *argument)
{
    struct lane_pool *pool = argument;
    uint8_t memory[LANE_PACKET_MAX];
    int64_t next_tick = clock_monotonic_ns();
    while (goes_on(pool)) {
        struct epoll_event events[EVENTS];
        int64_t left_ns = next_tick - clock_monotonic_ns();
        int timeout = left_ns > 0 ? (int)(left_ns / 1000000 + 1) : 0;
        int n = epoll_wait(pool->epoll_fd, events, EVENTS, timeout);
        for (int i = 0; i < n; i++)
            if (events[i].data.fd != pool->wake_fd)
                on_readable(pool, events[i].data.fd, memory);
        int64_t now = clock_monotonic_ns();
        if (now < next_tick)
            continue;
        tick(pool);
        next_tick = now + TICK_MS * INT64_C(1000000);
    }
    return NULL;
}

static struct err watch(struct lane_pool *pool, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(pool->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return err_errno(errno, "epoll_ctl");
    return ERR_OK;
}

static struct err start(struct lane_pool *pool)
{
    pool->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pool->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (pool->epoll_fd < 0 || pool->wake_fd < 0)
        return err_errno(errno, "epoll_create1 or eventfd");
    TRY(watch(pool, pool->wake_fd));
    int failed = pthread_create(&pool->thread, NULL, run, pool);
    return failed ? err_errno(failed, "pthread_create") : ERR_OK;
}

static void release(struct lane_pool *pool)
{
    close_p(&pool->epoll_fd);
    close_p(&pool->wake_fd);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

struct err lane_pool_new(int64_t timeout_ms, const struct lane_pool_hooks *hooks,
                         struct lane_pool **ret)
{
    struct lane_pool *pool = calloc(1, sizeof *pool);
    if (!pool)
        return err_make(ERR_EXHAUSTED, "lane_pool_new");
    pthread_mutex_init(&pool->lock, NULL);
    lane_queue_init(&pool->queue);
    pool->timeout_ns = timeout_ms * 1000000;
    pool->hooks = *hooks;
    pool->epoll_fd = pool->wake_fd = -1;
    struct err e = start(pool);
    if (err_is(e))
        release(pool);
    else
        *ret = pool;
    return e;
}

void lane_pool_free(struct lane_pool *pool)
{
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stopping = true;
    pthread_mutex_unlock(&pool->lock);
    (void)eventfd_write(pool->wake_fd, 1);
    pthread_join(pool->thread, NULL);
    lane_pool_drop(pool, UINT64_MAX - 1, gone.where);
    lane_pool_fail_waiting(pool);
    pool_lanes_reap(&pool->lanes); /* nobody else is left */
    release(pool);
}

void lane_pool_set_timeout(struct lane_pool *pool, int64_t timeout_ms)
{
    pthread_mutex_lock(&pool->lock);
    pool->timeout_ns = timeout_ms * 1000000;
    pthread_mutex_unlock(&pool->lock);
}

static struct err add_locked(struct lane_pool *pool, uint64_t generation, int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return err_errno(errno, "fcntl");
    TRY(watch(pool, fd));
    return pool_lanes_add(&pool->lanes, generation, fd);
}

struct err lane_pool_add(struct lane_pool *pool, uint64_t generation, const int *fds, size_t n)
{
    struct ended ended = {NULL};
    struct err e = ERR_OK;
    pthread_mutex_lock(&pool->lock);
    pool->away = false;
    pool_lanes_retire(&pool->lanes, generation);
    pool->retired = generation - 1;
    for (size_t i = 0; i < n; i++) {
        if (!err_is(e))
            e = add_locked(pool, generation, fds[i]);
        if (err_is(e))
            (void)close(fds[i]);
    }
    feed_locked(pool, &ended);
    pthread_mutex_unlock(&pool->lock);
    tell_ended(&ended);
    return e;
}

bool lane_pool_has_lanes(struct lane_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    bool has = pool_lanes_serve(&pool->lanes);
    pthread_mutex_unlock(&pool->lock);
    return has;
}

bool lane_pool_has_left(struct lane_pool *pool, uint64_t generation)
{
    pthread_mutex_lock(&pool->lock);
    bool left = pool_lanes_left(&pool->lanes, generation);
    pthread_mutex_unlock(&pool->lock);
    return !left;
}

uint64_t lane_pool_number(struct lane_pool *pool)
{
    return atomic_fetch_add(&pool->next_number, 1) + 1;
}

/* Not for each of a flood: it costs as much as many refusals. */
static void make_room_locked(struct lane_pool *pool, struct ended *ended)
{
    int64_t now = clock_monotonic_ns();
    if (now - pool->swept_ns < SWEEP_MS * INT64_C(1000000))
        return;
    pool->swept_ns = now;
    sweep_locked(pool, ended);
}

/* Waits, or takes the place of one of those who have asked for most. */
static struct err enqueue_locked(struct lane_pool *pool, struct lane_job *job, struct ended *ended)
{
    const struct err full = err_make(ERR_EXHAUSTED, "too many requests wait for the token");
    if (pool->away || pool->stopping)
        return gone;
    if (lane_queue_put(&pool->queue, job))
        return ERR_OK;
    make_room_locked(pool, ended);
    if (lane_queue_put(&pool->queue, job))
        return ERR_OK;
    struct lane_job *instead = lane_queue_make_room(&pool->queue, job->flow);
    if (!instead || !lane_queue_put(&pool->queue, job))
        return full;
    end_job(ended, instead, full);
    return ERR_OK;
}

void lane_pool_submit(struct lane_pool *pool, struct lane_job *job)
{
    struct ended ended = {NULL};
    struct err refused = ERR_OK;
    pthread_mutex_lock(&pool->lock);
    struct pool_lane *lane = lane_queue_peek(&pool->queue) ? NULL : pool_lanes_free(&pool->lanes);
    if (!lane || !send_locked(lane, job))
        refused = enqueue_locked(pool, job, &ended);
    pthread_mutex_unlock(&pool->lock);
    tell_ended(&ended);
    if (err_is(refused))
        finish(job, refused, NULL);
}

void lane_pool_fail_waiting(struct lane_pool *pool)
{
    struct ended ended = {NULL};
    struct lane_job *job;
    pthread_mutex_lock(&pool->lock);
    pool->away = true;
    while ((job = lane_queue_take(&pool->queue)))
        end_job(&ended, job, gone);
    pthread_mutex_unlock(&pool->lock);
    tell_ended(&ended);
}

void lane_pool_load(struct lane_pool *pool, size_t *ret_busy, size_t *ret_waiting)
{
    pthread_mutex_lock(&pool->lock);
    *ret_busy = pool_lanes_busy(&pool->lanes);
    *ret_waiting = pool->queue.waiting;
    pthread_mutex_unlock(&pool->lock);
}
