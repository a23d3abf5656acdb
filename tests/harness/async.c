/* SPDX-License-Identifier: Apache-2.0 */
#include "async.h"

#include "await.h"
#include "client_channel.h"
#include "text.h"

#include <grpc/byte_buffer_reader.h>
#include <grpc/grpc_security.h>
#include <grpc/support/time.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_MAX = 16, QUEUE_TICK_MS = 1000, RECONNECT_MS = 100, CONNECT_MS = 1000 };

struct flight {
    struct async *async;
    grpc_call *call;
    grpc_byte_buffer *request, *response;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
    int64_t started_ns;
    atomic_bool handed_over; /* what gRPC orders, said so that ThreadSanitizer sees it */
    void (*done)(void *context, const struct async_answer *answer);
    void *context;
};

struct async {
    grpc_channel *channels[CONNECTIONS_MAX]; /* these never change */
    unsigned connections;
    grpc_completion_queue *queue;
    pthread_t thread;

    pthread_mutex_t lock; /* guards these */
    pthread_cond_t landed;
    unsigned in_flight;
    struct flight *doomed; /* to be cancelled at the next answer */
};

/* --- landing ----------------------------------------------------------------------------- */

static struct bytes response_of(const struct flight *f, uint8_t *memory, size_t size)
{
    grpc_byte_buffer_reader reader;
    grpc_slice slice;
    struct writer w = writer_over(memory, size);
    if (!f->response || !grpc_byte_buffer_reader_init(&reader, f->response))
        return bytes_of(NULL, 0);
    while (grpc_byte_buffer_reader_next(&reader, &slice)) {
        put_bytes(&w, bytes_of(GRPC_SLICE_START_PTR(slice), GRPC_SLICE_LENGTH(slice)));
        grpc_slice_unref(slice);
    }
    grpc_byte_buffer_reader_destroy(&reader);
    return writer_bytes(&w);
}

static void flight_free(struct flight *f)
{
    grpc_metadata_array_destroy(&f->initial);
    grpc_metadata_array_destroy(&f->trailing);
    grpc_slice_unref(f->details);
    grpc_byte_buffer_destroy(f->request);
    if (f->response)
        grpc_byte_buffer_destroy(f->response);
    grpc_call_unref(f->call);
    free(f);
}

static void tell(struct flight *f)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct async_answer answer = {.code = f->status,
                                  .response = response_of(f, memory, sizeof memory),
                                  .started_ns = f->started_ns,
                                  .ended_ns = clock_monotonic_ns()};
    (void)snprintf(answer.text, sizeof answer.text, "%.*s", (int)GRPC_SLICE_LENGTH(f->details),
                   (const char *)GRPC_SLICE_START_PTR(f->details));
    f->done(f->context, &answer);
}

/* A call may be cancelled while it is not freed, which only this thread does. */
static void cancel_doomed(struct async *a, const struct flight *landed)
{
    pthread_mutex_lock(&a->lock);
    struct flight *doomed = a->doomed;
    a->doomed = NULL;
    pthread_mutex_unlock(&a->lock);
    if (doomed && doomed != landed)
        (void)grpc_call_cancel(doomed->call, NULL);
}

static void land(struct async *a, struct flight *f)
{
    (void)atomic_load_explicit(&f->handed_over, memory_order_acquire);
    cancel_doomed(a, f);
    tell(f);
    flight_free(f);
    pthread_mutex_lock(&a->lock);
    a->in_flight--;
    pthread_cond_broadcast(&a->landed);
    pthread_mutex_unlock(&a->lock);
}

static void *run(void *argument)
{
    struct async *a = (struct async *)argument;
    for (;;) {
        gpr_timespec tick = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                         gpr_time_from_millis(QUEUE_TICK_MS, GPR_TIMESPAN));
        grpc_event event = grpc_completion_queue_next(a->queue, tick, NULL);
        if (event.type == GRPC_QUEUE_SHUTDOWN)
            return NULL;
        if (event.type == GRPC_OP_COMPLETE)
            land(a, (struct flight *)event.tag);
    }
}

/* --- starting ---------------------------------------------------------------------------- */

static struct flight *flight_new(struct async *a, const struct async_request *request)
{
    char path[WIRE_PATH_MAX + 1];
    struct flight *f = (struct flight *)calloc(1, sizeof *f);
    if (!f)
        abort();
    f->async = a;
    f->done = request->done;
    f->context = request->context;
    f->details = grpc_empty_slice();
    grpc_metadata_array_init(&f->initial);
    grpc_metadata_array_init(&f->trailing);
    grpc_slice body =
        grpc_slice_from_copied_buffer((const char *)request->message.data, request->message.len);
    f->request = grpc_raw_byte_buffer_create(&body, 1);
    grpc_slice_unref(body);
    wire_path(request->version, request->method, path);
    grpc_slice target = grpc_slice_from_copied_string(request->path ? request->path : path);
    gpr_timespec deadline = gpr_time_add(gpr_now(GPR_CLOCK_MONOTONIC),
                                         gpr_time_from_millis(request->timeout_ms, GPR_TIMESPAN));
    f->call = grpc_channel_create_call(a->channels[request->connection % a->connections], NULL, 0,
                                       a->queue, target, NULL, deadline, NULL);
    grpc_slice_unref(target);
    return f;
}

static void send_flight(struct flight *f)
{
    grpc_op ops[6] = {
        {.op = GRPC_OP_SEND_INITIAL_METADATA},  {.op = GRPC_OP_SEND_MESSAGE},
        {.op = GRPC_OP_SEND_CLOSE_FROM_CLIENT}, {.op = GRPC_OP_RECV_INITIAL_METADATA},
        {.op = GRPC_OP_RECV_MESSAGE},           {.op = GRPC_OP_RECV_STATUS_ON_CLIENT},
    };
    ops[1].data.send_message.send_message = f->request;
    ops[3].data.recv_initial_metadata.recv_initial_metadata = &f->initial;
    ops[4].data.recv_message.recv_message = &f->response;
    ops[5].data.recv_status_on_client.trailing_metadata = &f->trailing;
    ops[5].data.recv_status_on_client.status = &f->status;
    ops[5].data.recv_status_on_client.status_details = &f->details;
    f->started_ns = clock_monotonic_ns();
    atomic_store_explicit(&f->handed_over, true, memory_order_release);
    if (grpc_call_start_batch(f->call, ops, 6, f, NULL) != GRPC_CALL_OK)
        abort();
}

void async_start(struct async *a, const struct async_request *request)
{
    struct flight *f = flight_new(a, request);
    pthread_mutex_lock(&a->lock);
    a->in_flight++;
    pthread_mutex_unlock(&a->lock);
    /* a reference of ours: it may land, and be freed, before it is cancelled below */
    grpc_call *call = f->call;
    grpc_call_ref(call);
    if (request->cancel == ASYNC_CANCEL_LATER) {
        pthread_mutex_lock(&a->lock);
        a->doomed = f;
        pthread_mutex_unlock(&a->lock);
    }
    send_flight(f);
    if (request->cancel == ASYNC_CANCEL_AT_ONCE)
        (void)grpc_call_cancel(call, NULL);
    grpc_call_unref(call);
}

void async_wait(struct async *a, unsigned n)
{
    pthread_mutex_lock(&a->lock);
    while (a->in_flight > n)
        pthread_cond_wait(&a->landed, &a->lock);
    pthread_mutex_unlock(&a->lock);
}

/* --- life -------------------------------------------------------------------------------- */

static bool open_once(const char *socket_path, grpc_channel **ret)
{
    return !err_is(client_channel_open(socket_path, "localhost", CLIENT_RECEIVE_MAX, ret));
}

static grpc_arg integer(const char *key, int value)
{
    char *plain = (char *)(uintptr_t)key; /* gRPC does not write to it */
    return (grpc_arg){.type = GRPC_ARG_INTEGER, .key = plain, .value.integer = value};
}

/* Connects when the first call needs it, and again after each loss. */
static bool open_lasting(const char *socket_path, grpc_channel **ret)
{
    char target[256];
    grpc_arg args[] = {
        integer(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1), /* or all channels share a connection */
        integer(GRPC_ARG_ENABLE_RETRIES, 0),
        integer(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, RECONNECT_MS),
        /* what connecting may take */
        integer(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, patience(CONNECT_MS)),
        integer(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, RECONNECT_MS),
    };
    const grpc_channel_args all = {sizeof args / sizeof args[0], args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    (void)snprintf(target, sizeof target, "unix:%s", socket_path);
    *ret = grpc_channel_create(target, credentials, &all);
    grpc_channel_credentials_release(credentials);
    return *ret != NULL;
}

static struct async *open_with(const char *socket_path, unsigned connections,
                               bool (*open)(const char *socket_path, grpc_channel **ret))
{
    struct async *a = (struct async *)calloc(1, sizeof *a);
    if (!a)
        return NULL;
    while (a->connections < connections && a->connections < CONNECTIONS_MAX &&
           open(socket_path, &a->channels[a->connections]))
        a->connections++;
    a->queue = grpc_completion_queue_create_for_next(NULL);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->landed, NULL);
    if (pthread_create(&a->thread, NULL, run, a) != 0)
        abort();
    if (a->connections == connections)
        return a;
    async_close(a);
    return NULL;
}

struct async *async_open(const char *socket_path, unsigned connections)
{
    return open_with(socket_path, connections, open_once);
}

struct async *async_open_lasting(const char *socket_path, unsigned connections)
{
    grpc_channel *first = NULL;
    if (!open_once(socket_path, &first)) /* also starts gRPC */
        return NULL;
    grpc_channel_destroy(first);
    return open_with(socket_path, connections, open_lasting);
}

void async_close(struct async *a)
{
    if (!a)
        return;
    async_wait(a, 0);
    grpc_completion_queue_shutdown(a->queue);
    (void)pthread_join(a->thread, NULL);
    grpc_completion_queue_destroy(a->queue);
    for (unsigned i = 0; i < a->connections; i++)
        grpc_channel_destroy(a->channels[i]);
    pthread_mutex_destroy(&a->lock);
    pthread_cond_destroy(&a->landed);
    free(a);
}

const char *async_code_name(grpc_status_code code)
{
    static const char *const names[] = {
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    };
    return (unsigned)code < sizeof names / sizeof names[0] ? names[code] : "no such code";
}
