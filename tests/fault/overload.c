/* SPDX-License-Identifier: Apache-2.0 */
/* More requests than the token can answer, or a token that answers none: what is pointless never
 * reaches it, nobody starves, and Status is quick throughout. */
#include "faults.h"

#include "async.h"
#include "lateness.h"
#include "rounds.h"
#include "text.h"
#include "watch.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>

enum {
    TEST_SECONDS = 240,
    DEK_LEN = 32,
    CODES = 17,
    STREAMS = 128,   /* that one connection may have in flight */
    QUEUE_MAX = 512, /* that wait for the token */
    EXPIRING = 100,
    EXPIRING_MS = 100,
    CALL_MS = 3000, /* kube-apiserver's default */
    REFUSED_MS = 250,
    STORM = 5000,
    STORM_MS = 3000,
    MEEK_CALLS = 5,
    MEEK_MS = 1500, /* the rest of one operation, and its own; others' threads wake late */
    MEASURED = 1000,
    ENCRYPT_P99_MS = 100
};

static const uint8_t dek[DEK_LEN] = "the data encryption key sealed.";

/* --- what was sealed --------------------------------------------------------------------- */

struct store {
    enum kms_api_version version;
    size_t n;
    struct kms_sealed sealed[STORM];
};

static struct store *store_make(const struct harness *h, enum kms_api_version version, size_t n)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct store *store = calloc(1, sizeof *store);
    struct kms_failure failure;
    assert_non_null(store);
    store->version = version;
    for (; store->n < n; store->n++)
        assert_false(
            err_is(kms_client_encrypt(client, version, bytes_of(dek, DEK_LEN), HARNESS_CALL_MS,
                                      &store->sealed[store->n], &failure)));
    return store;
}

static void store_free(struct store *store)
{
    while (store->n > 0)
        kms_sealed_release(&store->sealed[--store->n]);
    free(store);
}

/* --- Decrypts ---------------------------------------------------------------------------- */

/* Decrypts of one client, each of another ciphertext. Its figures belong to the answering thread
 * until storm_end. */
struct storm {
    struct async *async;
    const struct store *store;
    unsigned connections;
    int timeout_ms;
    atomic_uint next;
    atomic_bool again; /* an answer starts the next one */
    atomic_uint ended;
    unsigned by_code[CODES], wrong;
    double refused_ms, slowest_ms; /* the longest of those refused, and of those answered well */
};

static void storm_call(struct storm *s);

static void on_answer(void *context, const struct async_answer *answer)
{
    struct storm *s = context;
    double ms = (double)(answer->ended_ns - answer->started_ns) / 1e6;
    s->by_code[(unsigned)answer->code < CODES ? (unsigned)answer->code : 2]++;
    if (answer->code == GRPC_STATUS_OK) {
        s->wrong += !bytes_equal(wire_field(answer->response, WIRE_OUTPUT), bytes_of(dek, DEK_LEN));
        s->slowest_ms = ms > s->slowest_ms ? ms : s->slowest_ms;
    } else if (answer->code == GRPC_STATUS_RESOURCE_EXHAUSTED) {
        s->refused_ms = ms > s->refused_ms ? ms : s->refused_ms;
    }
    if (atomic_load(&s->again))
        storm_call(s);
    atomic_fetch_add(&s->ended, 1);
}

static void storm_call(struct storm *s)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    unsigned i = atomic_fetch_add(&s->next, 1);
    const struct kms_sealed *sealed = &s->store->sealed[i % s->store->n];
    wire_put_decrypt(&w, &(struct wire_decrypt){.version = s->store->version,
                                                .ciphertext = sealed->ciphertext,
                                                .key_id = bytes_of_string(sealed->key_id)});
    async_start(s->async, &(struct async_request){.connection = i % s->connections,
                                                  .version = s->store->version,
                                                  .method = WIRE_DECRYPT,
                                                  .message = writer_bytes(&w),
                                                  .timeout_ms = s->timeout_ms,
                                                  .done = on_answer,
                                                  .context = s});
}

static struct storm *storm_open(const struct harness *h, const struct store *store,
                                unsigned connections, int timeout_ms)
{
    struct storm *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->async = async_open(h->socket, connections);
    assert_non_null(s->async);
    s->store = store;
    s->connections = connections;
    s->timeout_ms = timeout_ms;
    return s;
}

static void storm_start(struct storm *s, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        storm_call(s);
}

/* Waits for what is in flight, shows what became of all of them, and copies it to ret. */
static void storm_end(struct storm *s, const char *what, struct storm *ret)
{
    atomic_store(&s->again, false);
    async_close(s->async);
    printf("  %s:", what);
    for (unsigned code = 0; code < CODES; code++)
        if (s->by_code[code] > 0)
            printf(" %s %u", async_code_name((grpc_status_code)code), s->by_code[code]);
    printf("; wrong %u; slowest answer %.1f ms, slowest refusal %.1f ms\n", s->wrong, s->slowest_ms,
           s->refused_ms);
    (void)fflush(stdout);
    assert_int_equal(s->wrong, 0);
    memcpy(ret, s, sizeof *ret);
    free(s);
}

struct wanted_ends {
    struct storm *storm;
    unsigned n;
};

static bool enough_ended(void *context)
{
    const struct wanted_ends *wanted = context;
    return atomic_load(&wanted->storm->ended) >= wanted->n;
}

/* --- daemons ----------------------------------------------------------------------------- */

/* No probe disturbs the count of what reaches the token. */
static void serve(struct harness *h, const char *token)
{
    harness_stop(h);
    faults_forget(h);
    h->config.token = token;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
}

static bool was_quick(const struct watch_figures *status)
{
    if (!HARNESS_SANITIZED || status->late_wakeups == 0)
        assert_int_equal(status->failed, 0);
    if (!HARNESS_SANITIZED)
        return watch_was_quick_in_a_storm(status);
    printf("  STATUS IS NOT JUDGED: a sanitizer's speed is not the program's\n");
    return true;
}

static bool expired_requests_never_reach_the_token(void *context)
{
    struct harness *h = context;
    struct storm first, expired, last;
    serve(h, "  sessions: 1\n  timeout: 8s\n  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V2, EXPIRING + 2);
    struct watch *watch = watch_start(h->socket);
    struct storm *patient = storm_open(h, store, 1, HARNESS_CALL_MS);
    struct storm *hasty = storm_open(h, store, 2, EXPIRING_MS);
    struct storm *marker = storm_open(h, store, 1, HARNESS_CALL_MS);
    struct wanted_ends all = {hasty, EXPIRING};
    struct watch_figures status;
    atomic_store(&hasty->next, 1);
    atomic_store(&marker->next, EXPIRING + 1);
    faults_always(h, "C_DecryptInit", "hang 3s"); /* all expire in it; each is recorded */
    storm_start(patient, 1);
    faults_await(h, "fault", 1, HARNESS_CALL_MS);
    storm_start(hasty, EXPIRING);
    storm_start(marker, 1);
    assert_true(await(enough_ended, &all, HARNESS_CALL_MS, NULL));
    storm_end(patient, "the one that hangs", &first);
    storm_end(hasty, "with 100 ms to live", &expired);
    storm_end(marker, "the one behind them", &last);
    unsigned reached = faults_count(h, "fault");
    faults_end(h);
    watch_stop(watch, &status);
    printf("figure: %u Decrypts reached the token of %d\n", reached, EXPIRING + 2);
    assert_int_equal(reached, 2);
    assert_int_equal(expired.by_code[GRPC_STATUS_DEADLINE_EXCEEDED], EXPIRING);
    assert_int_equal(first.by_code[GRPC_STATUS_OK], 1);
    assert_int_equal(last.by_code[GRPC_STATUS_OK], 1);
    store_free(store);
    return was_quick(&status);
}

TEST_OF_TIME(expired_requests_never_reach_the_token)

static bool a_full_queue_refuses_at_once(void *context)
{
    struct harness *h = context;
    enum { CONNECTIONS = 6, CALLS = CONNECTIONS * STREAMS };
    struct storm ended;
    struct watch_figures status;
    serve(h, "  sessions: 1\n  timeout: 8s\n  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V2, CALLS);
    struct watch *watch = watch_start(h->socket);
    struct storm *storm = storm_open(h, store, CONNECTIONS, patience(HARNESS_CALL_MS));
    struct wanted_ends refused = {storm, CALLS - QUEUE_MAX - 1};
    /* All come in it, and the last is answered before it has waited for the token for 10 s. */
    faults_once(h, "C_DecryptInit", HARNESS_SANITIZED ? "hang 4s" : "hang 2s");
    storm_start(storm, CALLS);
    assert_true(await(enough_ended, &refused, HARNESS_CALL_MS, NULL));
    storm_end(storm, "more than can wait", &ended);
    watch_stop(watch, &status);
    assert_int_equal(ended.by_code[GRPC_STATUS_RESOURCE_EXHAUSTED], CALLS - QUEUE_MAX - 1);
    assert_int_equal(ended.by_code[GRPC_STATUS_OK], QUEUE_MAX + 1);
    assert_true(ended.slowest_ms > 1900); /* it did hang, and they did wait */
    harness_round_trips(h);
    store_free(store);
    if (!HARNESS_SANITIZED && !status.busy)
        return ended.refused_ms < REFUSED_MS && was_quick(&status);
    printf("  HOW SOON THEY WERE REFUSED IS NOT JUDGED: the machine is busy\n");
    return was_quick(&status);
}

TEST_OF_TIME(a_full_queue_refuses_at_once)

/* While the token hangs none ends but one that is refused: all the others have arrived. */
static bool one_more_ends(void *context)
{
    struct storm *one = context;
    storm_call(one);
    return atomic_load(&one->ended) > 0;
}

/* Equal Decrypts take one place in the queue, or one a connection, but each is a call in flight. */
static bool status_has_room_where_calls_have_none(void *context)
{
    struct harness *h = context;
    enum { CONNECTIONS = 16, CALLS_MAX = CONNECTIONS * STREAMS };
    struct storm admitted, refused;
    struct watch_figures status;
    serve(h, "  sessions: 1\n  timeout: 8s\n  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V2, 1);
    struct storm *many = storm_open(h, store, CONNECTIONS, HARNESS_CALL_MS);
    struct storm *more = storm_open(h, store, 1, HARNESS_CALL_MS);
    struct storm *one = storm_open(h, store, 1, HARNESS_CALL_MS);
    struct wanted_ends all = {more, STREAMS};
    faults_always(h, "C_DecryptInit", HARNESS_SANITIZED ? "hang 6s" : "hang 3s");
    storm_start(many, CALLS_MAX);
    assert_true(await(one_more_ends, one, HARNESS_CALL_MS, NULL));
    struct watch *watch = watch_start(h->socket);
    storm_start(more, STREAMS);
    assert_true(await(enough_ended, &all, HARNESS_CALL_MS, NULL));
    watch_stop(watch, &status);
    faults_end(h);
    storm_end(many, "as many calls as are taken", &admitted);
    storm_end(one, "until one was refused", &admitted);
    storm_end(more, "some more", &refused);
    assert_true(refused.by_code[GRPC_STATUS_RESOURCE_EXHAUSTED] > 0);
    harness_round_trips(h);
    store_free(store);
    return was_quick(&status);
}

TEST_OF_TIME(status_has_room_where_calls_have_none)

/* Thousands a second that give up while the token answers nothing. */
static bool a_storm_of_deadlines(void *context)
{
    struct harness *h = context;
    enum { CONNECTIONS = 16 };
    struct storm ended;
    struct watch_figures status;
    serve(h, "  timeout: 20s\n  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V2, 2000);
    struct watch *watch = watch_start(h->socket);
    struct storm *storm = storm_open(h, store, CONNECTIONS, 40);
    pid_t agent = harness_agent(h);
    assert_int_equal(kill(agent, SIGSTOP), 0);
    atomic_store(&storm->again, true);
    storm_start(storm, CONNECTIONS * 8);
    pass_time(STORM_MS);
    storm_end(storm, "with 40 ms to live each", &ended);
    watch_stop(watch, &status);
    assert_int_equal(kill(agent, SIGCONT), 0);
    assert_true(ended.by_code[GRPC_STATUS_DEADLINE_EXCEEDED] > 1000);
    harness_round_trips(h);
    assert_int_equal(harness_agent(h), agent);
    store_free(store);
    return was_quick(&status);
}

TEST_OF_TIME(a_storm_of_deadlines)

/* --- fairness ---------------------------------------------------------------------------- */

/* A token of eight operations a second, and a client that always has 128 in flight: in order, the
 * other one would wait for a quarter of a minute. */
static bool a_greedy_connection_starves_nobody(void *context)
{
    struct harness *h = context;
    struct storm greedy_figures, meek_figures;
    struct lateness lateness;
    serve(h, "  sessions: 4\n  timeout: 8s\n  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V2, STORM);
    struct storm *greedy = storm_open(h, store, 1, HARNESS_CALL_MS * 2);
    struct storm *meek = storm_open(h, store, 1, CALL_MS);
    atomic_store(&meek->next, STORM - MEEK_CALLS);
    faults_always(h, "C_DecryptInit", "hang 500ms");
    atomic_store(&greedy->again, true);
    storm_start(greedy, STREAMS);
    faults_await(h, "fault", 4, HARNESS_CALL_MS);
    lateness_start(&lateness);
    for (unsigned i = 1; i <= MEEK_CALLS; i++) {
        struct wanted_ends next = {meek, i};
        storm_call(meek);
        assert_true(await(enough_ended, &next, HARNESS_CALL_MS, NULL));
    }
    lateness_stop(&lateness);
    faults_end(h);
    storm_end(greedy, "128 in flight", &greedy_figures);
    storm_end(meek, "one in flight", &meek_figures);
    printf("figure: one in flight beside 128, a token of 8 operations a second: slowest %.0f ms\n",
           meek_figures.slowest_ms);
    assert_int_equal(meek_figures.by_code[GRPC_STATUS_OK], MEEK_CALLS);
    store_free(store);
    if (!HARNESS_SANITIZED && !lateness.busy)
        return meek_figures.slowest_ms < MEEK_MS;
    printf("  HOW LONG ONE WAITED IS NOT JUDGED: the machine is busy\n");
    return true;
}

TEST_OF_TIME(a_greedy_connection_starves_nobody)

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Serial Encrypts on a connection of their own; prints the figures, and yields p99. */
static double measure_encrypts(const struct harness *h, const char *beside)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    static double took_ms[MEASURED];
    for (size_t i = 0; i < MEASURED; i++) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        struct kms_failure failure;
        int64_t start = clock_monotonic_ns();
        if (err_is(kms_client_encrypt(client, KMS_API_V2, bytes_of(dek, DEK_LEN), CALL_MS, &sealed,
                                      &failure)))
            fail_msg("Encrypt: %s %s", failure.name, failure.message);
        took_ms[i] = (double)(clock_monotonic_ns() - start) / 1e6;
    }
    qsort(took_ms, MEASURED, sizeof *took_ms, by_value);
    printf("figure: Encrypt, one in flight, beside %s: p50 %.2f ms, p99 %.2f ms, longest %.2f ms\n",
           beside, took_ms[MEASURED / 2], took_ms[MEASURED * 99 / 100], took_ms[MEASURED - 1]);
    (void)fflush(stdout);
    return took_ms[MEASURED * 99 / 100];
}

/* As when an API server of 5,000 Secrets under KMS v1 starts. */
static bool a_start_up_storm(void *context)
{
    struct harness *h = context;
    struct storm ended;
    struct watch_figures status;
    serve(h, "  probeEvery: 1h\n");
    struct store *store = store_make(h, KMS_API_V1BETA1, STORM);
    (void)measure_encrypts(h, "nothing");
    struct storm *storm = storm_open(h, store, 1, CALL_MS);
    struct watch *watch = watch_start(h->socket);
    atomic_store(&storm->again, true);
    storm_start(storm, STREAMS);
    double p99 = measure_encrypts(h, "128 Decrypts");
    struct wanted_ends all = {storm, STORM};
    assert_true(await(enough_ended, &all, HARNESS_START_MS, NULL));
    storm_end(storm, "the storm", &ended);
    watch_stop(watch, &status);
    assert_true(ended.by_code[GRPC_STATUS_OK] >= STORM);
    assert_int_equal(ended.by_code[GRPC_STATUS_OK], atomic_load(&ended.ended));
    store_free(store);
    if (!HARNESS_SANITIZED && !status.busy)
        return p99 < ENCRYPT_P99_MS && was_quick(&status);
    printf("  HOW LONG ENCRYPTS TOOK IS NOT JUDGED: the machine is busy\n");
    return was_quick(&status);
}

TEST_OF_TIME(a_start_up_storm)

int main(void)
{
#define OVERLOAD(test) cmocka_unit_test_setup_teardown(test, faults_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        OVERLOAD(test_expired_requests_never_reach_the_token),
        OVERLOAD(test_a_full_queue_refuses_at_once),
        OVERLOAD(test_status_has_room_where_calls_have_none),
        OVERLOAD(test_a_storm_of_deadlines),
        OVERLOAD(test_a_greedy_connection_starves_nobody),
        OVERLOAD(test_a_start_up_storm),
    };
    return HARNESS_RUN("overload", tests, TEST_SECONDS);
}
