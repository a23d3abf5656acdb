/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that wait for a lane: first in, first out within a flow, and the flows take turns, so that
 * nobody waits behind all that somebody else has asked for. Bounded; no locks of its own. */
#ifndef P11KMS_LANE_QUEUE_H
#define P11KMS_LANE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LANE_QUEUE_MAX = 512 };

struct lane_job; /* lane_pool.h */

/* The jobs of one flow; there is none without a job. */
struct lane_flow {
    uint64_t id;
    struct lane_job *first, **last;
    size_t waiting;
    struct lane_flow *next; /* whose turn comes after it, or the next unused one */
};

/* Must stay where it is once it was initialised. */
struct lane_queue {
    struct lane_flow *first, **last; /* in the order of their turns */
    struct lane_flow *unused;
    size_t waiting;
    struct lane_flow flows[LANE_QUEUE_MAX];
};

void lane_queue_init(struct lane_queue *queue);

/* Appends to the job's flow. False: LANE_QUEUE_MAX jobs wait already. */
bool lane_queue_put(struct lane_queue *queue, struct lane_job *job);

/* The job whose turn it is; NULL: none waits. */
struct lane_job *lane_queue_peek(const struct lane_queue *queue);

/* Takes the job that lane_queue_peek shows. */
struct lane_job *lane_queue_take(struct lane_queue *queue);

/* Takes the youngest job of the longest flow, so that one of the flow `id` can wait instead. NULL:
 * that flow is about as long itself. */
struct lane_job *lane_queue_make_room(struct lane_queue *queue, uint64_t id);

/* Takes all jobs for which pick is true, linked by their `next`. */
typedef bool lane_queue_pick(struct lane_job *job, void *context);
struct lane_job *lane_queue_sweep(struct lane_queue *queue, lane_queue_pick *pick, void *context);

#endif
