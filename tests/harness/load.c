/* SPDX-License-Identifier: Apache-2.0 */
#include "load.h"

#include "await.h"
#include "text.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    CONNECTIONS = 4,
    CALL_MS = 3000, /* kube-apiserver's default */
    DEK_LEN = 32,
    STOOD_STILL_MS = 1000
};

static const uint8_t dek[DEK_LEN] = "the data encryption key of load";

/* One sealed DEK per API, made before anything breaks. */
struct sample {
    uint8_t ciphertext[1024];
    size_t len;
    char key_id[256];
};

struct load {
    struct async *async;
    struct watch *watch;
    struct sample samples[KMS_API_VERSIONS];
    pthread_t caller;
    atomic_bool stop;

    pthread_mutex_t lock; /* guards the figures */
    struct load_figures figures;
};

/* --- calls ------------------------------------------------------------------------------- */

static void count(struct load *load, const struct async_answer *answer, bool wrong)
{
    pthread_mutex_lock(&load->lock);
    struct load_figures *f = &load->figures;
    f->calls++;
    f->wrong += wrong;
    f->by_code[(unsigned)answer->code < LOAD_CODES ? (unsigned)answer->code : 2]++;
    if (answer->code != GRPC_STATUS_OK) {
        f->last_failure_ms = answer->ended_ns / 1000000;
        if (f->first_failure_ms == 0)
            f->first_failure_ms = f->last_failure_ms;
    }
    pthread_mutex_unlock(&load->lock);
}

static void on_encrypted(void *context, const struct async_answer *answer)
{
    bool ok = answer->code == GRPC_STATUS_OK;
    count((struct load *)context, answer, ok && wire_field(answer->response, WIRE_OUTPUT).len == 0);
}

static void on_decrypted(void *context, const struct async_answer *answer)
{
    bool ok = answer->code == GRPC_STATUS_OK;
    struct bytes got = wire_field(answer->response, WIRE_OUTPUT);
    count((struct load *)context, answer, ok && !bytes_equal(got, bytes_of(dek, DEK_LEN)));
}

static void start_call(struct load *load, unsigned i)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct async_request request = {.connection = i % CONNECTIONS,
                                    .version = (enum kms_api_version)(i / 2 % KMS_API_VERSIONS),
                                    .method = i % 2 ? WIRE_DECRYPT : WIRE_ENCRYPT,
                                    .timeout_ms = patience(CALL_MS),
                                    .done = i % 2 ? on_decrypted : on_encrypted,
                                    .context = load};
    const struct sample *sample = &load->samples[request.version];
    const struct wire_decrypt decrypt = {.version = request.version,
                                         .ciphertext = bytes_of(sample->ciphertext, sample->len),
                                         .key_id = bytes_of_string(sample->key_id)};
    if (request.method == WIRE_DECRYPT)
        wire_put_decrypt(&w, &decrypt);
    else
        wire_put_encrypt(&w, request.version, bytes_of(dek, DEK_LEN));
    request.message = writer_bytes(&w);
    async_start(load->async, &request);
}

static void sleep_until(int64_t ns)
{
    struct timespec at = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        continue;
}

static void *call(void *argument)
{
    struct load *load = argument;
    const int64_t period = patience(1000000000 / LOAD_PER_SECOND);
    int64_t due = clock_monotonic_ns();
    for (unsigned i = 0; !atomic_load(&load->stop); i++, due += period) {
        sleep_until(due);
        start_call(load, i);
    }
    return NULL;
}

/* --- life -------------------------------------------------------------------------------- */

static bool make_samples(struct load *load, const char *socket_path)
{
    const struct kms_client_options options = {.socket_path = socket_path};
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    if (err_is(kms_client_open(&options, &client)))
        return false;
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        struct sample *sample = &load->samples[v];
        struct kms_failure failure;
        if (err_is(kms_client_encrypt(client, (enum kms_api_version)v, bytes_of(dek, DEK_LEN),
                                      patience(CALL_MS), &sealed, &failure)) ||
            sealed.ciphertext.len > sizeof sample->ciphertext)
            return false;
        memcpy(sample->ciphertext, sealed.ciphertext.data, sealed.ciphertext.len);
        sample->len = sealed.ciphertext.len;
        (void)snprintf(sample->key_id, sizeof sample->key_id, "%.255s", sealed.key_id);
    }
    return true;
}

static void release(struct load *load)
{
    async_close(load->async);
    pthread_mutex_destroy(&load->lock);
    free(load);
}

struct load *load_start(const char *socket_path)
{
    struct load *load = calloc(1, sizeof *load);
    if (!load)
        return NULL;
    pthread_mutex_init(&load->lock, NULL);
    if (!make_samples(load, socket_path) || !(load->async = async_open(socket_path, CONNECTIONS)) ||
        !(load->watch = watch_start(socket_path))) {
        release(load);
        return NULL;
    }
    if (pthread_create(&load->caller, NULL, call, load) != 0)
        abort();
    return load;
}

struct wanted_ok {
    struct load *load;
    unsigned n;
};

static bool enough_ok(void *context)
{
    const struct wanted_ok *wanted = context;
    pthread_mutex_lock(&wanted->load->lock);
    unsigned ok = wanted->load->figures.by_code[GRPC_STATUS_OK];
    pthread_mutex_unlock(&wanted->load->lock);
    return ok >= wanted->n;
}

bool load_await_ok(struct load *load, unsigned n, int timeout_ms)
{
    struct wanted_ok wanted = {load, n};
    pthread_mutex_lock(&load->lock);
    wanted.n += load->figures.by_code[GRPC_STATUS_OK];
    pthread_mutex_unlock(&load->lock);
    return await(enough_ok, &wanted, timeout_ms, NULL);
}

static void show(const struct load_figures *f)
{
    (void)printf("  load: %u calls:", f->calls);
    for (unsigned code = 0; code < LOAD_CODES; code++)
        if (f->by_code[code] > 0)
            (void)printf(" %s %u", async_code_name((grpc_status_code)code), f->by_code[code]);
    (void)printf("; wrong %u; failures over %lld ms\n", f->wrong,
                 (long long)(f->last_failure_ms - f->first_failure_ms));
    (void)fflush(stdout);
}

void load_stop(struct load *load, struct load_figures *ret)
{
    atomic_store(&load->stop, true);
    (void)pthread_join(load->caller, NULL);
    async_wait(load->async, 0);
    *ret = load->figures;
    show(ret);
    watch_stop(load->watch, &ret->status);
    release(load);
}

bool load_only_outage(const struct load_figures *f)
{
    unsigned expected = f->by_code[GRPC_STATUS_OK] + f->by_code[GRPC_STATUS_UNAVAILABLE] +
                        f->by_code[GRPC_STATUS_DEADLINE_EXCEEDED];
    if (f->status.worst_wakeup_ms > STOOD_STILL_MS)
        expected += f->by_code[GRPC_STATUS_RESOURCE_EXHAUSTED];
    return f->wrong == 0 && expected == f->calls;
}
