/* SPDX-License-Identifier: Apache-2.0 */
/* An API server of thousands of Secrets under KMS v1 starts on a token that is as slow as a TPM,
 * and does one thing at a time. It asks for each Secret's DEK, on its one connection, as many at a
 * time as it may have requests in flight; what fails is asked for again. Beside that Status is
 * quick and each Encrypt ends within the API server's 3 s, and in the end all have been answered.
 * --long: 5,000 Secrets at 50 ms, seven minutes each. */
#include "faults.h"

#include "async.h"
#include "rounds.h"
#include "watch.h"

#include <stdatomic.h>
#include <string.h>

enum {
    TEST_SECONDS = 280,
    LONG_SECONDS = 2000,
    DEK_LEN = 32,
    STORM_MAX = 5000,
    IN_FLIGHT = 600, /* --max-requests-inflight and --max-mutating-requests-inflight together */
    AGAIN_MS = 800,  /* a reflector's first wait, after a LIST that failed */
    CALL_MS = 3000,
    CODES = 17
};

static const uint8_t dek[DEK_LEN] = "the data encryption key sealed.";

/* How big, and how slow. */
static struct scale {
    unsigned n;
    unsigned slow_ms;
    unsigned seconds; /* until all must have been answered */
} scale = {1200, 10, 100};

struct storm {
    struct async *async;
    struct kms_sealed sealed[STORM_MAX];
    unsigned n;
    unsigned next; /* not yet asked for; the answering thread's once it runs */
    /* The answering thread's, until all have ended. */
    unsigned by_code[CODES], wrong, first; /* first: answered well at the first time */
    double refused_ms;
    bool again[STORM_MAX];
    atomic_int_fast64_t due_ms[STORM_MAX]; /* when it is asked for again; 0: it is not */
    atomic_uint answered;
};

struct call {
    struct storm *storm;
    unsigned number;
};

static struct call calls[STORM_MAX];

static void ask(struct call *call);

static void on_answer(void *context, const struct async_answer *answer)
{
    struct call *call = context;
    struct storm *s = call->storm;
    double ms = (double)(answer->ended_ns - answer->started_ns) / 1e6;
    s->by_code[(unsigned)answer->code < CODES ? (unsigned)answer->code : 2]++;
    if (answer->code == GRPC_STATUS_OK) {
        s->wrong += !bytes_equal(wire_field(answer->response, WIRE_OUTPUT), bytes_of(dek, DEK_LEN));
        s->first += !s->again[call->number];
        if (s->next < s->n)
            ask(&calls[s->next++]);
        atomic_fetch_add(&s->answered, 1);
        return;
    }
    if (answer->code == GRPC_STATUS_RESOURCE_EXHAUSTED && ms > s->refused_ms)
        s->refused_ms = ms;
    s->again[call->number] = true;
    atomic_store(&s->due_ms[call->number], now_ms() + AGAIN_MS);
}

static void ask(struct call *call)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct storm *s = call->storm;
    wire_put_decrypt(&w, &(struct wire_decrypt){.version = KMS_API_V1BETA1,
                                                .ciphertext = s->sealed[call->number].ciphertext});
    async_start(s->async, &(struct async_request){.version = KMS_API_V1BETA1,
                                                  .method = WIRE_DECRYPT,
                                                  .message = writer_bytes(&w),
                                                  .timeout_ms = CALL_MS,
                                                  .done = on_answer,
                                                  .context = call});
}

static struct storm *storm_make(const struct harness *h)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct storm *s = calloc(1, sizeof *s);
    struct kms_failure failure;
    assert_non_null(s);
    for (; s->n < scale.n; s->n++) {
        calls[s->n] = (struct call){s, s->n};
        assert_false(err_is(kms_client_encrypt(client, KMS_API_V1BETA1, bytes_of(dek, DEK_LEN),
                                               HARNESS_CALL_MS, &s->sealed[s->n], &failure)));
    }
    s->async = async_open(h->socket, 1);
    assert_non_null(s->async);
    return s;
}

static void ask_again(struct storm *s)
{
    for (unsigned i = 0; i < s->n; i++) {
        int64_t due = atomic_load(&s->due_ms[i]);
        if (due == 0 || due > now_ms())
            continue;
        atomic_store(&s->due_ms[i], 0);
        ask(&calls[i]);
    }
}

static bool all_answered(void *context)
{
    struct storm *s = context;
    return atomic_load(&s->answered) == s->n;
}

static void storm_end(struct storm *s)
{
    async_close(s->async);
    printf("  the storm:");
    for (unsigned code = 0; code < CODES; code++)
        if (s->by_code[code] > 0)
            printf(" %s %u", async_code_name((grpc_status_code)code), s->by_code[code]);
    printf("; wrong %u; at the first time %u; slowest refusal %.1f ms\n", s->wrong, s->first,
           s->refused_ms);
    (void)fflush(stdout);
    assert_int_equal(s->wrong, 0);
    assert_true(s->first < s->n); /* else it was none */
    while (s->n > 0)
        kms_sealed_release(&s->sealed[--s->n]);
    free(s);
}

/* Serial Encrypts while the storm lasts, on the storm's own connection: an API server has one. */
struct writes {
    struct storm *storm;
    unsigned n, late, failed; /* the answering thread's, as what follows; late: out of time */
    double slowest_ms;
    char failure[256];
    atomic_uint ended;
};

static void on_written(void *context, const struct async_answer *answer)
{
    struct writes *w = context;
    double ms = (double)(answer->ended_ns - answer->started_ns) / 1e6;
    if (answer->code == GRPC_STATUS_DEADLINE_EXCEEDED)
        w->late++;
    else if (answer->code != GRPC_STATUS_OK && w->failed++ == 0)
        (void)snprintf(w->failure, sizeof w->failure, "%s %.200s", async_code_name(answer->code),
                       answer->text);
    w->slowest_ms = ms > w->slowest_ms ? ms : w->slowest_ms;
    atomic_fetch_add(&w->ended, 1);
}

static bool is_written(void *context)
{
    struct writes *w = context;
    ask_again(w->storm);
    return atomic_load(&w->ended) == w->n;
}

/* How long an Encrypt may take: as an API server waits, and longer where all is slow. */
static int write_ms(void)
{
    return HARNESS_SANITIZED ? HARNESS_CALL_MS : patience(CALL_MS);
}

static void write_one(struct writes *w)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer message = writer_over(memory, sizeof memory);
    wire_put_encrypt(&message, KMS_API_V1BETA1, bytes_of(dek, DEK_LEN));
    w->n++;
    async_start(w->storm->async, &(struct async_request){.version = KMS_API_V1BETA1,
                                                         .method = WIRE_ENCRYPT,
                                                         .message = writer_bytes(&message),
                                                         .timeout_ms = write_ms(),
                                                         .done = on_written,
                                                         .context = w});
    assert_true(await(is_written, w, 2 * write_ms(), NULL));
}

static bool keep_writing(struct writes *w, int64_t until_ms)
{
    while (!all_answered(w->storm) && now_ms() < until_ms) {
        write_one(w);
        pass_time((int)scale.slow_ms * 4);
    }
    return all_answered(w->storm);
}

static void slow_down(const struct harness *h)
{
    char lines[512];
    (void)snprintf(lines, sizeof lines,
                   "on C_Encrypt every slow %ums\non C_Decrypt every slow %ums\n"
                   "on C_Sign every slow %ums\n",
                   scale.slow_ms, scale.slow_ms, scale.slow_ms);
    faults_script(h, "calls of nobody", lines);
}

static bool weather(struct harness *h, const char *token)
{
    struct watch_figures status;
    harness_stop(h);
    h->config.token = token;
    h->config.ring = "  verifyOpens: none\n"; /* one operation a Decrypt, as on a token of MACs */
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    struct storm *storm = storm_make(h);
    struct writes writes = {.storm = storm};
    slow_down(h);
    struct watch *watch = watch_start(h->socket);
    int64_t began = now_ms();
    storm->next = IN_FLIGHT < storm->n ? IN_FLIGHT : storm->n;
    for (unsigned i = 0, n = storm->next; i < n; i++)
        ask(&calls[i]);
    bool all = keep_writing(&writes, began + patience((int)scale.seconds * 1000));
    printf("figure: %u Decrypts at %u ms: all answered after %.1f s; beside them %u Encrypts, %u "
           "failed, %u were not answered within %d ms, slowest %.0f ms\n",
           storm->n, scale.slow_ms, (double)(now_ms() - began) / 1000, writes.n, writes.failed,
           writes.late, write_ms(), writes.slowest_ms);
    assert_true(all);
    watch_stop(watch, &status);
    faults_end(h);
    storm_end(storm);
    assert_true(writes.n > 0);
    if (writes.failed > 0)
        fail_msg("an Encrypt failed: %s", writes.failure);
    harness_round_trips(h);
    return writes.late == 0 && (HARNESS_SANITIZED || watch_was_quick(&status));
}

static bool a_start_up_storm(void *context)
{
    return weather(context, "  sessions: 1\n  timeout: 10s\n");
}

static bool a_start_up_storm_over_four_lanes(void *context)
{
    return weather(context, "  sessions: 4\n  timeout: 10s\n");
}

TEST_OF_TIME(a_start_up_storm)
TEST_OF_TIME(a_start_up_storm_over_four_lanes)

int main(int argc, char **argv)
{
    bool is_long = argc > 1 && strcmp(argv[1], "--long") == 0;
    if (is_long)
        scale = (struct scale){STORM_MAX, 50, 900};
#define STORM(test) cmocka_unit_test_setup_teardown(test, faults_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        STORM(test_a_start_up_storm),
        STORM(test_a_start_up_storm_over_four_lanes),
    };
    return HARNESS_RUN("storms on a slow token", tests, is_long ? LONG_SECONDS : TEST_SECONDS);
}
