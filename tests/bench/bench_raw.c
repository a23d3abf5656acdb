/* SPDX-License-Identifier: Apache-2.0 */
/* What the token alone costs: what a scheme does to seal or to open, with a KEK of a ring and a
 * plaintext of the length of a DEK, one session and one thread for each operation in flight. No
 * IPC, no gRPC, and nothing is verified. Prints one line of JSON, as bench-load does. */
#include "bench_login.h"
#include "cleanup.h"
#include "io.h"
#include "scheme.h"
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
    BUCKETS = 1 << 15 /* of a microsecond; the last one holds all that is longer */
};

static const char usage[] =
    "usage: bench-raw --module PATH --uri URI --pin-file PATH --key-id KEY_ID --kind seal|open\n"
    "       bench-raw --schemes   (names those that it can measure)\n"
    "  --scheme NAME   of that KEK (default aes-gcm)\n"
    "  --in-flight N   threads, each with a session of its own (default 1)\n"
    "  --seconds D     for so long (default 5)\n";

struct settings {
    const char *module, *uri, *pin_file, *key_id;
    enum scheme scheme;
    bool seal, has_kind, names_schemes;
    uint64_t threads;
    double seconds;
};

/* What all threads read. */
struct bench {
    bool seal;
    const struct scheme_ops *scheme;
    struct key_set keys;
    uint8_t header[ENVELOPE_HEADER_MAX];
    size_t header_len;
    atomic_bool stop;
};

struct worker {
    struct bench *bench;
    struct p11_session session;
    pthread_t thread;
    uint8_t dek[DEK_LEN];
    uint8_t sealed[ENVELOPE_MAX];
    size_t len;
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
    const struct bench *bench = w->bench;
    struct bytes header = bytes_of(bench->header, bench->header_len);
    struct writer out = writer_over(w->sealed, sizeof w->sealed);
    put_bytes(&out, header);
    TRY(scheme_seal(bench->scheme, &w->session, &bench->keys, header, bytes_of(w->dek, DEK_LEN),
                    &out));
    w->len = out.len;
    return out.full ? err_make(ERR_INTERNAL, "seal_once") : ERR_OK;
}

static struct err open_once(struct worker *w)
{
    const struct bench *bench = w->bench;
    uint8_t opened[ENVELOPE_MAX];
    struct envelope envelope;
    size_t len = 0;
    TRY(envelope_parse(bytes_of(w->sealed, w->len), &envelope));
    TRY(scheme_open(bench->scheme, &w->session, &bench->keys, &envelope, opened, &len));
    bool right = len == DEK_LEN && memcmp(opened, w->dek, DEK_LEN) == 0;
    return right ? ERR_OK : err_make(ERR_INTERNAL, "wrong DEK");
}

static struct err once(struct worker *w)
{
    return w->bench->seal ? seal_once(w) : open_once(w);
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

/* The KEK's objects, and the header of an envelope under it. */
static struct err find_kek(const struct p11_session *session, const struct settings *settings,
                           struct bench *bench)
{
    struct key_set *keys = &bench->keys;
    char ring[RING_NAME_MAX + 1];
    struct key_id key_id;
    keys->scheme = settings->scheme;
    TRY(key_id_parse(bytes_of_string(settings->key_id), ring, &keys->ids[0]));
    (void)snprintf(key_id.text, sizeof key_id.text, "%s", settings->key_id);
    for (size_t i = 0; i < scheme_roles(keys->scheme); i++) {
        struct p11_key key;
        enum key_class of = key_role_class(keys->scheme, i);
        TRY(object_id_of_role(&keys->ids[0], keys->scheme, i, &keys->ids[i]));
        TRY(p11_key_find(session, of, &keys->ids[i], &keys->handles[i]));
        TRY(p11_key_read(session, of, keys->handles[i], &key));
        keys->types[i] = key.attributes.type;
    }
    struct writer w = writer_over(bench->header, sizeof bench->header);
    envelope_put_header(&w, settings->scheme, FAMILY_V2, &key_id);
    bench->header_len = w.len;
    return w.full ? err_make(ERR_INTERNAL, "find_kek") : ERR_OK;
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
    TRY(find_kek(&workers[0].session, settings, bench));
    TRY(scheme_prepare(bench->scheme, &workers[0].session, &bench->keys));
    for (uint64_t i = 0; i < settings->threads; i++) {
        TRY(random_fill(workers[i].dek, DEK_LEN));
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
    struct timespec rest = {.tv_sec = (time_t)settings->seconds};
    rest.tv_nsec = (long)((settings->seconds - (double)rest.tv_sec) * 1e9);
    (void)nanosleep(&rest, NULL);
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
    (void)printf("{\"kind\": \"raw %s\", \"scheme\": \"%s\", \"in_flight\": %llu, \"seconds\": "
                 "%.3f, \"calls\": %llu, "
                 "\"calls_per_s\": %.1f, \"p50_us\": %zu, \"p99_us\": %zu, "
                 "\"servers\": [{\"pid\": %d, \"cpu_us_per_call\": %.2f, \"rss_kib\": %ld}]}\n",
                 settings->seal ? "seal" : "open", scheme_name(settings->scheme),
                 (unsigned long long)settings->threads, totals->seconds,
                 (unsigned long long)totals->done, (double)totals->done / totals->seconds,
                 percentile(totals, 0.5), percentile(totals, 0.99), (int)getpid(),
                 (double)totals->cpu_ns / 1e3 / (double)(totals->done ? totals->done : 1),
                 rss_kib());
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
    case 'y':
        to->key_id = value;
        return true;
    case 's':
        to->scheme = scheme_from_name(bytes_of_string(value));
        return scheme_find(to->scheme) != NULL;
    case 'i':
        return !err_is(parse_u64(value, 1, THREADS_MAX, &to->threads));
    case 'd':
        to->seconds = strtod(value, NULL);
        return to->seconds > 0 && to->seconds <= SECONDS_MAX;
    case 'n':
        to->names_schemes = true;
        return true;
    default:
        return false;
    }
}

static bool parse(int argc, char **argv, struct settings *to)
{
    static const struct option options[] = {
        {"module", required_argument, NULL, 'm'},   {"uri", required_argument, NULL, 'u'},
        {"pin-file", required_argument, NULL, 'p'}, {"kind", required_argument, NULL, 'k'},
        {"key-id", required_argument, NULL, 'y'},   {"scheme", required_argument, NULL, 's'},
        {"schemes", no_argument, NULL, 'n'},        {"in-flight", required_argument, NULL, 'i'},
        {"seconds", required_argument, NULL, 'd'},  {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!set(to, option, optarg))
            return false;
    bool whole = to->module && to->uri && to->pin_file && to->key_id && to->has_kind;
    return optind == argc && (whole || to->names_schemes);
}

static struct err measure(const struct settings *settings)
{
    static struct worker workers[THREADS_MAX];
    static struct totals totals;
    static struct bench bench;
    secret_init_apart();
    bench.seal = settings->seal;
    bench.scheme = scheme_find(settings->scheme);
    TRY(prepare(settings, workers, &bench));
    TRY(run(workers, settings, &totals));
    print_result(settings, &totals);
    return ERR_OK;
}

static int name_schemes(void)
{
    enum scheme scheme;
    for (size_t i = 0; (scheme = scheme_by_preference(i)) != SCHEME_NONE; i++)
        if (scheme_find(scheme))
            (void)puts(scheme_name(scheme));
    return 0;
}

int main(int argc, char **argv)
{
    struct settings settings = {.scheme = SCHEME_AES_GCM, .threads = 1, .seconds = 5};
    char text[160];
    if (!parse(argc, argv, &settings)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    if (settings.names_schemes)
        return name_schemes();
    struct err e = measure(&settings);
    if (err_is(e))
        (void)fprintf(stderr, "bench-raw: %s\n", err_format(e, text, sizeof text));
    return err_exit_code(e);
}
