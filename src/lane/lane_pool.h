/* SPDX-License-Identifier: Apache-2.0 */
/* The front end's side of the request lanes: hands a job to a free lane at once, queues a few,
 * completes replies as they come on a thread of its own, and notices an agent that hangs. */
#ifndef P11KMS_LANE_POOL_H
#define P11KMS_LANE_POOL_H

#include "control.h"
#include "lane.h"
#include "lane_queue.h"
#include "secret.h"

#include <stdatomic.h>

struct lane_pool;
struct lane_job;

/* Called once per submitted job, never with the pool's lock held: on the pool's thread, or inside
 * lane_pool_submit. With a transport error reply is NULL: ERR_UNAVAILABLE (the agent died with it
 * or there is none), ERR_DEADLINE, ERR_CANCELLED or ERR_EXHAUSTED. Otherwise reply holds the
 * agent's answer, whose views die with the call. */
typedef void lane_job_done(struct lane_job *job, struct err transport,
                           const struct lane_reply *reply);

/* Whether nobody waits for the job any more at that time, which may lie ahead. Called with the
 * pool's lock held: must not block. True is final: the job ends. */
typedef bool lane_job_abandoned(struct lane_job *job, int64_t at_ns);

/* One request. The submitter owns the memory, and it stays until done was called. */
struct lane_job {
    struct secret *packet; /* lane_put_request with number; the pool frees it */
    uint64_t number;       /* from lane_pool_number */
    enum lane_op op;
    uint64_t flow;       /* whose job it is: those that wait take turns by flow */
    int64_t deadline_ns; /* monotonic; waiting beyond it is pointless */
    lane_job_done *done;
    lane_job_abandoned *abandoned;
    atomic_bool sent;      /* set by the pool once an agent has it: it waits for no turn any more,
                              and never will again */
    struct lane_job *next; /* the pool's, as is the next */
    struct err ending;     /* why it ends without having reached an agent, or with one */
};

/* Called on the pool's thread when an agent held a request longer than the timeout or broke the
 * protocol; its lanes are given up then. Called once a generation; why is static. */
typedef void lane_pool_condemn(void *context, uint64_t generation, enum control_reason reason,
                               const char *why);

/* Called on the pool's thread when one of an agent's lanes has ended, and all have been given up
 * for that: the agent has died, or lives on and serves nobody. Also when an agent whose place
 * another has taken has answered its last request. Once a generation. */
typedef void lane_pool_ended(void *context, uint64_t generation);

struct lane_pool_hooks {
    lane_pool_condemn *condemn;
    lane_pool_ended *ended;
    void *context;
};

MUST_CHECK struct err lane_pool_new(int64_t timeout_ms, const struct lane_pool_hooks *hooks,
                                    struct lane_pool **ret);

/* Stops the thread, fails what is left with ERR_UNAVAILABLE, closes the lanes. Accepts NULL. */
void lane_pool_free(struct lane_pool *pool);

/* token.timeout, counted from writing a request to a lane. */
void lane_pool_set_timeout(struct lane_pool *pool, int64_t timeout_ms);

/* Takes an agent's request lanes (the descriptors become the pool's, also on failure), in place
 * of any older generation's; waiting jobs go to them. Those of older ones get no more, and end as
 * what is in them is answered. */
MUST_CHECK struct err lane_pool_add(struct lane_pool *pool, uint64_t generation, const int *fds,
                                    size_t n);

/* Gives up the lanes of this generation and all before it: their requests fail with
 * ERR_UNAVAILABLE and why (a static string), waiting jobs stay for the next agent. */
void lane_pool_drop(struct lane_pool *pool, uint64_t generation, const char *why);

/* Whether there is a lane that takes jobs. */
bool lane_pool_has_lanes(struct lane_pool *pool);

/* Whether no lane of this generation or an older one is left: nothing is in that agent. */
bool lane_pool_has_left(struct lane_pool *pool, uint64_t generation);

/* A request number never used before. */
uint64_t lane_pool_number(struct lane_pool *pool);

/* Hands over a job. Never blocks. Where LANE_QUEUE_MAX wait already, the youngest of the longest
 * flow ends with ERR_EXHAUSTED: this one, if its flow is about as long. */
void lane_pool_submit(struct lane_pool *pool, struct lane_job *job);

/* Fails all waiting jobs with ERR_UNAVAILABLE, and until lane_pool_add every job that finds no free
 * lane: the token is known to be away. */
void lane_pool_fail_waiting(struct lane_pool *pool);

/* Lanes with a request in them, and jobs waiting for one. */
void lane_pool_load(struct lane_pool *pool, size_t *ret_busy, size_t *ret_waiting);

#endif
