/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_server.h"

#include "rpc_internal.h"
#include "text.h"

#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <stdlib.h>

enum {
    POSTED_PER_METHOD = 8,
    QUOTA_BYTES = 24 * 1024 * 1024,
    KEEPALIVE_MS = 30000,
    CANCEL_GRACE_MS = 1000
};

/* gRPC's argument keys are char *, and it does not write to them. */
static grpc_arg integer_arg(const char *key, int value)
{
    union {
        const char *constant;
        char *plain;
    } name = {.constant = key};
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = name.plain, .value.integer = value};
}

static grpc_arg quota_arg(grpc_resource_quota *quota)
{
    grpc_arg arg = integer_arg(GRPC_ARG_RESOURCE_QUOTA, 0);
    arg.type = GRPC_ARG_POINTER;
    arg.value.pointer.p = quota;
    arg.value.pointer.vtable = grpc_resource_quota_arg_vtable();
    return arg;
}

static grpc_server *make_grpc_server(void)
{
    /* The size limit is checked after buffering: without a quota one message of 600 MB takes
     * 600 MB. */
    grpc_resource_quota *quota = grpc_resource_quota_create("p11-kms");
    grpc_resource_quota_resize(quota, QUOTA_BYTES);
    grpc_arg args[] = {
        quota_arg(quota),
        integer_arg(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, RPC_RECEIVE_MAX),
        integer_arg(GRPC_ARG_MAX_CONCURRENT_STREAMS, RPC_STREAMS_MAX),
        /* A gzip bomb would be inflated before its size is checked. */
        integer_arg(GRPC_ARG_ENABLE_PER_MESSAGE_DECOMPRESSION, 0),
        integer_arg(GRPC_COMPRESSION_CHANNEL_ENABLED_ALGORITHMS_BITSET, 1),
        /* There is no handshake timeout: without these a silent peer stays for ever. */
        integer_arg(GRPC_ARG_KEEPALIVE_TIME_MS, KEEPALIVE_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, KEEPALIVE_MS),
        integer_arg(GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1),
        integer_arg(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0),
    };
    grpc_channel_args channel_args = {sizeof args / sizeof args[0], args};
    grpc_server *server = grpc_server_create(&channel_args, NULL);
    grpc_resource_quota_unref(quota);
    return server;
}

static void post_missing(struct rpc_server *server, struct rpc_slot *slot)
{
    while (slot->posted < POSTED_PER_METHOD) {
        struct rpc_call *call = call_obtain(server, slot);
        if (!call)
            return;
        call_post(call);
    }
}

/* gRPC says "stopped" when its connections are gone, which may be before the last reply of a
 * cancelled call, and before what waited for calls has come back. All of it has to be there. */
static void tell_if_stopped(struct rpc_server *server)
{
    if (!server->grpc_stopped || server->in_flight > 0 || server->posted > 0)
        return;
    (void)pthread_mutex_lock(&server->lock);
    server->stopped = true;
    (void)pthread_cond_signal(&server->stopped_changed);
    (void)pthread_mutex_unlock(&server->lock);
}

static void on_arrived(struct rpc_call *call, bool ok)
{
    struct rpc_slot *slot = call->slot;
    struct rpc_server *server = call->server;
    slot->posted--;
    server->posted--;
    if (!ok) { /* the server is stopping */
        call_recycle(call);
        tell_if_stopped(server);
        return;
    }
    server->in_flight++;
    post_missing(server, slot);
    call_serve(call);
}

static void call_finish_one(struct rpc_call *call)
{
    struct rpc_server *server = call->server;
    struct rpc_slot *slot = call->slot;
    if (--call->pending > 0)
        return;
    server->in_flight--;
    call_recycle(call);
    if (server->grpc_stopped)
        tell_if_stopped(server);
    else
        post_missing(server, slot); /* nothing to do unless memory ran out before */
}

void rpc_server_event(const struct event_tag *tag, bool ok)
{
    switch (tag->kind) {
    case EVENT_ARRIVED:
        on_arrived(tag->call, ok);
        break;
    case EVENT_CLOSED:
        if (tag->call->closed)
            atomic_store(&tag->call->cancelled, true);
        call_finish_one(tag->call);
        break;
    case EVENT_REPLIED:
        (void)atomic_load_explicit(&tag->call->replied, memory_order_acquire);
        call_finish_one(tag->call);
        break;
    case EVENT_STOPPED:
        tag->server->grpc_stopped = true;
        tell_if_stopped(tag->server);
        break;
    }
}

static void register_methods(struct rpc_server *server, const struct rpc_method *methods)
{
    for (size_t i = 0; i + 1 < server->n_slots; i++) {
        server->slots[i].method = &methods[i];
        server->slots[i].registered = grpc_server_register_method(
            server->grpc, methods[i].path, NULL, GRPC_SRM_PAYLOAD_READ_INITIAL_BYTE_BUFFER, 0);
    }
}

static void init_waiting(struct rpc_server *server)
{
    pthread_condattr_t attributes;
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->stopped_changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

/* gRPC holds no call of it any more, nor does the polling thread know of one. */
static void server_free(struct rpc_server *server)
{
    if (server->grpc)
        grpc_server_destroy(server->grpc);
    while (server->pool) {
        struct rpc_call *call = server->pool;
        server->pool = call->next;
        free(call);
    }
    rpc_peers_destroy(&server->peers);
    (void)pthread_cond_destroy(&server->stopped_changed);
    (void)pthread_mutex_destroy(&server->lock);
    free(server);
}

/* With what each slot needs at first: one that asks gRPC for no call never gets one, whose end
 * would ask again. */
static struct rpc_server *server_alloc(size_t n_methods)
{
    size_t n_slots = n_methods + 1;
    struct rpc_server *server =
        (struct rpc_server *)calloc(1, sizeof *server + n_slots * sizeof server->slots[0]);
    if (!server)
        return NULL;
    server->n_slots = n_slots;
    server->on_stopped = (struct event_tag){.kind = EVENT_STOPPED, .server = server};
    rpc_peers_init(&server->peers);
    init_waiting(server);
    if (call_stock(server, n_slots * POSTED_PER_METHOD))
        return server;
    server_free(server);
    return NULL;
}

struct err rpc_server_start(struct rpc_poller *poller, const struct rpc_method *methods,
                            size_t n_methods, struct rpc_server **ret)
{
    struct rpc_server *server = server_alloc(n_methods);
    if (!server)
        return err_make(ERR_EXHAUSTED, "rpc_server_start");
    server->grpc = make_grpc_server();
    server->queue = rpc_poller_queue(poller);
    grpc_server_register_completion_queue(server->grpc, server->queue, NULL);
    register_methods(server, methods);
    grpc_server_start(server->grpc);
    for (size_t i = 0; i < server->n_slots; i++)
        post_missing(server, &server->slots[i]);
    *ret = server;
    return ERR_OK;
}

void rpc_server_add_peer(struct rpc_server *server, int fd, const struct rpc_peer *peer)
{
    rpc_peers_put(&server->peers, fd, peer);
    grpc_server_credentials *credentials = grpc_insecure_server_credentials_create();
    grpc_server_add_channel_from_fd(server->grpc, fd, credentials);
    grpc_server_credentials_release(credentials);
}

static bool wait_stopped(struct rpc_server *server, int ms)
{
    struct timespec until = clock_after_ms(ms);
    (void)pthread_mutex_lock(&server->lock);
    int waited = 0;
    while (!server->stopped && waited == 0)
        waited = pthread_cond_timedwait(&server->stopped_changed, &server->lock, &until);
    bool stopped = server->stopped;
    (void)pthread_mutex_unlock(&server->lock);
    return stopped;
}

struct err rpc_server_stop(struct rpc_server *server, int grace_ms)
{
    if (!server)
        return ERR_OK;
    grpc_server_shutdown_and_notify(server->grpc, server->queue, &server->on_stopped);
    if (!wait_stopped(server, grace_ms)) {
        grpc_server_cancel_all_calls(server->grpc);
        if (!wait_stopped(server, CANCEL_GRACE_MS))
            return err_make(ERR_DEADLINE, "rpc_server_stop");
    }
    server_free(server);
    return ERR_OK;
}
