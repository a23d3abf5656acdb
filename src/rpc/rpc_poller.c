/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_poller.h"

#include "rpc_internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

struct rpc_poller {
    grpc_completion_queue *queue;
    pthread_t thread;
    bool runs;
};

grpc_completion_queue *rpc_poller_queue(const struct rpc_poller *poller)
{
    return poller->queue;
}

static void *poll_queue(void *argument)
{
    struct rpc_poller *poller = (struct rpc_poller *)argument;
    for (;;) {
        grpc_event event =
            grpc_completion_queue_next(poller->queue, gpr_inf_future(GPR_CLOCK_REALTIME), NULL);
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
