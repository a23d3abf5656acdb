/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_internal.h"

#include "secret.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const grpc_status_code codes[ERR_CODES] = {
    [ERR_NONE] = GRPC_STATUS_OK,
    [ERR_INVALID] = GRPC_STATUS_INVALID_ARGUMENT,
    [ERR_AUTH] = GRPC_STATUS_INVALID_ARGUMENT,
    [ERR_NOT_FOUND] = GRPC_STATUS_NOT_FOUND,
    [ERR_UNAVAILABLE] = GRPC_STATUS_UNAVAILABLE,
    [ERR_EXHAUSTED] = GRPC_STATUS_RESOURCE_EXHAUSTED,
    [ERR_DEADLINE] = GRPC_STATUS_DEADLINE_EXCEEDED,
    [ERR_CANCELLED] = GRPC_STATUS_CANCELLED,
    [ERR_DENIED] = GRPC_STATUS_PERMISSION_DENIED,
    [ERR_CONFIG] = GRPC_STATUS_INTERNAL,
    [ERR_IN_USE] = GRPC_STATUS_INTERNAL,
    [ERR_TOKEN] = GRPC_STATUS_FAILED_PRECONDITION,
    [ERR_REFUSED] = GRPC_STATUS_FAILED_PRECONDITION,
    [ERR_UNSUPPORTED] = GRPC_STATUS_UNIMPLEMENTED,
    [ERR_USAGE] = GRPC_STATUS_INTERNAL,
    [ERR_SYSTEM] = GRPC_STATUS_INTERNAL,
    [ERR_INTERNAL] = GRPC_STATUS_INTERNAL,
};

int rpc_status_code(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? (int)codes[code] : GRPC_STATUS_INTERNAL;
}

/* A response's own memory, wiped by whichever thread of gRPC lets go of it last. gRPC orders that
 * after the writing; `written` shows it to ThreadSanitizer too. */
struct response {
    atomic_bool written;
    size_t len;
    uint8_t data[];
};

static void response_release(void *memory)
{
    struct response *response = (struct response *)memory;
    if (atomic_load_explicit(&response->written, memory_order_acquire))
        wipe(response->data, response->len);
    free(response);
}

static grpc_byte_buffer *response_buffer(struct bytes from)
{
    struct response *response = (struct response *)malloc(sizeof *response + from.len);
    if (!response)
        return NULL;
    atomic_init(&response->written, false);
    response->len = from.len;
    if (from.len > 0)
        memcpy(response->data, from.data, from.len);
    atomic_store_explicit(&response->written, true, memory_order_release);
    grpc_slice slice =
        grpc_slice_new_with_user_data(response->data, from.len, response_release, response);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

/* Clients take grpc-message for UTF-8 on one line, and show it to people. */
static grpc_slice details_of(const char *message)
{
    char text[RPC_MESSAGE_MAX + 1];
    (void)snprintf(text, sizeof text, "%s", message);
    text_clean(text);
    return grpc_slice_from_copied_string(text);
}

static size_t put_send(grpc_op *ops, grpc_byte_buffer *response)
{
    size_t n = 0;
    ops[n++].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (response) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = response;
    }
    return n;
}

void rpc_call_reply(struct rpc_call *call, enum err_code code, const char *message,
                    struct bytes response)
{
    grpc_op ops[3] = {0};
    if (code == ERR_NONE && !(call->response = response_buffer(response))) {
        code = ERR_EXHAUSTED;
        message = "out of memory";
    }
    grpc_status_code status = (grpc_status_code)rpc_status_code(code);
    timed_add(&call->slot->ended[status], clock_monotonic_ns() - call->arrived_ns);
    grpc_slice details = details_of(message);
    size_t n = put_send(ops, call->response);
    ops[n].op = GRPC_OP_SEND_STATUS_FROM_SERVER;
    ops[n].data.send_status_from_server.status = status;
    ops[n].data.send_status_from_server.status_details = code == ERR_NONE ? NULL : &details;
    n++;
    /* Before the client can know, and ask for more. */
    rpc_peers_give_back(&call->server->peers, &call->place);
    /* The polling thread acquires this before it touches the call again: gRPC orders the two as
     * well, but where ThreadSanitizer cannot see it. After start_batch the call may be gone. */
    grpc_call *grpc = call->grpc;
    struct event_tag *on_replied = &call->on_replied;
    atomic_store_explicit(&call->replied, true, memory_order_release);
    if (grpc_call_start_batch(grpc, ops, n, on_replied, NULL) != GRPC_CALL_OK) {
        /* An empty batch cannot fail, and brings the event that frees the call. */
        (void)grpc_call_cancel(grpc, NULL);
        (void)grpc_call_start_batch(grpc, NULL, 0, on_replied, NULL);
    }
    grpc_slice_unref(details);
}
