/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include "cleanup.h"
#include "client_channel.h"
#include "text.h"

#include <grpc/byte_buffer.h>
#include <grpc/support/time.h>
#include <stdlib.h>

/* One of the calls in flight. */
struct slot {
    unsigned connection;
    grpc_call *call;
    grpc_byte_buffer *request, *response;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    int64_t started_ns;
};

struct loop {
    const struct load_plan *plan;
    grpc_completion_queue *queue;
    grpc_channel *channels[LOAD_CONNECTIONS_MAX];
    void *methods[LOAD_CONNECTIONS_MAX];
    struct slot slots[LOAD_IN_FLIGHT_MAX];
    unsigned running;
    uint64_t started;
    int64_t start_ns, end_ns;
    size_t capacity; /* of result's latencies */
    struct load_result result;
};

static grpc_byte_buffer *next_request(struct loop *loop)
{
    const struct requests *requests = loop->plan->requests;
    struct bytes bytes = requests->packed[loop->started % requests->n];
    grpc_slice slice = grpc_slice_from_static_buffer(bytes.data, bytes.len);
    return grpc_raw_byte_buffer_create(&slice, 1);
}

static void start_call(struct loop *loop, struct slot *slot)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    gpr_timespec deadline = gpr_time_add(
        gpr_now(GPR_CLOCK_MONOTONIC), gpr_time_from_millis(loop->plan->timeout_ms, GPR_TIMESPAN));
    slot->request = next_request(loop);
    slot->response = NULL;
    grpc_metadata_array_init(&slot->initial);
    grpc_metadata_array_init(&slot->trailing);
    ops[1].data.send_message.send_message = slot->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &slot->initial;
    ops[4].data.recv_message.recv_message = &slot->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &slot->trailing;
    ops[5].data.recv_status_on_client.status = &slot->status;
    ops[5].data.recv_status_on_client.status_details = &slot->details;
    slot->started_ns = clock_monotonic_ns();
    slot->call =
        grpc_channel_create_registered_call(loop->channels[slot->connection], NULL, 0, loop->queue,
                                            loop->methods[slot->connection], deadline, NULL);
    (void)grpc_call_start_batch(slot->call, ops, 6, slot, NULL);
    loop->started++;
    loop->running++;
}

static struct err note_latency(struct loop *loop, int64_t ns)
{
    struct load_result *result = &loop->result;
    if (result->n_latencies == loop->capacity) {
        size_t capacity = loop->capacity ? 2 * loop->capacity : 65536;
        uint32_t *grown = (uint32_t *)realloc(result->latencies_us, capacity * sizeof *grown);
        if (!grown)
            return err_make(ERR_EXHAUSTED, "latencies");
        result->latencies_us = grown;
        loop->capacity = capacity;
    }
    result->latencies_us[result->n_latencies++] = (uint32_t)(ns / 1000);
    return ERR_OK;
}

static struct err finish_call(struct loop *loop, struct slot *slot)
{
    loop->end_ns = clock_monotonic_ns();
    unsigned code = (unsigned)slot->status < LOAD_CODES ? (unsigned)slot->status
                                                        : (unsigned)GRPC_STATUS_UNKNOWN;
    loop->result.calls++;
    loop->result.by_code[code]++;
    loop->running--;
    grpc_metadata_array_destroy(&slot->initial);
    grpc_metadata_array_destroy(&slot->trailing);
    grpc_slice_unref(slot->details);
    grpc_byte_buffer_destroy(slot->request);
    if (slot->response)
        grpc_byte_buffer_destroy(slot->response);
    grpc_call_unref(slot->call);
    return code == GRPC_STATUS_OK ? note_latency(loop, loop->end_ns - slot->started_ns) : ERR_OK;
}

static bool goes_on(const struct loop *loop)
{
    const struct load_plan *plan = loop->plan;
    if (plan->calls > 0)
        return loop->started < plan->calls;
    return (double)(clock_monotonic_ns() - loop->start_ns) < plan->seconds * 1e9;
}

static struct err run(struct loop *loop)
{
    loop->start_ns = clock_monotonic_ns();
    for (unsigned i = 0; i < loop->plan->in_flight; i++) {
        loop->slots[i].connection = i % loop->plan->connections;
        start_call(loop, &loop->slots[i]);
    }
    while (loop->running > 0) {
        grpc_event event =
            grpc_completion_queue_next(loop->queue, gpr_inf_future(GPR_CLOCK_MONOTONIC), NULL);
        struct slot *slot = (struct slot *)event.tag;
        TRY(finish_call(loop, slot));
        if (goes_on(loop))
            start_call(loop, slot);
    }
    loop->result.seconds = (double)(loop->end_ns - loop->start_ns) / 1e9;
    return ERR_OK;
}

static struct err connect_all(struct loop *loop)
{
    for (unsigned i = 0; i < loop->plan->connections; i++) {
        TRY(client_channel_open(loop->plan->socket_path, "localhost", CLIENT_RECEIVE_MAX,
                                &loop->channels[i]));
        loop->methods[i] =
            grpc_channel_register_call(loop->channels[i], loop->plan->requests->path, NULL, NULL);
    }
    loop->queue = grpc_completion_queue_create_for_next(NULL);
    return ERR_OK;
}

static void disconnect_all(struct loop *loop)
{
    for (unsigned i = 0; i < loop->plan->connections; i++)
        if (loop->channels[i])
            grpc_channel_destroy(loop->channels[i]);
    if (loop->queue) {
        grpc_completion_queue_shutdown(loop->queue);
        grpc_completion_queue_destroy(loop->queue);
    }
}

static int by_value(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

struct err load_run(const struct load_plan *plan, struct load_result *ret)
{
    AUTO_FREE struct loop *loop = (struct loop *)calloc(1, sizeof *loop);
    if (!loop)
        return err_make(ERR_EXHAUSTED, "load_run");
    loop->plan = plan;
    struct err e = connect_all(loop);
    if (!err_is(e))
        e = run(loop);
    disconnect_all(loop);
    if (err_is(e)) {
        free(loop->result.latencies_us);
        return e;
    }
    if (loop->result.n_latencies > 0)
        qsort(loop->result.latencies_us, loop->result.n_latencies, sizeof(uint32_t), by_value);
    *ret = loop->result;
    return ERR_OK;
}

uint32_t load_percentile(const struct load_result *result, double part)
{
    if (result->n_latencies == 0)
        return 0;
    size_t at = (size_t)(part * (double)(result->n_latencies - 1) + 0.5);
    return result->latencies_us[at];
}
