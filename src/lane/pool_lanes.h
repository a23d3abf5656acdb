/* SPDX-License-Identifier: Apache-2.0 */
/* The lanes of a pool, of one agent or, while another takes its place, of two. No locks of its
 * own. */
#ifndef P11KMS_POOL_LANES_H
#define P11KMS_POOL_LANES_H

#include "agent_process.h"

enum { POOL_LANES_MAX = 2 * AGENT_LANES_MAX };

struct lane_job; /* lane_pool.h */

struct pool_lane {
    int fd;
    bool dead;    /* shut down; the pool's thread closes it between two waits, so that a stale event
                     never names somebody else's descriptor */
    bool retires; /* gets no more jobs, and is given up once its reply was read */
    uint64_t generation;
    struct lane_job *job; /* in flight, or NULL: free */
    int64_t sent_ns;
};

struct pool_lanes {
    struct pool_lane lanes[POOL_LANES_MAX];
    size_t n;
};

/* Not after all of them have died: ERR_EXHAUSTED with POOL_LANES_MAX. */
MUST_CHECK struct err pool_lanes_add(struct pool_lanes *set, uint64_t generation, int fd);

/* NULL: none is free. */
struct pool_lane *pool_lanes_free(struct pool_lanes *set);

/* The live one of this descriptor, or NULL. */
struct pool_lane *pool_lanes_of_fd(struct pool_lanes *set, int fd);

/* Shuts it down; what is in it is the caller's to end. */
void pool_lane_give_up(struct pool_lane *lane);

/* The lanes of all generations older than `below` get no more jobs; the free ones are given up. */
void pool_lanes_retire(struct pool_lanes *set, uint64_t below);

/* Whether a lane lives that takes jobs; whether one of this generation or an older one lives. */
bool pool_lanes_serve(const struct pool_lanes *set);
bool pool_lanes_left(const struct pool_lanes *set, uint64_t generation);

size_t pool_lanes_busy(const struct pool_lanes *set);

/* Closes the dead ones: only where no events of an epoll_wait are still to be looked at. */
void pool_lanes_reap(struct pool_lanes *set);

#endif
