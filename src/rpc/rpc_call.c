/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_internal.h"

#include "cleanup.h"
#include "secret.h"
#include "text.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/alloc.h>
#include <grpc/support/time.h>
#include <string.h>

enum { POOL_MAX = 256 };

struct rpc_call *call_obtain(struct rpc_server *server, struct rpc_slot *slot)
{
    struct rpc_call *call = server->pool;
    if (call) {
        server->pool = call->next;
        server->n_pool--;
        memset(call, 0, sizeof *call);
    } else {
        call = (struct rpc_call *)calloc(1, sizeof *call);
    }
    if (!call)
        return NULL;
    call->server = server;
    call->slot = slot;
    call->on_arrived = (struct event_tag){EVENT_ARRIVED, call, NULL};
    call->on_closed = (struct event_tag){EVENT_CLOSED, call, NULL};
    call->on_replied = (struct event_tag){EVENT_REPLIED, call, NULL};
    grpc_metadata_array_init(&call->metadata);
    grpc_call_details_init(&call->details);
    return call;
}

bool call_stock(struct rpc_server *server, size_t n)
{
    while (server->n_pool < n) {
        struct rpc_call *call = (struct rpc_call *)calloc(1, sizeof *call);
        if (!call)
            return false;
        call->next = server->pool;
        server->pool = call;
        server->n_pool++;
    }
    return true;
}

void call_recycle(struct rpc_call *call)
{
    struct rpc_server *server = call->server;
    grpc_metadata_array_destroy(&call->metadata);
    grpc_call_details_destroy(&call->details);
    if (call->response)
        grpc_byte_buffer_destroy(call->response);
    if (call->grpc)
        grpc_call_unref(call->grpc);
    if (server->n_pool >= POOL_MAX) {
        free(call);
        return;
    }
    call->next = server->pool;
    server->pool = call;
    server->n_pool++;
}

void call_post(struct rpc_call *call)
{
    struct rpc_server *server = call->server;
    if (call->slot->method)
        (void)grpc_server_request_registered_call(server->grpc, call->slot->registered, &call->grpc,
                                                  &call->deadline, &call->metadata, &call->payload,
                                                  server->queue, server->queue, &call->on_arrived);
    else
        (void)grpc_server_request_call(server->grpc, &call->grpc, &call->details, &call->metadata,
                                       server->queue, server->queue, &call->on_arrived);
    call->slot->posted++;
    server->posted++;
}

/* The end of a request's bytes. They may hold a plaintext, and lie in the buffer that gRPC read
 * from the socket. Wiping them there is safe although that buffer may be shared with other
 * messages: a message's slices are its own ranges of it, which the parser has left behind. */
static void payload_discard(grpc_byte_buffer *payload)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *slice = NULL;
    if (grpc_byte_buffer_reader_init(&reader, payload)) {
        while (grpc_byte_buffer_reader_peek(&reader, &slice))
            wipe(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
        grpc_byte_buffer_reader_destroy(&reader);
    }
    grpc_byte_buffer_destroy(payload);
}

static uint8_t *payload_join(grpc_byte_buffer *payload, size_t len)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *slice = NULL;
    uint8_t *joined = (uint8_t *)malloc(len);
    if (!joined || !grpc_byte_buffer_reader_init(&reader, payload)) {
        free(joined);
        return NULL;
    }
    struct writer w = writer_over(joined, len);
    while (grpc_byte_buffer_reader_peek(&reader, &slice))
        put_bytes(&w, bytes_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)));
    grpc_byte_buffer_reader_destroy(&reader);
    return joined;
}

static void run_handler(struct rpc_call *call, struct bytes request)
{
    const struct rpc_method *method = call->slot->method;
    method->handler(call, request, method->context);
}

/* Gives the handler the request in one piece: nearly always gRPC's own memory. */
static void handle(struct rpc_call *call)
{
    const grpc_slice_buffer *slices = &call->payload->data.raw.slice_buffer;
    if (slices->count == 0) {
        run_handler(call, bytes_of(NULL, 0));
    } else if (slices->count == 1) {
        const grpc_slice *only = &slices->slices[0];
        run_handler(call, bytes_of(GRPC_SLICE_START_PTR(*only), GRPC_SLICE_LENGTH(*only)));
    } else {
        size_t len = slices->length;
        uint8_t *joined = payload_join(call->payload, len);
        if (joined)
            run_handler(call, bytes_of(joined, len));
        else
            rpc_call_reply(call, ERR_EXHAUSTED, "out of memory", bytes_of(NULL, 0));
        if (joined)
            wipe(joined, len);
        free(joined);
    }
}

static void refuse(struct rpc_call *call, enum err_code code, const char *message)
{
    rpc_call_reply(call, code, message, bytes_of(NULL, 0));
}

/* What is answered at once waits for nothing. */
static bool take_place(struct rpc_call *call)
{
    if (call->slot->method->at_once)
        return true;
    char *name = grpc_call_get_peer(call->grpc);
    bool taken = rpc_peers_take(&call->server->peers, name, &call->place);
    gpr_free(name);
    return taken;
}

static void check_and_handle(struct rpc_call *call)
{
    if (!call->slot->method)
        refuse(call, ERR_UNSUPPORTED, "unknown method");
    else if (!take_place(call))
        refuse(call, ERR_EXHAUSTED, "too many calls in flight");
    else if (!call->payload)
        refuse(call, ERR_INVALID, "the request holds no message");
    else if (call->payload->data.raw.compression != GRPC_COMPRESS_NONE)
        refuse(call, ERR_UNSUPPORTED, "compressed messages are not taken");
    else if (rpc_call_deadline_ns(call) <= call->arrived_ns)
        refuse(call, ERR_DEADLINE, "the deadline had passed when the call arrived");
    else
        handle(call);
}

void call_serve(struct rpc_call *call)
{
    grpc_op watch = {.op = GRPC_OP_RECV_CLOSE_ON_SERVER};
    watch.data.recv_close_on_server.cancelled = &call->closed;
    call->pending = 1;
    call->arrived_ns = clock_monotonic_ns();
    if (grpc_call_start_batch(call->grpc, &watch, 1, &call->on_closed, NULL) == GRPC_CALL_OK)
        call->pending++;
    check_and_handle(call);
    if (call->payload)
        payload_discard(TAKE_PTR(call->payload));
}

int64_t rpc_call_deadline_ns(const struct rpc_call *call)
{
    /* gRPC's monotonic clock is CLOCK_MONOTONIC, as ours is. */
    gpr_timespec at = gpr_convert_clock_type(call->deadline, GPR_CLOCK_MONOTONIC);
    if (at.tv_sec >= INT64_MAX / 1000000000 - 1)
        return INT64_MAX;
    return at.tv_sec < 0 ? 0 : at.tv_sec * 1000000000 + at.tv_nsec;
}

const atomic_bool *rpc_call_cancelled(const struct rpc_call *call)
{
    return &call->cancelled;
}

struct rpc_peer rpc_call_peer(const struct rpc_call *call)
{
    char *name = grpc_call_get_peer(call->grpc);
    struct rpc_peer peer = rpc_peers_find(&call->server->peers, name);
    gpr_free(name);
    return peer;
}
