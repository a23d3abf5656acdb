/* SPDX-License-Identifier: Apache-2.0 */
/* Many mixed requests from 8 connections, a tenth of them cancelled or with 1 ms to live: no wrong
 * answer, no agent killed, nothing kept open, no memory that grows. */
#include "harness.h"

#include "async.h"
#include "text.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>

enum {
    CONNECTIONS = 8,
    SLOTS = 16, /* in flight on each connection */
    KEPT = 256, /* sealed DEKs to open, per API */
    DEK_LEN = 32,
    RSS_GROWTH_KIB = 1024,
    SETTLE_MS = 15000,
    SECONDS_PER_100000 = 240,
    PLAIN_REQUESTS = 100000,
    SANITIZED_REQUESTS = 30000
};

/* What one request was. */
struct slot {
    struct soak *soak;
    unsigned connection;
    enum kms_api_version version;
    enum wire_method method;
    bool doomed; /* cancelled, or with 1 ms to live: may fail so */
    uint8_t dek[DEK_LEN];
};

struct kept {
    uint8_t dek[DEK_LEN];
    uint8_t ciphertext[512];
    size_t len;
    char key_id[128];
};

/* Belongs to the answering thread while requests are in flight, else to main. */
struct soak {
    struct async *async;
    struct slot slots[CONNECTIONS * SLOTS];
    struct kept kept[KMS_API_VERSIONS][KEPT];
    size_t n_kept[KMS_API_VERSIONS]; /* ever; the last KEPT of them are there */
    uint64_t random;
    unsigned long left; /* to be started */
    unsigned long ended, compared, wrong, unexpected, given_up;
};

static unsigned long requests = HARNESS_SANITIZED ? SANITIZED_REQUESTS : PLAIN_REQUESTS;
static bool judge_memory = true;

static uint64_t next_random(struct soak *s)
{
    s->random ^= s->random << 13; /* xorshift64: the same mix in each run */
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random;
}

/* --- answers ----------------------------------------------------------------------------- */

static void keep(struct soak *s, const struct slot *slot, struct bytes response)
{
    struct bytes ciphertext = wire_field(response, WIRE_OUTPUT);
    struct bytes key_id = wire_field(response, WIRE_ENCRYPT_KEY_ID);
    struct kept *kept = &s->kept[slot->version][s->n_kept[slot->version] % KEPT];
    if (ciphertext.len == 0 || ciphertext.len > sizeof kept->ciphertext ||
        !bytes_to_string(key_id, kept->key_id, sizeof kept->key_id)) {
        s->wrong++;
        return;
    }
    memcpy(kept->dek, slot->dek, DEK_LEN);
    memcpy(kept->ciphertext, ciphertext.data, ciphertext.len);
    kept->len = ciphertext.len;
    s->n_kept[slot->version]++;
}

static void compare(struct soak *s, const struct slot *slot, struct bytes response)
{
    s->compared++;
    s->wrong += !bytes_equal(wire_field(response, WIRE_OUTPUT), bytes_of(slot->dek, DEK_LEN));
}

static bool may_fail_so(const struct slot *slot, grpc_status_code code)
{
    return slot->doomed && (code == GRPC_STATUS_CANCELLED || code == GRPC_STATUS_DEADLINE_EXCEEDED);
}

static void start(struct slot *slot);

static void on_answer(void *context, const struct async_answer *answer)
{
    struct slot *slot = context;
    struct soak *s = slot->soak;
    s->ended++;
    if (may_fail_so(slot, answer->code)) {
        s->given_up++;
    } else if (answer->code != GRPC_STATUS_OK) {
        s->unexpected++;
        print_error("%s: %s\n", async_code_name(answer->code), answer->text);
    } else if (slot->method == WIRE_ENCRYPT) {
        keep(s, slot, answer->response);
    } else if (slot->method == WIRE_DECRYPT) {
        compare(s, slot, answer->response);
    }
    if (s->left > 0)
        start(slot);
}

/* --- requests ---------------------------------------------------------------------------- */

static void put_decrypt(struct soak *s, struct slot *slot, struct writer *w)
{
    size_t n = s->n_kept[slot->version] < KEPT ? s->n_kept[slot->version] : KEPT;
    const struct kept *kept = &s->kept[slot->version][next_random(s) % n];
    memcpy(slot->dek, kept->dek, DEK_LEN);
    wire_put_decrypt(w, &(struct wire_decrypt){.version = slot->version,
                                               .ciphertext = bytes_of(kept->ciphertext, kept->len),
                                               .key_id = bytes_of_string(kept->key_id)});
}

static void put_encrypt(struct soak *s, struct slot *slot, struct writer *w)
{
    for (size_t i = 0; i < DEK_LEN; i++)
        slot->dek[i] = (uint8_t)(next_random(s) >> 32);
    wire_put_encrypt(w, slot->version, bytes_of(slot->dek, DEK_LEN));
}

/* Two of five encrypt, two decrypt, one asks Status. */
static void choose(struct soak *s, struct slot *slot, struct writer *w)
{
    unsigned dice = (unsigned)(next_random(s) % 5);
    slot->version = (enum kms_api_version)(next_random(s) % KMS_API_VERSIONS);
    slot->method = dice == 0 ? WIRE_STATUS : dice < 3 ? WIRE_ENCRYPT : WIRE_DECRYPT;
    if (slot->method == WIRE_DECRYPT && s->n_kept[slot->version] == 0)
        slot->method = WIRE_ENCRYPT;
    if (slot->method == WIRE_STATUS)
        wire_put_status(w, slot->version);
    else if (slot->method == WIRE_ENCRYPT)
        put_encrypt(s, slot, w);
    else
        put_decrypt(s, slot, w);
}

static void start(struct slot *slot)
{
    static const struct {
        enum async_cancel cancel;
        int timeout_ms;
    } dooms[] = {{ASYNC_CANCEL_AT_ONCE, HARNESS_CALL_MS},
                 {ASYNC_CANCEL_LATER, HARNESS_CALL_MS},
                 {ASYNC_KEEP, 1},
                 {ASYNC_KEEP, 1}};
    static const size_t n_dooms = sizeof dooms / sizeof *dooms;
    struct soak *s = slot->soak;
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    choose(s, slot, &w);
    slot->doomed = next_random(s) % 10 == 0;
    size_t doom = next_random(s) % n_dooms;
    s->left--;
    async_start(s->async, &(struct async_request){
                              .connection = slot->connection,
                              .version = slot->version,
                              .method = slot->method,
                              .message = writer_bytes(&w),
                              .timeout_ms = slot->doomed ? dooms[doom].timeout_ms : HARNESS_CALL_MS,
                              .cancel = slot->doomed ? dooms[doom].cancel : ASYNC_KEEP,
                              .done = on_answer,
                              .context = slot});
}

/* The first requests, like all others, are started by the answering thread. */
static void on_signal_to_start(void *context, const struct async_answer *answer)
{
    struct soak *s = context;
    assert_int_equal(answer->code, GRPC_STATUS_OK);
    for (size_t i = 0; i < sizeof s->slots / sizeof *s->slots && s->left > 0; i++)
        start(&s->slots[i]);
}

/* Runs n requests to their end. */
static void run(struct soak *s, unsigned long n)
{
    int64_t began = now_ms();
    s->left = n;
    async_start(s->async, &(struct async_request){.version = KMS_API_V2,
                                                  .method = WIRE_STATUS,
                                                  .timeout_ms = HARNESS_CALL_MS,
                                                  .done = on_signal_to_start,
                                                  .context = s});
    async_wait(s->async, 0);
    int64_t ms = now_ms() - began;
    printf("figure: %lu requests in %lld ms\n", n, (long long)ms);
    (void)fflush(stdout);
}

/* --- processes --------------------------------------------------------------------------- */

enum { MONITOR, FRONT_END, AGENT, PROCESSES };

static const char *const names[PROCESSES] = {"monitor", "front end", "agent"};

struct processes {
    pid_t pid[PROCESSES];
    int fds[PROCESSES]; /* before the first connection of the soak */
    long rss_kib[PROCESSES];
};

struct steadiness {
    pid_t pid;
    int fds, same;
};

static bool is_steady(void *context)
{
    struct steadiness *s = context;
    int now = process_fds(s->pid);
    s->same = now == s->fds ? s->same + 1 : 0;
    s->fds = now;
    return s->same == 10;
}

/* What a start leaves open for a moment is no descriptor to measure a leak by. */
static int steady_fds(pid_t pid)
{
    struct steadiness s = {.pid = pid};
    assert_true(await(is_steady, &s, SETTLE_MS, NULL));
    return s.fds;
}

static void find_processes(const struct harness *h, struct processes *p)
{
    p->pid[MONITOR] = h->monitor;
    p->pid[FRONT_END] = harness_front_end(h);
    p->pid[AGENT] = harness_agent(h);
    for (int i = 0; i < PROCESSES; i++)
        p->fds[i] = steady_fds(p->pid[i]);
}

static void weigh(struct processes *p)
{
    for (int i = 0; i < PROCESSES; i++)
        p->rss_kib[i] = process_rss_kib(p->pid[i]);
}

static bool fds_as_before(void *context)
{
    const struct processes *p = context;
    for (int i = 0; i < PROCESSES; i++)
        if (process_fds(p->pid[i]) != p->fds[i])
            return false;
    return true;
}

static void check_fds(struct processes *p)
{
    bool same = await(fds_as_before, p, SETTLE_MS, NULL);
    for (int i = 0; i < PROCESSES; i++)
        printf("figure: %s: %d descriptors before, %d after\n", names[i], p->fds[i],
               process_fds(p->pid[i]));
    assert_true(same);
}

/* The monitor has no part in requests. */
static void check_memory(const struct processes *half, const struct processes *whole)
{
    bool grown = false;
    for (int i = FRONT_END; i < PROCESSES; i++) {
        printf("figure: %s: RSS %ld KiB after half, %ld KiB after all\n", names[i],
               half->rss_kib[i], whole->rss_kib[i]);
        grown = grown || whole->rss_kib[i] > half->rss_kib[i] + RSS_GROWTH_KIB;
    }
    if (judge_memory)
        assert_false(grown);
    else
        printf("RSS IS NOT JUDGED: a sanitizer's memory is not the program's\n");
}

static void check_pids(const struct harness *h, const struct processes *p)
{
    assert_int_equal(process_child(h->monitor, "--front-end"), p->pid[FRONT_END]);
    assert_int_equal(process_child(h->monitor, "p11-kms-agent"), p->pid[AGENT]);
}

/* --- the test ---------------------------------------------------------------------------- */

static struct soak *soak_new(const struct harness *h)
{
    struct soak *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->random = UINT64_C(0x9e3779b97f4a7c15);
    s->async = async_open(h->socket, CONNECTIONS);
    assert_non_null(s->async);
    for (unsigned i = 0; i < CONNECTIONS * SLOTS; i++) {
        s->slots[i].soak = s;
        s->slots[i].connection = i % CONNECTIONS;
    }
    return s;
}

static void check_answers(const struct soak *s)
{
    printf("figure: %lu ended, %lu plaintexts compared, %lu wrong, %lu given up, %lu unexpected "
           "errors\n",
           s->ended, s->compared, s->wrong, s->given_up, s->unexpected);
    assert_int_equal(s->ended, requests);
    assert_true(s->compared > requests / 5);
    assert_true(s->given_up > 0);
    assert_int_equal(s->wrong, 0);
    assert_int_equal(s->unexpected, 0);
}

static void test_soak(void **state)
{
    struct harness *h = *state;
    struct processes half, whole;
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    harness_round_trips(h); /* what is opened at the first use is open */
    harness_await_no_connections(h);
    find_processes(h, &half);
    whole = half;
    struct soak *s = soak_new(h);
    run(s, requests / 2);
    weigh(&half);
    run(s, requests - requests / 2);
    weigh(&whole);
    check_pids(h, &half);
    async_close(s->async);
    check_answers(s);
    harness_await_no_connections(h);
    check_fds(&half);
    check_memory(&half, &whole);
    harness_round_trips(h);
    free(s);
    h->passed = true;
}

static int usage(FILE *to, int code)
{
    (void)fputs("usage: soak [--requests N] [--ignore-rss]\n"
                "  --requests N   how many (default 100000, with sanitizers 30000; also\n"
                "                 $P11KMS_SOAK_REQUESTS)\n"
                "  --ignore-rss   show resident memory but do not judge it (also where\n"
                "                 $P11KMS_SOAK_IGNORE_RSS is set, and in sanitizer builds)\n",
                to);
    return code;
}

static bool parse_requests(const char *text)
{
    uint64_t n;
    if (err_is(parse_u64(text, 1000, 1000000000, &n)))
        return false;
    requests = (unsigned long)n;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"requests", required_argument, NULL, 'r'},
                                            {"ignore-rss", no_argument, NULL, 'i'},
                                            {"help", no_argument, NULL, 'h'},
                                            {NULL, 0, NULL, 0}};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_soak, harness_setup, harness_teardown),
    };
    const char *wanted = getenv("P11KMS_SOAK_REQUESTS");
    int option;
    judge_memory = !HARNESS_SANITIZED && !getenv("P11KMS_SOAK_IGNORE_RSS");
    if (wanted && !parse_requests(wanted))
        return usage(stderr, 2);
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == 'i')
            judge_memory = false;
        else if (option == 'h')
            return usage(stdout, 0);
        else if (option != 'r' || !parse_requests(optarg))
            return usage(stderr, 2);
    }
    if (requests < PLAIN_REQUESTS)
        printf("SHORTER: %lu requests, not %d\n", requests, PLAIN_REQUESTS);
    unsigned seconds = (unsigned)(SECONDS_PER_100000 * (1 + requests / 100000));
    return HARNESS_RUN("soak", tests, seconds);
}
