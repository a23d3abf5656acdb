/* SPDX-License-Identifier: Apache-2.0 */
/* Every PKCS#11 call of every scenario fails in every way, one at a time. A first run of a scenario
 * records its calls; then each case breaks one of them, and looks at what became of it. */
#include "cases.h"
#include "ckr_rows.h"
#include "lasting.h"
#include "stopping.h"
#include "tally.h"

#include "text.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum {
    ALL_SECONDS = 3600,
    SAMPLE = 40,
    JOBS = 4, /* most of the time they wait */
    JOBS_MAX = 16,
    SORTS_BESIDES = 1, /* the scenarios: what lasts */
    STOP_SHARE = 4,    /* a sample takes the fewer of stops, which take longer */
    CKR_SHARE = 2,     /* likewise of CKRs, most of which are alike */
    WHAT_SIZE = 256
};

#define LASTING "lasting"

/* --- all cases of a scenario ------------------------------------------------------------- */

struct options {
    uint64_t seed;
    size_t sample; /* cases; 0: all */
    unsigned jobs;
    const char *only; /* a scenario; NULL: all of them */
    const char *kind; /* how its name begins; NULL: all of them */
    bool verbose;
};

static struct options options = {.sample = SAMPLE, .jobs = JOBS};
static struct tally *tallies; /* one a worker */
static unsigned worker;

static uint64_t scramble(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Whether a case is among those of this run, and this worker's. A sample takes of every sort of
 * cases the same share. */
static bool is_chosen(size_t sort, size_t i, size_t total, const char *kind)
{
    uint64_t hash = scramble(scramble(options.seed + sort) + i);
    size_t share = options.sample / (scenarios_n + SORTS_BESIDES);
    if (options.kind && (!kind || strncmp(kind, options.kind, strlen(options.kind)) != 0))
        return false;
    if (options.sample != 0 && hash % total >= share)
        return false;
    return i % options.jobs == worker;
}

/* Writes down what a case came to, and leaves a daemon to the next that is well. */
static void conclude(struct sweep *w, struct count *count, const struct verdict *v,
                     const char *what, int64_t began)
{
    count->run++;
    count->passed += !is_wrong(v);
    if (is_wrong(v))
        print_error("WRONG: %s: %s\n", what, v->text);
    else if (options.verbose)
        printf("  %s: %lld ms\n", what, (long long)(now_ms() - began));
    (void)fflush(stdout);
    if (is_wrong(v))
        scene_restart(&w->scene);
}

static void visit(struct sweep *w, case_function *run, const struct place *at, struct count *count)
{
    struct verdict v = {.text = ""};
    char what[WHAT_SIZE], which[32] = "every";
    int64_t began = now_ms();
    if (at->number > 0)
        (void)snprintf(which, sizeof which, "call %zu", at->number);
    (void)snprintf(what, sizeof what, "%s, %s %s, %s", w->scenario->name, which, at->function,
                   at->kind ? at->kind->name : "stopped inside it");
    case_run(w, run, at, what, &v);
    conclude(w, count, &v, what, began);
}

static void visit_call(struct sweep *w, size_t number, const struct kind *kind, struct count *count)
{
    const struct place at = {number, w->calls.names[number - 1], kind};
    visit(w, case_break, &at, count);
}

static void stop_inside(struct sweep *w, const struct place *at, struct verdict *v)
{
    struct scene *s = &w->scene;
    int tries = 0;
    do {
        (void)scene_settle(s, v);
        if (w->scenario->prepare)
            w->scenario->prepare(s);
    } while (!stopping_case(s, w->scenario, at->number, v) && ++tries < CASE_TRIES);
    if (tries == CASE_TRIES)
        WRONG(v, "the call is never made");
}

static void visit_stop(struct sweep *w, size_t number)
{
    const struct place at = {.number = number, .function = w->calls.names[number - 1]};
    visit(w, stop_inside, &at, &tallies[worker].stops);
}

static void sweep_kinds(struct sweep *w, size_t scenario)
{
    struct count *count = &tallies[worker].once;
    size_t total = w->calls.n * kinds_n;
    for (size_t i = 0; i < total; i++) {
        const struct kind *kind = &kinds[i % kinds_n];
        if (!kind_fits(kind, w->calls.names[i / kinds_n]))
            continue;
        count->all++;
        if (is_chosen(scenario, i, total, kind->name))
            visit_call(w, i / kinds_n + 1, kind, count);
    }
}

/* 0: the scenario does not call it. */
static size_t first_call(const struct sweep *w, const char *function)
{
    for (size_t i = 0; i < w->calls.n; i++)
        if (strcmp(w->calls.names[i], function) == 0)
            return i + 1;
    return 0;
}

/* Every CKR that there is, once in the first call of one function. */
static void sweep_ckrs(struct sweep *w, size_t scenario)
{
    static struct ckr_row rows[CKR_ROWS_MAX];
    struct count *count = &tallies[worker].ckrs;
    const char *function = w->scenario->ckr_at;
    size_t number = function ? first_call(w, function) : 0;
    size_t n = number > 0 ? ckr_rows_read(rows) : 0;
    count->all += n;
    for (size_t i = 0; i < n; i++) {
        const struct kind kind = ckr_row_kind(&rows[i], function);
        if (is_chosen(scenarios_n + 1 + scenario, i, n * CKR_SHARE, kind.name))
            visit_call(w, number, &kind, count);
    }
}

static void sweep_scenario(struct sweep *w, size_t scenario)
{
    w->scenario = &scenarios[scenario];
    if (options.only && strcmp(options.only, w->scenario->name) != 0)
        return;
    if (w->scenario->begin)
        w->scenario->begin(&w->scene);
    case_record(w);
    tallies[worker].calls[scenario] = w->calls.n;
    for (size_t i = 0; options.verbose && i < w->calls.n; i++)
        printf("  %s, call %zu: %s\n", w->scenario->name, i + 1, w->calls.names[i]);
    sweep_kinds(w, scenario);
    sweep_ckrs(w, scenario);
    tallies[worker].stops.all += w->calls.n;
    for (size_t i = 0; i < w->calls.n; i++)
        if (is_chosen(scenario, i, w->calls.n * STOP_SHARE, NULL))
            visit_stop(w, i + 1);
    if (w->scenario->end)
        w->scenario->end(&w->scene);
}

/* --- faults that stay -------------------------------------------------------------------- */

static void last(struct sweep *w, const struct place *at, struct verdict *v)
{
    lasting_case(&w->scene, at->function, at->kind, v);
}

static void visit_lasting(struct sweep *w, const char *function, const struct kind *kind)
{
    const struct place at = {0, function, kind};
    visit(w, last, &at, &tallies[worker].lasting);
}

/* While the daemon probes every second, as sick tokens are probed. */
static void sweep_lasting(struct sweep *w)
{
    static struct calls functions;
    static const struct scenario start = {.name = LASTING, .starts = true, .act = scenario_start};
    if (options.only && strcmp(options.only, LASTING) != 0)
        return;
    w->scenario = &start;
    case_record(w);
    lasting_functions(&w->calls, &functions);
    tallies[worker].functions = functions.n;
    scenario_set_probes(&w->scene, SCENARIO_PROBES);
    size_t total = functions.n * kinds_n;
    for (size_t i = 0; i < total; i++) {
        const char *function = functions.names[i / kinds_n];
        const struct kind *kind = &kinds[i % kinds_n];
        if ((kind->flags & KIND_LASTS) == 0 || !kind_fits(kind, function))
            continue;
        tallies[worker].lasting.all++;
        if (is_chosen(scenarios_n, i, total, kind->name))
            visit_lasting(w, function, kind);
    }
    scenario_set_probes(&w->scene, SCENARIO_TOKEN);
}

static void test_all(void **state)
{
    static struct sweep w;
    struct harness *h = *state;
    struct verdict v = {.text = ""};
    char text[256];
    scene_begin(&w.scene, h, SCENARIO_TOKEN, SCENARIO_RING);
    assert_int_equal(scene_encrypt(&w.scene, KMS_API_V1BETA1, &v, text), GRPC_STATUS_OK);
    assert_int_equal(scene_encrypt(&w.scene, KMS_API_V2, &v, text), GRPC_STATUS_OK);
    for (size_t i = 0; i < scenarios_n; i++)
        sweep_scenario(&w, i);
    sweep_lasting(&w);
    scene_arm(&w.scene, "");
    scene_expect_all_opens(&w.scene, &v);
    if (is_wrong(&v))
        fail_msg("%s", v.text);
    tallies[worker].slowest_ms = w.scene.slowest_ms;
    tallies[worker].finished = true;
    h->passed = tally_good(&tallies[worker], false);
    scene_end(&w.scene);
}

/* --- workers ----------------------------------------------------------------------------- */

static int work(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all, harness_setup, harness_teardown),
    };
    return HARNESS_RUN("torture", tests, ALL_SECONDS);
}

static int start_workers(pid_t pids[static JOBS_MAX])
{
    tallies = mmap(NULL, sizeof *tallies * JOBS_MAX, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (tallies == MAP_FAILED)
        return 1;
    for (worker = 0; worker < options.jobs; worker++) {
        (void)fflush(stdout);
        pids[worker] = fork();
        if (pids[worker] == 0)
            exit(work());
        if (pids[worker] < 0)
            return 1;
    }
    return 0;
}

/* The workers' sum. False where they differ in what they recorded, or one did not finish. */
static bool sum_up(struct tally *sum)
{
    bool good = true;
    *sum = tallies[0];
    for (unsigned i = 1; i < options.jobs; i++)
        good = tally_add(sum, &tallies[i]) && good;
    return good && sum->finished;
}

static void tell_count(const char *what, const struct count *count)
{
    printf("figure: torture, %s: %zu cases; %zu run, %zu passed\n", what, count->all, count->run,
           count->passed);
}

static bool tell(void)
{
    struct tally sum;
    bool good = sum_up(&sum);
    for (size_t i = 0; i < scenarios_n; i++)
        if (sum.calls[i] > 0)
            printf("figure: %s makes %zu PKCS#11 calls\n", scenarios[i].name, sum.calls[i]);
    tell_count("every call in every way", &sum.once);
    tell_count("every CKR", &sum.ckrs);
    tell_count("stopped inside a call", &sum.stops);
    tell_count("at every call for a while", &sum.lasting);
    printf("figure: torture: %zu kinds; at every call of %zu functions; well again after at most "
           "%lld ms\n",
           kinds_n, sum.functions, (long long)sum.slowest_ms);
    if (!good)
        print_error("the workers recorded different calls, or one did not finish\n");
    return good && tally_good(&sum, options.sample == 0 && !options.kind) && tally_run(&sum) > 0;
}

/* --- the command line -------------------------------------------------------------------- */

static int usage(void)
{
    (void)fputs("usage: torture [--all | --sample N] [--seed N] [--jobs N] [--verbose]\n"
                "               [--scenario NAME] [--kind NAME]\n"
                "  --all       every case; else a sample, which --seed chooses\n"
                "  --kind      those whose names begin so, such as CKR_ for docs/ckr.md's\n",
                stderr);
    return 2;
}

/* Takes one option, and its value if it has one. */
static bool read_option(char **argv, int *i)
{
    uint64_t n;
    const char *word = argv[*i];
    if (strcmp(word, "--all") == 0 || strcmp(word, "--verbose") == 0) {
        options.sample = word[2] == 'a' ? 0 : options.sample;
        options.verbose = options.verbose || word[2] == 'v';
        return true;
    }
    const char *value = argv[++*i];
    if (!value)
        return false;
    bool number = !err_is(parse_u64(value, 0, UINT32_MAX, &n));
    if (strcmp(word, "--scenario") == 0)
        options.only = value;
    else if (strcmp(word, "--kind") == 0)
        options.kind = value;
    else if (strcmp(word, "--sample") == 0 && number && n > 0)
        options.sample = n;
    else if (strcmp(word, "--seed") == 0 && number)
        options.seed = n;
    else if (strcmp(word, "--jobs") == 0 && number && n >= 1 && n <= JOBS_MAX)
        options.jobs = (unsigned)n;
    else
        return false;
    return true;
}

int main(int argc, char **argv)
{
    pid_t pids[JOBS_MAX];
    int worst = 0;
    options.seed = (uint64_t)clock_wall_ms() & UINT32_MAX;
    for (int i = 1; i < argc; i++)
        if (!read_option(argv, &i))
            return usage();
    printf("seed: %llu\n", (unsigned long long)options.seed);
    if (start_workers(pids) != 0)
        return 1;
    for (unsigned i = 0; i < options.jobs; i++) {
        int status = 0;
        (void)waitpid(pids[i], &status, 0);
        int code = WIFEXITED(status) ? WEXITSTATUS(status) : 1;
        if (code == HARNESS_SKIPPED)
            return code;
        worst = code > worst ? code : worst;
    }
    return tell() && worst == 0 ? 0 : 1;
}
