/* SPDX-License-Identifier: Apache-2.0 */
/* What rpc_poller.c, rpc_server.c, rpc_call.c and rpc_reply.c share. */
#ifndef P11KMS_RPC_INTERNAL_H
#define P11KMS_RPC_INTERNAL_H

#include "rpc_peers.h"
#include "rpc_poller.h"
#include "rpc_server.h"
#include "rpc_tally.h"
#include "timed.h"

#include <grpc/grpc.h>

enum event_kind { EVENT_ARRIVED, EVENT_CLOSED, EVENT_REPLIED, EVENT_STOPPED };

/* What gRPC hands back when something completed. */
struct event_tag {
    enum event_kind kind;
    struct rpc_call *call;     /* NULL with EVENT_STOPPED */
    struct rpc_server *server; /* with EVENT_STOPPED */
};

/* A method and the requests for its calls that wait inside gRPC. Polling thread only, once it
 * runs. */
struct rpc_slot {
    const struct rpc_method *method; /* NULL: the catch-all of unknown methods */
    void *registered;
    unsigned posted;
    struct timed ended[RPC_STATUSES]; /* any thread's */
};

/* Everything is the polling thread's, except what rpc_call.h lends to other threads: grpc, slot,
 * arrived_ns, deadline and place do not change after the arrival; response belongs to the replying
 * thread until it has set replied, which the polling thread reads before it looks. */
struct rpc_call {
    struct rpc_server *server;
    struct rpc_slot *slot;
    grpc_call *grpc;
    gpr_timespec deadline;
    int64_t arrived_ns;
    grpc_metadata_array metadata;
    grpc_call_details details; /* catch-all only */
    grpc_byte_buffer *payload;
    grpc_byte_buffer *response;
    int closed;             /* gRPC's answer: not 0 when the client gave up */
    unsigned pending;       /* completions still to come */
    struct rpc_place place; /* until the reply */
    atomic_bool cancelled;
    atomic_bool replied;
    struct event_tag on_arrived, on_closed, on_replied;
    struct rpc_call *next; /* in the pool */
};

struct rpc_server {
    grpc_server *grpc;
    grpc_completion_queue *queue; /* the poller's */
    struct event_tag on_stopped;
    struct rpc_peers peers;
    pthread_mutex_t lock; /* guards stopped */
    pthread_cond_t stopped_changed;
    bool stopped;
    /* The rest is the polling thread's once it runs. */
    bool grpc_stopped;
    unsigned in_flight; /* calls that arrived and are not over: also where a reply is not read */
    unsigned posted;    /* of all slots */
    struct rpc_call *pool;
    size_t n_pool;
    size_t n_slots;
    struct rpc_slot slots[]; /* the last one is the catch-all */
};

grpc_completion_queue *rpc_poller_queue(const struct rpc_poller *poller);

/* Something completed: the polling thread's only work. */
void rpc_server_event(const struct event_tag *tag, bool ok);

/* Fills the pool with n calls at least, so that so many can be had. False: no memory. */
bool call_stock(struct rpc_server *server, size_t n);

/* A call from the pool, or NULL without memory; and back, wiped. */
struct rpc_call *call_obtain(struct rpc_server *server, struct rpc_slot *slot);
void call_recycle(struct rpc_call *call);

/* Asks gRPC for the next call of the slot. */
void call_post(struct rpc_call *call);

/* Serves a call that arrived: watches for its end, checks it and runs its handler. */
void call_serve(struct rpc_call *call);

#endif
