/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs on their way: equal Decrypts are joined, those that name an unknown KEK are parked until the
 * token was looked at. All thread-safe. */
#ifndef P11KMS_KMS_FLIGHT_H
#define P11KMS_KMS_FLIGHT_H

#include "keeper.h"
#include "kms_job.h"

#include <pthread.h>

enum { FLIGHT_BUCKETS = 64 };

struct flights {
    pthread_mutex_t lock; /* guards the rest and the jobs' waiters; the pool's lock may be held when
                             it is taken, never the other way round */
    struct job *buckets[FLIGHT_BUCKETS]; /* Decrypts on their way */
    struct job *parked;
    size_t n_parked;
};

void flights_init(struct flights *flights);
void flights_destroy(struct flights *flights);

/* Adds a waiter to a job that nobody else sees yet. */
MUST_CHECK struct err flight_first_waiter(struct job *job, const struct kms_request *request);

uint64_t flight_hash(struct bytes envelope, enum family family);

/* Joins a Decrypt of the same bytes that is on its way already, one of another connection only when
 * an agent has it; false: there is none. */
bool flight_join(struct flights *flights, const struct kms_request *request, uint64_t hash);

/* From now on others may join the job. */
void flight_share(struct flights *flights, struct job *job, uint64_t hash);

/* Nobody can join any more. */
void flight_leave(struct flights *flights, struct job *job);

/* Whether none of the job's clients waits any more at that time, by cancellation or deadline; then
 * nobody can join any more either. */
bool flight_abandoned(struct flights *flights, struct job *job, int64_t at_ns);

/* Parks the job until the keeper has looked at the token; false: no room. It may be taken out and
 * ended at any moment from then on. */
bool flight_park(struct flights *flights, struct job *job, struct keeper *keeper);

/* Takes out those that waited for this look, and those for which nobody waits any more or which
 * have waited too long by now, linked by `next`. */
struct job *flight_unpark(struct flights *flights, uint64_t look, int64_t now_ns);

#endif
