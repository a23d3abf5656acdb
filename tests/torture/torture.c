/* SPDX-License-Identifier: Apache-2.0 */
/* Every PKCS#11 call of every scenario fails in every way, one at a time. A first run of a scenario
 * records its calls; then each case breaks one of them, and looks at what became of it. */
#include "kinds.h"
#include "lasting.h"
#include "scenarios.h"
#include "stopping.h"
#include "tally.h"

#include "async.h"
#include "lateness.h"
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
    CALL_COMES_MS = 6000,
    TRIES = 3,       /* of a case that was disturbed before its fault */
    RECORDINGS = 12, /* at most, until two in a row are the same */
    STOP_SHARE = 4,  /* a sample takes the fewer of stops, which take longer */
};

#define LASTING "lasting"

/* --- one case ---------------------------------------------------------------------------- */

struct sweep {
    struct scene scene;
    const struct scenario *scenario;
    struct calls calls; /* of a run without faults */
};

/* What breaks in a case, and how. */
struct place {
    size_t number; /* of the call; 0: each of that function */
    const char *function;
    const struct kind *kind; /* NULL: the daemon is stopped inside it */
};

typedef void run_case(struct sweep *w, const struct place *at, struct verdict *v);

static bool fault_came(void *context)
{
    return faults_count((const struct harness *)context, "fault") > 0;
}

static bool same_until(const struct calls *a, const struct calls *b, size_t n)
{
    if (a->n < n || b->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

/* Acts with that call broken. False: something else called meanwhile, and the case says nothing. */
static bool act_broken(struct sweep *w, size_t number, const struct kind *kind, struct result *ret,
                       struct verdict *v)
{
    struct calls calls;
    char line[128];
    const char *action = w->scenario->starts && kind->at_start ? kind->at_start : kind->action;
    struct scene *s = &w->scene;
    if (w->scenario->starts)
        scene_stop(s, v);
    if (w->scenario->prepare)
        w->scenario->prepare(s);
    (void)snprintf(line, sizeof line, "on * call %zu %s\n", number, action);
    scene_arm(s, line);
    *ret = (struct result){.code = -1};
    w->scenario->act(s, ret, v);
    if (!await(fault_came, s->h, CALL_COMES_MS, NULL))
        return false;
    scene_calls(s, &calls);
    return same_until(&calls, &w->calls, number);
}

/* The case itself. */
static void judge_code(const struct sweep *w, const struct kind *kind, const struct result *result,
                       struct verdict *v)
{
    bool encrypt = w->scenario->encrypt;
    if (result->other)
        WRONG(v, "another plaintext was answered");
    if (result->code >= 0 && !kind_allows(kind, encrypt, result->code))
        WRONG(v, "the client got %s: %s", async_code_name((grpc_status_code)result->code),
              result->text);
}

/* A try is burnt: nobody tries again before a person has looked. */
static void look_after_pin(struct sweep *w, struct verdict *v)
{
    struct scene *s = &w->scene;
    if (!scene_await_status(s, "PIN", SCENE_TOLD_MS))
        WRONG(v, "Status does not tell of the PIN");
    if (faults_count(s->h, "C_Login") != 1)
        WRONG(v, "it was tried %u times", faults_count(s->h, "C_Login"));
    scene_mend_pin(s);
}

static void run_broken(struct sweep *w, const struct place *at, struct verdict *v)
{
    struct scene *s = &w->scene;
    const struct kind *kind = at->kind;
    struct result result = {.code = -1};
    char text[256];
    int tries = 1;
    while (!act_broken(w, at->number, kind, &result, v) && !is_wrong(v)) {
        if (tries++ == TRIES) {
            WRONG(v, "the call is never made, or those before it are not those of the recording");
            return;
        }
        scene_expect_well(s, now_ms(), v);
        (void)scene_settle(s);
    }
    judge_code(w, kind, &result, v);
    if ((kind->flags & KIND_ENDS) && !(w->scenario->starts && kind->at_start))
        scene_expect_ended(s, v);
    if ((kind->flags & KIND_BURNS_PIN) && strcmp(at->function, "C_Login") == 0)
        look_after_pin(w, v);
    scene_expect_well(s, now_ms(), v);
    scene_expect_unchanged(s, v);
    scene_expect_logins(s, v);
    for (size_t i = 0; i < 2 && !is_wrong(v); i++)
        if (scene_decrypt(s, i, v, text, NULL) != GRPC_STATUS_OK)
            WRONG(v, "what was sealed before does not open: %s", text);
    if (w->scenario->encrypt && result.code == GRPC_STATUS_OK && !is_wrong(v) &&
        scene_decrypt(s, s->n_kept - 1, v, text, NULL) != GRPC_STATUS_OK)
        WRONG(v, "what was sealed meanwhile does not open: %s", text);
}

/* --- all cases of a scenario ------------------------------------------------------------- */

struct options {
    uint64_t seed;
    size_t sample; /* cases; 0: all */
    unsigned jobs;
    const char *only; /* a scenario; NULL: all of them */
    const char *kind;
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

/* Whether a case is among those of this run, and this worker's. A sample takes of every scenario
 * the same share. */
static bool is_chosen(size_t scenario, size_t i, size_t total)
{
    uint64_t hash = scramble(scramble(options.seed + scenario) + i);
    size_t share = options.sample / (scenarios_n + 1);
    if (options.kind && strcmp(kinds[i % kinds_n].name, options.kind) != 0)
        return false;
    if (options.sample != 0 && hash % total >= share)
        return false;
    return i % options.jobs == worker;
}

/* One run without a fault. */
static void record_once(struct sweep *w, struct calls *ret)
{
    struct verdict v = {.text = ""};
    struct result result = {.code = -1};
    struct scene *s = &w->scene;
    if (!scene_settle(s))
        fail_msg("%s: not well before it", w->scenario->name);
    if (w->scenario->starts)
        scene_stop(s, &v);
    if (w->scenario->prepare)
        w->scenario->prepare(s);
    scene_arm(s, "");
    w->scenario->act(s, &result, &v);
    if (!scene_settle(s))
        fail_msg("%s: not well without any fault", w->scenario->name);
    scene_calls_settled(s, ret);
    if (is_wrong(&v))
        fail_msg("%s, without any fault: %s", w->scenario->name, v.text);
}

/* Two runs in a row have to make the same calls. */
static void record(struct sweep *w)
{
    static struct calls before;
    record_once(w, &w->calls);
    for (int i = 1; i < RECORDINGS; i++) {
        before = w->calls;
        record_once(w, &w->calls);
        if (w->calls.n > 0 && w->calls.n == before.n && same_until(&w->calls, &before, before.n))
            return;
    }
    fail_msg("%s: %zu calls were recorded, and another time %zu or others", w->scenario->name,
             before.n, w->calls.n);
}

/* Such as "Encrypt v2, call 7 C_Encrypt, hang". */
static const char *name_place(const struct sweep *w, const struct place *at, char ret[static 128])
{
    char which[32] = "every";
    if (at->number > 0)
        (void)snprintf(which, sizeof which, "call %zu", at->number);
    (void)snprintf(ret, 128, "%s, %s %s, %s", w->scenario->name, which, at->function,
                   at->kind ? at->kind->name : "stopped inside it");
    return ret;
}

/* On a busy machine token.timeout may have been over by itself: the case says nothing, and is run
 * once more. */
static void run_undisturbed(struct sweep *w, run_case *run, const struct place *at,
                            struct verdict *v)
{
    struct lateness lateness;
    char name[128];
    lateness_start(&lateness);
    run(w, at, v);
    lateness_stop(&lateness);
    if (!is_wrong(v) || !lateness.busy)
        return;
    printf("  AGAIN, AS THE MACHINE IS BUSY (late by %.0f ms): %s: %s\n", lateness.worst_ms,
           name_place(w, at, name), v->text);
    scene_restart(&w->scene);
    v->text[0] = '\0';
    run(w, at, v);
}

static void visit(struct sweep *w, run_case *run, const struct place *at, size_t *ran,
                  size_t *passed)
{
    struct verdict v = {.text = ""};
    char name[128];
    int64_t began = now_ms();
    run_undisturbed(w, run, at, &v);
    (*ran)++;
    *passed += !is_wrong(&v);
    if (is_wrong(&v))
        print_error("WRONG: %s: %s\n", name_place(w, at, name), v.text);
    else if (options.verbose)
        printf("  %s: %lld ms\n", name_place(w, at, name), (long long)(now_ms() - began));
    (void)fflush(stdout);
    if (is_wrong(&v))
        scene_restart(&w->scene);
}

static void run_stopped(struct sweep *w, const struct place *at, struct verdict *v)
{
    struct scene *s = &w->scene;
    int tries = 0;
    do {
        (void)scene_settle(s);
        if (w->scenario->prepare)
            w->scenario->prepare(s);
    } while (!stopping_case(s, w->scenario, at->number, v) && ++tries < TRIES);
    if (tries == TRIES)
        WRONG(v, "the call is never made");
}

static void visit_calls(struct sweep *w, size_t scenario)
{
    struct tally *tally = &tallies[worker];
    size_t total = w->calls.n * kinds_n, swept = 0;
    for (size_t i = 0; i < total; i++, swept++) {
        const struct place at = {i / kinds_n + 1, w->calls.names[i / kinds_n], &kinds[i % kinds_n]};
        if (is_chosen(scenario, i, total))
            visit(w, run_broken, &at, &tally->cases, &tally->passed);
    }
    for (size_t i = 0; i < w->calls.n && !options.kind; i++) {
        const struct place at = {.number = i + 1, .function = w->calls.names[i]};
        if (is_chosen(scenario, i, w->calls.n * STOP_SHARE))
            visit(w, run_stopped, &at, &tally->stops, &tally->stops_passed);
    }
    assert_int_equal(swept, total);
}

static void sweep_scenario(struct sweep *w, size_t scenario)
{
    w->scenario = &scenarios[scenario];
    if (options.only && strcmp(options.only, w->scenario->name) != 0)
        return;
    if (w->scenario->begin)
        w->scenario->begin(&w->scene);
    record(w);
    tallies[worker].calls[scenario] = w->calls.n;
    for (size_t i = 0; options.verbose && i < w->calls.n; i++)
        printf("  %s, call %zu: %s\n", w->scenario->name, i + 1, w->calls.names[i]);
    visit_calls(w, scenario);
    if (w->scenario->end)
        w->scenario->end(&w->scene);
}

/* --- faults that stay -------------------------------------------------------------------- */

static size_t count_lasting_kinds(void)
{
    size_t n = 0;
    for (size_t i = 0; i < kinds_n; i++)
        n += (kinds[i].flags & KIND_LASTS) != 0;
    return n;
}

static void run_lasting(struct sweep *w, const struct place *at, struct verdict *v)
{
    lasting_case(&w->scene, at->function, at->kind, v);
}

/* While the daemon probes every second, as sick tokens are probed. */
static void sweep_lasting(struct sweep *w)
{
    static struct calls functions;
    static const struct scenario start = {.name = LASTING, .starts = true, .act = scenario_start};
    struct tally *tally = &tallies[worker];
    if (options.only && strcmp(options.only, LASTING) != 0)
        return;
    w->scenario = &start;
    record(w);
    lasting_functions(&w->calls, &functions);
    tallies[worker].functions = functions.n;
    scenario_set_probes(&w->scene, SCENARIO_PROBES);
    for (size_t i = 0; i < functions.n * kinds_n; i++) {
        const struct place at = {0, functions.names[i / kinds_n], &kinds[i % kinds_n]};
        if ((at.kind->flags & KIND_LASTS) && is_chosen(scenarios_n, i, functions.n * kinds_n))
            visit(w, run_lasting, &at, &tally->lasting, &tally->lasting_passed);
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
    h->passed = tallies[worker].passed == tallies[worker].cases &&
                tallies[worker].stops_passed == tallies[worker].stops &&
                tallies[worker].lasting_passed == tallies[worker].lasting;
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

static bool tell(void)
{
    struct tally sum;
    size_t calls = 0, swept = 0;
    bool good = sum_up(&sum);
    for (size_t i = 0; i < scenarios_n; i++) {
        if (sum.calls[i] > 0)
            printf("figure: %s makes %zu PKCS#11 calls\n", scenarios[i].name, sum.calls[i]);
        calls += sum.calls[i];
        swept += sum.calls[i] > 0;
    }
    printf(
        "figure: torture: %zu scenarios x %zu calls in all x %zu kinds = %zu cases; %zu run, %zu "
        "passed; well again after at most %lld ms\n",
        swept, calls, kinds_n, calls * kinds_n, sum.cases, sum.passed, (long long)sum.slowest_ms);
    printf("figure: torture, stopped inside a call: %zu cases; %zu run, %zu passed\n", calls,
           sum.stops, sum.stops_passed);
    size_t lasting = sum.functions * count_lasting_kinds();
    printf("figure: torture, at every call for a while: %zu functions x %zu kinds = %zu cases; %zu "
           "run, %zu passed\n",
           sum.functions, count_lasting_kinds(), lasting, sum.lasting, sum.lasting_passed);
    if (!good)
        print_error("the workers recorded different calls, or one did not finish\n");
    bool all = options.sample == 0 && !options.kind;
    return good && sum.passed == sum.cases && sum.stops_passed == sum.stops &&
           sum.lasting_passed == sum.lasting && sum.cases + sum.lasting > 0 &&
           (!all || (sum.cases == calls * kinds_n && sum.stops == calls && sum.lasting == lasting));
}

/* --- the command line -------------------------------------------------------------------- */

static int usage(void)
{
    (void)fputs("usage: torture [--all | --sample N] [--seed N] [--jobs N] [--verbose]\n"
                "               [--scenario NAME] [--kind NAME]\n"
                "  --all       every case; else a sample, which --seed chooses\n",
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
