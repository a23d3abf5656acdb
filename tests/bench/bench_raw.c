/* SPDX-License-Identifier: Apache-2.0 */
/* What the token alone costs: AES-GCM on a KEK of the ring, with the authenticated data and the
 * length that the daemon uses, one session and one thread for each operation in flight. No IPC,
 * no gRPC. Prints one line of JSON, as bench-load does. */
#include "bench_login.h"
#include "cleanup.h"
#include "envelope.h"
#include "io.h"
#include "p11_gcm.h"
#include "p11_key.h"
#include "secret.h"
#include "text.h"

#include <getopt.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    THREADS_MAX = 64,
    SECONDS_MAX = 3600,
    DEK_LEN = 32,
    HEAP = 1 << 16,
    BUCKETS = 1 << 15 /* of a microsecond; the last one holds all that is longer */
};

static const char usage[] =
    "usage: bench-raw --module PATH --uri URI --pin-file PATH --kind seal|open\n"
    "  --in-flight N   threads, each with a session of its own (default 1)\n"
    "  --seconds N     for so long (default 5)\n";

struct settings {
    const char *module, *uri, *pin_file;
    bool seal, has_kind;
    uint64_t threads, seconds;
};

/* What all threads read. */
struct bench {
    bool seal;
    unsigned long key;
    uint8_t aad[ENVELOPE_AAD_MAX];
    size_t aad_len;
    atomic_bool stop;
};

struct worker {
    struct bench *bench;
    struct p11_session session;
    pthread_t thread;
    uint8_t iv[GCM_IV];
    uint8_t dek[DEK_LEN];
    uint8_t sealed[DEK_LEN + GCM_TAG];
    struct err error;
    uint64_t done;
    uint32_t took[BUCKETS];
};

struct totals {
    double seconds;
    int64_t cpu_ns;
    uint64_t done;
    uint64_t took[BUCKETS];
};

static struct err seal_once(struct worker *w)
{
    struct bytes aad = bytes_of(w->bench->aad, w->bench->aad_len);
    return p11_gcm_encrypt(&w->session, w->bench->key, w->iv, aad, bytes_of(w->dek, DEK_LEN),
                           w->sealed);
}

static struct err open_once(struct worker *w)
{
    uint8_t opened[DEK_LEN + GCM_TAG];
    struct bytes aad = bytes_of(w->bench->aad, w->bench->aad_len);
    TRY(p11_gcm_decrypt(&w->session, w->bench->key, bytes_of(w->iv, GCM_IV), aad,
                        bytes_of(w->sealed, sizeof w->sealed), opened));
    return memcmp(opened, w->dek, DEK_LEN) == 0 ? ERR_OK : err_make(ERR_INTERNAL, "wrong DEK");
}

static struct err next_iv(struct worker *w)
{
    return random_fill(w->iv, sizeof w->iv);
}

static struct err once(struct worker *w)
{
    if (!w->bench->seal)
        return open_once(w);
    TRY(next_iv(w));
    return seal_once(w);
}

static void *work(void *argument)
{
    struct worker *w = (struct worker *)argument;
    while (!err_is(w->error) && !atomic_load_explicit(&w->bench->stop, memory_order_relaxed)) {
        int64_t started = clock_monotonic_ns();
        w->error = once(w);
        int64_t us = (clock_monotonic_ns() - started) / 1000;
        w->took[us < BUCKETS ? us : BUCKETS - 1]++;
        w->done++;
    }
    return NULL;
}

static int64_t cpu_ns(void)
{
    struct timespec used;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

/* The token's first KEK, and the authenticated data of an envelope under it. */
static struct err find_kek(const struct p11_session *session, struct bench *bench)
{
    AUTO_FREE unsigned long *handles = NULL;
    uint8_t header[ENVELOPE_MAX];
    struct p11_key key;
    struct key_id key_id;
    size_t n = 0;
    TRY(p11_key_find_all(session, KEY_CLASS_SECRET, &handles, &n));
    if (n == 0)
        return err_make(ERR_NOT_FOUND, "no key on the token: run p11-kms init");
    bench->key = handles[0];
    TRY(p11_key_read(session, KEY_CLASS_SECRET, handles[0], &key));
    TRY(key_id_make("k8s", &key.id, &key_id));
    struct writer w = writer_over(header, sizeof header);
    envelope_put_header(&w, SCHEME_AES_GCM, FAMILY_V2, &key_id);
    struct writer aad = writer_over(bench->aad, sizeof bench->aad);
    envelope_put_aad(&aad, writer_bytes(&w));
    bench->aad_len = aad.len;
    return w.full || aad.full ? err_make(ERR_INTERNAL, "find_kek") : ERR_OK;
}

static struct err prepare(const struct settings *settings, struct worker *workers,
                          struct bench *bench)
{
    struct p11_module *module = NULL;
    struct p11_token token;
    struct advice advice = {.text = ""};
    struct err e = p11_module_load(settings->module, &module, &advice);
    if (!err_is(e))
        e = p11_token_find(module, settings->uri, &token, &advice);
    if (err_is(e))
        (void)fprintf(stderr, "bench-raw: %s\n", advice.text);
    TRY(e);
    for (uint64_t i = 0; i < settings->threads; i++) {
        workers[i].bench = bench;
        TRY(p11_session_open(module, &token, false, &workers[i].session));
    }
    TRY(bench_log_in(&workers[0].session, settings->pin_file));
    TRY(find_kek(&workers[0].session, bench));
    for (uint64_t i = 0; i < settings->threads; i++) {
        TRY(random_fill(workers[i].dek, DEK_LEN));
        TRY(next_iv(&workers[i]));
        TRY(seal_once(&workers[i])); /* what an open opens, and the warm-up */
    }
    return ERR_OK;
}

static struct err run(struct worker *workers, const struct settings *settings, struct totals *ret)
{
    struct err e = ERR_OK;
    int64_t start = clock_monotonic_ns(), cpu = cpu_ns();
    for (uint64_t i = 0; i < settings->threads; i++) {
        int failed = pthread_create(&workers[i].thread, NULL, work, &workers[i]);
        if (failed)
            return err_errno(failed, "pthread_create");
    }
    (void)sleep((unsigned)settings->seconds);
    atomic_store(&workers[0].bench->stop, true);
    for (uint64_t i = 0; i < settings->threads; i++) {
        (void)pthread_join(workers[i].thread, NULL);
        ret->done += workers[i].done;
        for (size_t b = 0; b < BUCKETS; b++)
            ret->took[b] += workers[i].took[b];
        if (err_is(workers[i].error))
            e = workers[i].error;
    }
    ret->cpu_ns = cpu_ns() - cpu;
    ret->seconds = (double)(clock_monotonic_ns() - start) / 1e9;
    return e;
}

static size_t percentile(const struct totals *totals, double part)
{
    uint64_t below = 0, wanted = (uint64_t)(part * (double)totals->done);
    for (size_t b = 0; b < BUCKETS; b++) {
        below += totals->took[b];
        if (below > wanted)
            return b;
    }
    return BUCKETS - 1;
}

static long rss_kib(void)
{
    long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

static void print_result(const struct settings *settings, const struct totals *totals)
{
    (void)printf(
        "{\"kind\": \"raw %s\", \"in_flight\": %llu, \"seconds\": %.3f, \"calls\": %llu, "
        "\"calls_per_s\": %.1f, \"p50_us\": %zu, \"p99_us\": %zu, "
        "\"servers\": [{\"pid\": %d, \"cpu_us_per_call\": %.2f, \"rss_kib\": %ld}]}\n",
        settings->seal ? "seal" : "open", (unsigned long long)settings->threads, totals->seconds,
        (unsigned long long)totals->done, (double)totals->done / totals->seconds,
        percentile(totals, 0.5), percentile(totals, 0.99), (int)getpid(),
        (double)totals->cpu_ns / 1e3 / (double)(totals->done ? totals->done : 1), rss_kib());
}

static bool set(struct settings *to, int option, const char *value)
{
    switch (option) {
    case 'm':
        to->module = value;
        return true;
    case 'u':
        to->uri = value;
        return true;
    case 'p':
        to->pin_file = value;
        return true;
    case 'k':
        to->has_kind = true;
        to->seal = strcmp(value, "seal") == 0;
        return to->seal || strcmp(value, "open") == 0;
    case 'i':
        return !err_is(parse_u64(value, 1, THREADS_MAX, &to->threads));
    case 'd':
        return !err_is(parse_u64(value, 1, SECONDS_MAX, &to->seconds));
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct settings *to)
{
    static const struct option options[] = {
        {"module", required_argument, NULL, 'm'},
        {"uri", required_argument, NULL, 'u'},
        {"pin-file", required_argument, NULL, 'p'},
        {"kind", required_argument, NULL, 'k'},
        {"in-flight", required_argument, NULL, 'i'},
        {"seconds", required_argument, NULL, 'd'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!set(to, option, optarg))
            return false;
    return optind == argc && to->module && to->uri && to->pin_file && to->has_kind;
}

static struct err measure(const struct settings *settings)
{
    static struct worker workers[THREADS_MAX];
    static struct totals totals;
    static struct bench bench;
    bool locked = false;
    TRY(secret_init(HEAP, &locked));
    bench.seal = settings->seal;
    TRY(prepare(settings, workers, &bench));
    TRY(run(workers, settings, &totals));
    print_result(settings, &totals);
    return ERR_OK;
}

int main(int argc, char **argv)
{
    struct settings settings = {.threads = 1, .seconds = 5};
    char text[160];
    if (!parse(argc, argv, &settings)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct err e = measure(&settings);
    if (err_is(e))
        (void)fprintf(stderr, "bench-raw: %s\n", err_format(e, text, sizeof text));
    return err_exit_code(e);
}
