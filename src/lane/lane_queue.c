/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_queue.h"

#include "lane_pool.h"

#include <string.h>

void lane_queue_init(struct lane_queue *queue)
{
    memset(queue, 0, sizeof *queue);
    queue->last = &queue->first;
    for (size_t i = LANE_QUEUE_MAX; i-- > 0;) {
        queue->flows[i].next = queue->unused;
        queue->unused = &queue->flows[i];
    }
}

static void append_flow(struct lane_queue *queue, struct lane_flow *flow)
{
    flow->next = NULL;
    *queue->last = flow;
    queue->last = &flow->next;
}

/* Takes out the flow that *at links to. */
static struct lane_flow *unlink_flow(struct lane_queue *queue, struct lane_flow **at)
{
    struct lane_flow *flow = *at;
    *at = flow->next;
    if (!*at)
        queue->last = at;
    return flow;
}

static void retire_flow(struct lane_queue *queue, struct lane_flow **at)
{
    struct lane_flow *flow = unlink_flow(queue, at);
    flow->next = queue->unused;
    queue->unused = flow;
}

/* There are about as many flows as clients that wait: few enough to look at each. */
static struct lane_flow *find_flow(const struct lane_queue *queue, uint64_t id)
{
    struct lane_flow *flow = queue->first;
    while (flow && flow->id != id)
        flow = flow->next;
    return flow;
}

static struct lane_flow *new_flow(struct lane_queue *queue, uint64_t id)
{
    struct lane_flow *flow = queue->unused; /* never NULL: each flow has a job, and there is room */
    queue->unused = flow->next;
    *flow = (struct lane_flow){.id = id, .last = &flow->first};
    append_flow(queue, flow);
    return flow;
}

bool lane_queue_put(struct lane_queue *queue, struct lane_job *job)
{
    if (queue->waiting >= LANE_QUEUE_MAX)
        return false;
    struct lane_flow *flow = find_flow(queue, job->flow);
    if (!flow)
        flow = new_flow(queue, job->flow);
    job->next = NULL;
    *flow->last = job;
    flow->last = &job->next;
    flow->waiting++;
    queue->waiting++;
    return true;
}

/* Takes the job that *at links to out of its flow, which may be empty then. */
static struct lane_job *unlink_job(struct lane_queue *queue, struct lane_flow *flow,
                                   struct lane_job **at)
{
    struct lane_job *job = *at;
    *at = job->next;
    if (!*at)
        flow->last = at;
    flow->waiting--;
    queue->waiting--;
    job->next = NULL;
    return job;
}

struct lane_job *lane_queue_peek(const struct lane_queue *queue)
{
    return queue->first ? queue->first->first : NULL;
}

struct lane_job *lane_queue_take(struct lane_queue *queue)
{
    struct lane_flow *flow = queue->first;
    if (!flow)
        return NULL;
    struct lane_job *job = unlink_job(queue, flow, &flow->first);
    if (flow->waiting > 0)
        append_flow(queue, unlink_flow(queue, &queue->first));
    else
        retire_flow(queue, &queue->first);
    return job;
}

struct lane_job *lane_queue_make_room(struct lane_queue *queue, uint64_t id)
{
    const struct lane_flow *own = find_flow(queue, id);
    struct lane_flow *longest = queue->first;
    for (struct lane_flow *flow = longest; flow; flow = flow->next)
        if (flow->waiting > longest->waiting)
            longest = flow;
    if (!longest || longest->waiting <= (own ? own->waiting : 0) + 1)
        return NULL;
    struct lane_job **at = &longest->first;
    while ((*at)->next)
        at = &(*at)->next;
    return unlink_job(queue, longest, at);
}

struct lane_job *lane_queue_sweep(struct lane_queue *queue, lane_queue_pick *pick, void *context)
{
    struct lane_job *taken = NULL;
    for (struct lane_flow **at = &queue->first; *at;) {
        struct lane_flow *flow = *at;
        for (struct lane_job **job = &flow->first; *job;) {
            if (!pick(*job, context)) {
                job = &(*job)->next;
                continue;
            }
            struct lane_job *picked = unlink_job(queue, flow, job);
            picked->next = taken;
            taken = picked;
        }
        if (flow->waiting > 0)
            at = &flow->next;
        else
            retire_flow(queue, at);
    }
    return taken;
}
