/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_flight.h"

enum { PARKED_MAX = 64 };

void flights_init(struct flights *flights)
{
    pthread_mutex_init(&flights->lock, NULL);
}

void flights_destroy(struct flights *flights)
{
    pthread_mutex_destroy(&flights->lock);
}

static struct err add_waiter_locked(struct job *job, const struct kms_request *request)
{
    struct waiter *waiter = calloc(1, sizeof *waiter);
    if (!waiter)
        return err_make(ERR_EXHAUSTED, "out of memory");
    *waiter = (struct waiter){request->done, request->context, request->cancelled,
                              request->deadline_ns, job->waiters};
    job->waiters = waiter;
    return ERR_OK;
}

struct err flight_first_waiter(struct job *job, const struct kms_request *request)
{
    return add_waiter_locked(job, request);
}

/* --- equal Decrypts ---------------------------------------------------------------------- */

uint64_t flight_hash(struct bytes envelope, enum family family)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)family;
    for (size_t i = 0; i < envelope.len; i++)
        hash = (hash ^ envelope.data[i]) * UINT64_C(0x100000001b3);
    return hash ^ hash >> 32;
}

/* As long as it waits, it does so behind all else that its connection has asked for, and is refused
 * if that is too much: nobody else must share that. */
static bool may_join(const struct job *job, const struct kms_request *request)
{
    return job->connection == request->connection || atomic_load(&job->lane.sent);
}

bool flight_join(struct flights *flights, const struct kms_request *request, uint64_t hash)
{
    bool joined = false;
    pthread_mutex_lock(&flights->lock);
    for (struct job *job = flights->buckets[hash % FLIGHT_BUCKETS]; job && !joined; job = job->next)
        if (job->hash == hash && job->family == request->family && may_join(job, request) &&
            bytes_equal(job_envelope(job), request->input))
            joined = !err_is(add_waiter_locked(job, request));
    pthread_mutex_unlock(&flights->lock);
    return joined;
}

void flight_share(struct flights *flights, struct job *job, uint64_t hash)
{
    struct job **bucket = &flights->buckets[hash % FLIGHT_BUCKETS];
    pthread_mutex_lock(&flights->lock);
    job->hash = hash;
    job->shared = true;
    job->next = *bucket;
    *bucket = job;
    pthread_mutex_unlock(&flights->lock);
}

static void leave_bucket_locked(struct flights *flights, struct job *job)
{
    struct job **at = &flights->buckets[job->hash % FLIGHT_BUCKETS];
    while (job->shared && *at != job)
        at = &(*at)->next;
    if (job->shared)
        *at = job->next;
    job->shared = false;
}

void flight_leave(struct flights *flights, struct job *job)
{
    pthread_mutex_lock(&flights->lock);
    leave_bucket_locked(flights, job);
    pthread_mutex_unlock(&flights->lock);
}

static bool is_abandoned_locked(const struct job *job, int64_t at_ns)
{
    bool abandoned = true;
    for (const struct waiter *w = job->waiters; w && abandoned; w = w->next)
        abandoned = atomic_load(w->cancelled) || w->deadline_ns <= at_ns;
    return abandoned;
}

bool flight_abandoned(struct flights *flights, struct job *job, int64_t at_ns)
{
    pthread_mutex_lock(&flights->lock);
    bool abandoned = is_abandoned_locked(job, at_ns);
    if (abandoned) /* the pool ends it now: whoever asks the same from here on must not join */
        leave_bucket_locked(flights, job);
    pthread_mutex_unlock(&flights->lock);
    return abandoned;
}

/* --- unknown KEKs ------------------------------------------------------------------------ */

bool flight_park(struct flights *flights, struct job *job, struct keeper *keeper)
{
    pthread_mutex_lock(&flights->lock);
    bool room = flights->n_parked < PARKED_MAX;
    if (room) {
        leave_bucket_locked(flights, job); /* the same link serves both lists */
        job->look = keeper_want_look(keeper);
        job->next = flights->parked;
        flights->parked = job;
        flights->n_parked++;
    }
    pthread_mutex_unlock(&flights->lock);
    return room;
}

static bool is_late_locked(const struct job *job, int64_t now_ns)
{
    return job->lane.deadline_ns <= now_ns || is_abandoned_locked(job, now_ns);
}

struct job *flight_unpark(struct flights *flights, uint64_t look, int64_t now_ns)
{
    struct job *taken = NULL;
    pthread_mutex_lock(&flights->lock);
    for (struct job **at = &flights->parked; *at;) {
        struct job *job = *at;
        if (job->look > look && !is_late_locked(job, now_ns)) {
            at = &job->next;
            continue;
        }
        *at = job->next;
        job->next = taken;
        taken = job;
        flights->n_parked--;
    }
    pthread_mutex_unlock(&flights->lock);
    return taken;
}
