/* SPDX-License-Identifier: Apache-2.0 */
#include "pool_lanes.h"

#include <sys/socket.h>
#include <unistd.h>

struct err pool_lanes_add(struct pool_lanes *set, uint64_t generation, int fd)
{
    if (set->n == POOL_LANES_MAX)
        return err_make(ERR_EXHAUSTED, "lane_pool_add");
    set->lanes[set->n++] = (struct pool_lane){.fd = fd, .generation = generation};
    return ERR_OK;
}

struct pool_lane *pool_lanes_free(struct pool_lanes *set)
{
    for (size_t i = 0; i < set->n; i++)
        if (!set->lanes[i].dead && !set->lanes[i].retires && !set->lanes[i].job)
            return &set->lanes[i];
    return NULL;
}

struct pool_lane *pool_lanes_of_fd(struct pool_lanes *set, int fd)
{
    for (size_t i = 0; i < set->n; i++)
        if (set->lanes[i].fd == fd && !set->lanes[i].dead)
            return &set->lanes[i];
    return NULL;
}

void pool_lane_give_up(struct pool_lane *lane)
{
    lane->dead = true;
    (void)shutdown(lane->fd, SHUT_RDWR);
}

void pool_lanes_retire(struct pool_lanes *set, uint64_t below)
{
    for (size_t i = 0; i < set->n; i++) {
        struct pool_lane *lane = &set->lanes[i];
        if (lane->dead || lane->generation >= below)
            continue;
        lane->retires = true;
        if (!lane->job)
            pool_lane_give_up(lane);
    }
}

bool pool_lanes_serve(const struct pool_lanes *set)
{
    bool serves = false;
    for (size_t i = 0; i < set->n; i++)
        serves = serves || (!set->lanes[i].dead && !set->lanes[i].retires);
    return serves;
}

bool pool_lanes_left(const struct pool_lanes *set, uint64_t generation)
{
    bool left = false;
    for (size_t i = 0; i < set->n; i++)
        left = left || (!set->lanes[i].dead && set->lanes[i].generation <= generation);
    return left;
}

size_t pool_lanes_busy(const struct pool_lanes *set)
{
    size_t busy = 0;
    for (size_t i = 0; i < set->n; i++)
        busy += set->lanes[i].job != NULL;
    return busy;
}

void pool_lanes_reap(struct pool_lanes *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->n; i++) {
        if (set->lanes[i].dead)
            (void)close(set->lanes[i].fd);
        else
            set->lanes[kept++] = set->lanes[i];
    }
    set->n = kept;
}
