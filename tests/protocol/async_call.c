/* SPDX-License-Identifier: Apache-2.0 */
#include "async_call.h"

#include "client_channel.h"

#include <grpc/byte_buffer.h>
#include <grpc/support/time.h>

enum { WAIT_S = 20 };

void async_open(const struct stand *stand, struct async_client *client)
{
    assert_false(err_is(
        client_channel_open(stand->path, "localhost", CLIENT_RECEIVE_MAX, &client->channel)));
    client->queue = grpc_completion_queue_create_for_pluck(NULL);
}

void async_close(struct async_client *client)
{
    grpc_channel_destroy(client->channel);
    grpc_completion_queue_shutdown(client->queue);
    grpc_completion_queue_destroy(client->queue);
}

static size_t put_send(grpc_op *ops, struct async_call *call, enum async_form form,
                       grpc_metadata *compression)
{
    size_t n = 0;
    ops[n].op = GRPC_OP_SEND_INITIAL_METADATA;
    if (form == ASYNC_GZIP) {
        compression->key = grpc_slice_from_static_string("grpc-internal-encoding-request");
        compression->value = grpc_slice_from_static_string("gzip");
        ops[n].data.send_initial_metadata.count = 1;
        ops[n].data.send_initial_metadata.metadata = compression;
    }
    n++;
    if (form != ASYNC_NO_MESSAGE) {
        ops[n].op = GRPC_OP_SEND_MESSAGE;
        ops[n++].data.send_message.send_message = call->request;
    }
    ops[n++].op = GRPC_OP_SEND_CLOSE_FROM_CLIENT;
    return n;
}

static size_t put_receive(grpc_op *ops, struct async_call *call)
{
    ops[0].op = GRPC_OP_RECV_INITIAL_METADATA;
    ops[0].data.recv_initial_metadata.recv_initial_metadata = &call->initial;
    ops[1].op = GRPC_OP_RECV_MESSAGE;
    ops[1].data.recv_message.recv_message = &call->response;
    ops[2].op = GRPC_OP_RECV_STATUS_ON_CLIENT;
    ops[2].data.recv_status_on_client.trailing_metadata = &call->trailing;
    ops[2].data.recv_status_on_client.status = &call->status;
    ops[2].data.recv_status_on_client.status_details = &call->details;
    return 3;
}

void async_start(struct async_client *client, struct async_call *call, const char *method,
                 struct bytes request, int timeout_ms, enum async_form form)
{
    grpc_op ops[6] = {0};
    grpc_metadata compression = {0};
    *call = (struct async_call){.queue = client->queue};
    grpc_slice body = grpc_slice_from_copied_buffer((const char *)request.data, request.len);
    call->request = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    grpc_metadata_array_init(&call->initial);
    grpc_metadata_array_init(&call->trailing);
    gpr_timespec deadline =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(timeout_ms, GPR_TIMESPAN));
    call->call =
        grpc_channel_create_call(client->channel, NULL, 0, client->queue,
                                 grpc_slice_from_static_string(method), NULL, deadline, NULL);
    size_t n = put_send(ops, call, form, &compression);
    n += put_receive(ops + n, call);
    assert_int_equal(grpc_call_start_batch(call->call, ops, n, call, NULL), GRPC_CALL_OK);
    /* Nothing is written before somebody polls. */
    (void)grpc_completion_queue_pluck(client->queue, client, gpr_time_0(GPR_CLOCK_MONOTONIC), NULL);
}

void async_cancel(struct async_call *call)
{
    assert_int_equal(grpc_call_cancel(call->call, NULL), GRPC_CALL_OK);
}

grpc_status_code async_wait(struct async_call *call)
{
    gpr_timespec until =
        gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_seconds(WAIT_S, GPR_TIMESPAN));
    grpc_event event = grpc_completion_queue_pluck(call->queue, call, until, NULL);
    assert_int_equal(event.type, GRPC_OP_COMPLETE);
    grpc_metadata_array_destroy(&call->initial);
    grpc_metadata_array_destroy(&call->trailing);
    grpc_slice_unref(call->details);
    grpc_byte_buffer_destroy(call->request);
    if (call->response)
        grpc_byte_buffer_destroy(call->response);
    grpc_call_unref(call->call);
    return call->status;
}
