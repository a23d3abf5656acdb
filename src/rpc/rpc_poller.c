/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_poller.h"

#include "rpc_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

struct rpc_poller {
    grpc_completion_queue *queue;
    pthread_t thread;
    bool runs;
    atomic_int_fast64_t beat_ns;
};

/* The coarse clock: this is for each event, and need not be exact. Yields when to go round again.
 */
static gpr_timespec beat(struct rpc_poller *poller)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    atomic_store_explicit(&poller->beat_ns, now.tv_sec * INT64_C(1000000000) + now.tv_nsec,
                          memory_order_relaxed);
    return (gpr_timespec){.tv_sec = now.tv_sec + 1,
                          .tv_nsec = (int32_t)now.tv_nsec,
                          .clock_type = GPR_CLOCK_MONOTONIC};
}

int64_t rpc_poller_beat_ns(const struct rpc_poller *poller)
{
    return atomic_load_explicit(&poller->beat_ns, memory_order_relaxed);
}

grpc_completion_queue *rpc_poller_queue(const struct rpc_poller *poller)
{
    return poller->queue;
}

static void *poll_queue(void *argument)
{
    struct rpc_poller *poller = (struct rpc_poller *)argument;
    for (;;) {
        grpc_event event = grpc_completion_queue_next(poller->queue, beat(poller), NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (event.type == GRPC_OP_COMPLETE)
            rpc_server_event((const struct event_tag *)event.tag, event.success != 0);
    }
}

struct err rpc_poller_new(struct rpc_poller **ret)
{
    struct rpc_poller *poller = (struct rpc_poller *)calloc(1, sizeof *poller);
    if (!poller)
        return err_make(ERR_EXHAUSTED, "rpc_poller_new");
    poller->queue = grpc_completion_queue_create_for_next(NULL);
    *ret = poller;
    return ERR_OK;
}

struct err rpc_poller_run(struct rpc_poller *poller)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    (void)beat(poller);
    int failed = pthread_create(&poller->thread, NULL, poll_queue, poller);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return err_errno(failed, "pthread_create");
    (void)pthread_setname_np(poller->thread, "rpc");
    poller->runs = true;
    return ERR_OK;
}

void rpc_poller_free(struct rpc_poller *poller)
{
    if (!poller)
        return;
    grpc_completion_queue_shutdown(poller->queue);
    if (poller->runs)
        (void)pthread_join(poller->thread, NULL);
    else
        (void)poll_queue(poller); /* a queue must be empty before it is destroyed */
    grpc_completion_queue_destroy(poller->queue);
    free(poller);
}
