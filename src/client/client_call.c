/* SPDX-License-Identifier: Apache-2.0 */
#include "client_call.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/support/time.h>
#include <stdio.h>
#include <string.h>

static const struct status_row {
    const char *name;
    enum err_code code;
} statuses[] = {
    [GRPC_STATUS_OK] = {"OK", ERR_NONE},
    [GRPC_STATUS_CANCELLED] = {"CANCELLED", ERR_CANCELLED},
    [GRPC_STATUS_UNKNOWN] = {"UNKNOWN", ERR_INTERNAL},
    [GRPC_STATUS_INVALID_ARGUMENT] = {"INVALID_ARGUMENT", ERR_INVALID},
    [GRPC_STATUS_DEADLINE_EXCEEDED] = {"DEADLINE_EXCEEDED", ERR_DEADLINE},
    [GRPC_STATUS_NOT_FOUND] = {"NOT_FOUND", ERR_NOT_FOUND},
    [GRPC_STATUS_ALREADY_EXISTS] = {"ALREADY_EXISTS", ERR_INTERNAL},
    [GRPC_STATUS_PERMISSION_DENIED] = {"PERMISSION_DENIED", ERR_DENIED},
    [GRPC_STATUS_RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", ERR_EXHAUSTED},
    [GRPC_STATUS_FAILED_PRECONDITION] = {"FAILED_PRECONDITION", ERR_TOKEN},
    [GRPC_STATUS_ABORTED] = {"ABORTED", ERR_INTERNAL},
    [GRPC_STATUS_OUT_OF_RANGE] = {"OUT_OF_RANGE", ERR_INVALID},
    [GRPC_STATUS_UNIMPLEMENTED] = {"UNIMPLEMENTED", ERR_UNSUPPORTED},
    [GRPC_STATUS_INTERNAL] = {"INTERNAL", ERR_INTERNAL},
    [GRPC_STATUS_UNAVAILABLE] = {"UNAVAILABLE", ERR_UNAVAILABLE},
    [GRPC_STATUS_DATA_LOSS] = {"DATA_LOSS", ERR_INTERNAL},
    [GRPC_STATUS_UNAUTHENTICATED] = {"UNAUTHENTICATED", ERR_DENIED},
};

static struct status_row row_of(grpc_status_code code)
{
    if ((unsigned)code < sizeof statuses / sizeof statuses[0])
        return statuses[code];
    return (struct status_row){"UNKNOWN", ERR_INTERNAL};
}

void client_response_release(struct client_response *response)
{
    if (response->data)
        wipe(response->data, response->len);
    free(response->data);
}

struct err client_fail(struct kms_failure *ret_failure, enum err_code code, const char *message)
{
    *ret_failure = (struct kms_failure){.code = 0, .name = "none"};
    (void)snprintf(ret_failure->message, sizeof ret_failure->message, "%s", message);
    return err_make(code, "KMS call");
}

/* All that one call needs while it runs. */
struct exchange {
    grpc_call *call;
    grpc_byte_buffer *request, *response;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

static void exchange_release(struct exchange *x)
{
    grpc_metadata_array_destroy(&x->initial);
    grpc_metadata_array_destroy(&x->trailing);
    grpc_slice_unref(x->details);
    grpc_byte_buffer_destroy(x->request);
    if (x->response)
        grpc_byte_buffer_destroy(x->response);
    if (x->call)
        grpc_call_unref(x->call);
}

static void slice_wipe_and_free(void *memory, size_t len)
{
    wipe(memory, len);
    free(memory);
}

/* An Encrypt request holds a plaintext: gRPC gets a copy that is wiped when it was sent. */
static grpc_byte_buffer *request_buffer(struct bytes request)
{
    void *copy = malloc(request.len + 1);
    if (!copy)
        return NULL;
    if (request.len > 0)
        memcpy(copy, request.data, request.len);
    grpc_slice slice = grpc_slice_new_with_len(copy, request.len, slice_wipe_and_free);
    grpc_byte_buffer *buffer = grpc_raw_byte_buffer_create(&slice, 1);
    grpc_slice_unref(slice);
    return buffer;
}

static bool run(struct kms_client *client, struct exchange *x)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    ops[1].data.send_message.send_message = x->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &x->initial;
    ops[4].data.recv_message.recv_message = &x->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &x->trailing;
    ops[5].data.recv_status_on_client.status = &x->status;
    ops[5].data.recv_status_on_client.status_details = &x->details;
    if (grpc_call_start_batch(x->call, ops, 6, x, NULL) != GRPC_CALL_OK)
        return false;
    (void)grpc_completion_queue_pluck(client->queue, x, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
    return true;
}

/* Copies the response out, and wipes it where gRPC read it, in any case: it may hold a plaintext.
 */
static bool take_response(grpc_byte_buffer *from, struct client_response *ret)
{
    grpc_byte_buffer_reader reader;
    grpc_slice *slice = NULL;
    size_t len = grpc_byte_buffer_length(from);
    if (!grpc_byte_buffer_reader_init(&reader, from))
        return false;
    uint8_t *data = (uint8_t *)malloc(len + 1);
    struct writer w = writer_over(data, data ? len : 0);
    while (grpc_byte_buffer_reader_peek(&reader, &slice)) {
        put_bytes(&w, bytes_of(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice)));
        wipe(GRPC_SLICE_START_PTR(*slice), GRPC_SLICE_LENGTH(*slice));
    }
    grpc_byte_buffer_reader_destroy(&reader);
    if (data)
        *ret = (struct client_response){data, len};
    return data != NULL;
}

static struct err outcome(struct exchange *x, struct client_response *ret,
                          struct kms_failure *ret_failure)
{
    struct status_row row = row_of(x->status);
    if (x->status != GRPC_STATUS_OK) {
        *ret_failure = (struct kms_failure){.code = (int)x->status, .name = row.name};
        size_t len = GRPC_SLICE_LENGTH(x->details);
        (void)snprintf(ret_failure->message, sizeof ret_failure->message, "%.*s",
                       (int)(len > KMS_CLIENT_MESSAGE_MAX ? KMS_CLIENT_MESSAGE_MAX : len),
                       (const char *)GRPC_SLICE_START_PTR(x->details));
        return err_make(row.code, "KMS call");
    }
    if (!x->response)
        return client_fail(ret_failure, ERR_INTERNAL, "the server answered OK without a message");
    if (!take_response(x->response, ret))
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    return ERR_OK;
}

struct err client_open(const char *socket_path, const char *authority, int receive_max,
                       struct kms_client **ret)
{
    CLEANUP(kms_client_close_p)
    struct kms_client *client = (struct kms_client *)calloc(1, sizeof *client);
    if (!client)
        return err_make(ERR_EXHAUSTED, "client_open");
    TRY(client_channel_open(socket_path, authority, receive_max, &client->channel));
    client->queue = grpc_completion_queue_create_for_pluck(NULL);
    *ret = TAKE_PTR(client);
    return ERR_OK;
}

struct err client_call(struct kms_client *client, const char *service, const char *method,
                       struct bytes request, int timeout_ms, struct client_response *ret,
                       struct kms_failure *ret_failure)
{
    char path[128];
    (void)snprintf(path, sizeof path, "/%s/%s", service, method);
    struct exchange x = {.details = grpc_empty_slice()};
    x.request = request_buffer(request);
    if (!x.request)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    grpc_metadata_array_init(&x.initial);
    grpc_metadata_array_init(&x.trailing);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    grpc_slice target = grpc_slice_from_copied_string(path);
    x.call = grpc_channel_create_call(client->channel, NULL, 0, client->queue, target, NULL,
                                      deadline, NULL);
    grpc_slice_unref(target);
    struct err e = run(client, &x)
                       ? outcome(&x, ret, ret_failure)
                       : client_fail(ret_failure, ERR_INTERNAL, "gRPC did not take the call");
    exchange_release(&x);
    return e;
}
