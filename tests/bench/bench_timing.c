/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the time that a bad ciphertext takes to be refused says what is bad about it. Kinds of
 * bad ciphertext go in random order, in one run, through the scheme's own open function on a token;
 * Welch's t for each two kinds that can be made without a key must stay below 4.5.
 *
 * Prints a line for each pair, figures of the last run, and exits with 1 where a pair is told
 * apart. A pair that is above the limit is measured again, with all others and from the beginning:
 * it is told apart where it is above in all of three runs, each time the same one slower. A
 * difference that is there stays; what the machine did at the time does not.
 *
 * --leaky compares MACs byte by byte up to the first that differs, as a careless programmer would:
 * then the exit code must be 1, or the measurement finds nothing. */
#include "bad_ciphertexts.h"
#include "bench_login.h"
#include "cleanup.h"
#include "secret.h"
#include "welch.h"

#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

enum { HEAP = 1 << 16, RUNS = 3, TIMINGS = 100000, TIMINGS_MAX = 10000000, PAIRS_MAX = 64 };

static const double limit = 4.5;
static bool leaky;

static const char usage[] =
    "usage: bench-timing --module PATH --uri URI --pin-file PATH --scheme NAME\n"
    "  --timings N   of each kind (default 100000)\n"
    "  --leaky       with a comparison of MACs that ends early: 1 is the right exit code\n";

struct settings {
    const char *module, *uri, *pin_file;
    enum scheme scheme;
    uint64_t timings;
};

/* What became of two kinds in the runs so far. */
struct pair {
    size_t a, b;
    double t;   /* of the last run */
    bool above; /* in every run, with the same sign */
};

struct bench {
    struct p11_session session;
    struct bad_ciphertexts *bad;
    struct timings timings[BAD_KINDS_MAX];
    struct pair pairs[PAIRS_MAX];
    size_t n_pairs;
};

/* In the place of bytes_equal_secret. */
bool __real_bytes_equal_secret(struct bytes a, struct bytes b);
bool __wrap_bytes_equal_secret(struct bytes a, struct bytes b);
bool __wrap_bytes_equal_secret(struct bytes a, struct bytes b)
{
    if (!leaky)
        return __real_bytes_equal_secret(a, b);
    const volatile uint8_t *x = a.data, *y = b.data;
    for (size_t i = 0; i < a.len; i++)
        if (x[i] != y[i])
            return false;
    return a.len == b.len;
}

/* --- measuring --------------------------------------------------------------------------- */

static struct err measure_once(struct bench *b, size_t kind)
{
    uint8_t opened[ENVELOPE_MAX];
    struct envelope envelope;
    size_t len;
    struct timings *t = &b->timings[kind];
    TRY(bad_ciphertext(b->bad, kind, &envelope));
    int64_t started = clock_monotonic_ns();
    struct err e = bad_ciphertext_open(b->bad, &envelope, opened, &len);
    int64_t took = clock_monotonic_ns() - started;
    if (!err_is(e))
        return err_make(ERR_INTERNAL, "a bad ciphertext was opened");
    if (e.code != ERR_AUTH && e.kind != ERR_KIND_CKR)
        return e;
    if (t->n < t->room)
        t->ns[t->n++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
    return ERR_OK;
}

/* Each kind is drawn anew each time, whatever came before it: in any fixed order some kind would
 * always follow the same other one, and find what that left in the caches. */
static struct err measure(struct bench *b)
{
    size_t kinds = bad_kinds(b->bad), full = 0;
    for (size_t i = 0; i < b->timings[0].room / 20; i++) /* what is used first is slower */
        TRY(measure_once(b, bad_random(b->bad, kinds)));
    for (size_t k = 0; k < kinds; k++)
        b->timings[k].n = 0;
    while (full < kinds) {
        TRY(measure_once(b, bad_random(b->bad, kinds)));
        for (full = 0; full < kinds && b->timings[full].n == b->timings[full].room; full++)
            ;
    }
    for (size_t k = 0; k < kinds; k++)
        timings_sort(&b->timings[k]);
    return ERR_OK;
}

/* --- judging ----------------------------------------------------------------------------- */

static bool judged(const struct bench *b, const struct pair *pair)
{
    return bad_kind(b->bad, pair->a)->keyless && bad_kind(b->bad, pair->b)->keyless;
}

static void list_pairs(struct bench *b)
{
    size_t kinds = bad_kinds(b->bad);
    for (size_t x = 0; x < kinds; x++)
        for (size_t y = x + 1; y < kinds && b->n_pairs < PAIRS_MAX; y++)
            b->pairs[b->n_pairs++] = (struct pair){.a = x, .b = y, .above = true};
}

/* Whether some pair is above the limit in this run and was in all before. */
static bool judge(struct bench *b, bool first)
{
    bool again = false;
    for (size_t i = 0; i < b->n_pairs; i++) {
        struct pair *pair = &b->pairs[i];
        double before = pair->t;
        pair->t = welch_worst(&b->timings[pair->a], &b->timings[pair->b]);
        pair->above = pair->above && fabs(pair->t) >= limit && (first || before * pair->t > 0);
        again = again || (pair->above && judged(b, pair));
    }
    return again;
}

static void print_pairs(const struct bench *b)
{
    for (size_t i = 0; i < b->n_pairs; i++) {
        const struct pair *pair = &b->pairs[i];
        const struct timings *x = &b->timings[pair->a], *y = &b->timings[pair->b];
        (void)printf("%s | %s | %.0f | %.0f | %.2f | %.2f%s\n", bad_kind(b->bad, pair->a)->name,
                     bad_kind(b->bad, pair->b)->name, timings_fast_mean(x), timings_fast_mean(y),
                     welch_t(x, y, INFINITY), pair->t,
                     !judged(b, pair) ? " | needs a key"
                     : pair->above    ? " | TOLD APART"
                                      : "");
    }
}

static void print_names(const struct bench *b, bool keyless)
{
    const char *between = "";
    for (size_t k = 0; k < bad_kinds(b->bad); k++) {
        if (bad_kind(b->bad, k)->keyless != keyless)
            continue;
        (void)printf("%s%s", between, bad_kind(b->bad, k)->name);
        between = ", ";
    }
}

static double fastest(const struct bench *b, bool keyless)
{
    double least = INFINITY;
    for (size_t k = 0; k < bad_kinds(b->bad); k++)
        if (bad_kind(b->bad, k)->keyless == keyless)
            least = fmin(least, timings_fast_mean(&b->timings[k]));
    return least;
}

/* A row of a table: of the pairs that are judged, or of those that need a key, if there are any. */
static void print_figure(const struct bench *b, const struct settings *s, bool judging,
                         unsigned runs)
{
    double worst = 0;
    size_t n = 0;
    for (size_t i = 0; i < b->n_pairs; i++) {
        if (judged(b, &b->pairs[i]) != judging)
            continue;
        worst = fmax(worst, fabs(b->pairs[i].t));
        n++;
    }
    if (n == 0)
        return;
    (void)printf("figure: %s%s | ", scheme_name(s->scheme),
                 leaky ? ", with a comparison that ends early" : "");
    print_names(b, judging);
    (void)printf("%s | %zu | %llu | %.1f | %.2f | %u\n", judging ? "" : ", against those above", n,
                 (unsigned long long)s->timings, fastest(b, judging) / 1000, worst, runs);
}

/* --- the whole ----------------------------------------------------------------------------- */

/* On one processor: which it is should not differ between two timings. */
static void stay_here(void)
{
    cpu_set_t set;
    int cpu = sched_getcpu();
    CPU_ZERO(&set);
    CPU_SET(cpu < 0 ? 0 : (size_t)cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static struct err log_in(const struct settings *s, struct p11_session *ret)
{
    struct p11_module *module = NULL;
    struct p11_token token;
    struct advice advice = {.text = ""};
    bool locked = false;
    TRY(secret_init(HEAP, &locked));
    struct err e = p11_module_load(s->module, &module, &advice);
    if (!err_is(e))
        e = p11_token_find(module, s->uri, &token, &advice);
    if (err_is(e))
        (void)fprintf(stderr, "bench-timing: %s\n", advice.text);
    TRY(e);
    TRY(p11_session_open(module, &token, true, ret));
    return bench_log_in(ret, s->pin_file);
}

static struct err prepare(struct bench *b, const struct settings *s)
{
    TRY(log_in(s, &b->session));
    TRY(bad_ciphertexts_new(&b->session, s->scheme, &b->bad));
    for (size_t k = 0; k < bad_kinds(b->bad); k++) {
        b->timings[k] = (struct timings){calloc(s->timings, sizeof(uint32_t)), 0, s->timings};
        if (!b->timings[k].ns)
            return err_make(ERR_EXHAUSTED, "timings");
    }
    list_pairs(b);
    stay_here();
    return ERR_OK;
}

static struct err run(struct bench *b, const struct settings *s, bool *ret_apart)
{
    bool apart = true;
    unsigned runs = 0;
    while (runs < RUNS && apart) {
        TRY(measure(b));
        apart = judge(b, runs++ == 0);
        print_pairs(b);
    }
    print_figure(b, s, true, runs);
    print_figure(b, s, false, runs);
    *ret_apart = apart;
    return ERR_OK;
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
    case 's':
        to->scheme = scheme_from_name(bytes_of_string(value));
        return to->scheme != SCHEME_NONE;
    case 'n':
        return !err_is(parse_u64(value, 100, TIMINGS_MAX, &to->timings));
    case 'l':
        leaky = true;
        return true;
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
        {"scheme", required_argument, NULL, 's'},
        {"timings", required_argument, NULL, 'n'},
        {"leaky", no_argument, NULL, 'l'},
        {NULL, 0, NULL, 0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;)
        if (!set(to, option, optarg))
            return false;
    return optind == argc && to->module && to->uri && to->pin_file && to->scheme != SCHEME_NONE;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct settings settings = {.timings = TIMINGS};
    bool apart = false;
    char text[160];
    if (!parse(argc, argv, &settings)) {
        (void)fputs(usage, stderr);
        return 2;
    }
    struct err e = prepare(&bench, &settings);
    if (!err_is(e))
        e = run(&bench, &settings, &apart);
    struct err gone = bad_ciphertexts_free(bench.bad);
    for (size_t k = 0; k < BAD_KINDS_MAX; k++)
        free(bench.timings[k].ns);
    if (!err_is(e))
        e = gone;
    if (err_is(e))
        (void)fprintf(stderr, "bench-timing: %s\n", err_format(e, text, sizeof text));
    return err_is(e) ? 3 : apart;
}
