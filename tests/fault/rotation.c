/* SPDX-License-Identifier: Apache-2.0 */
/* A rotation whose agents die at each of their PKCS#11 calls, before it and after it, or fail there
 * in other ways. A first run records the calls; then each run dies at one of them, and the ring
 * must come out as if nothing had happened: one active KEK, at most one needless one, everything
 * opens, and it ends by itself.
 */
#include "faults.h"
#include "ring_objects.h"

#include "text.h"

#include <getopt.h>
#include <signal.h>
#include <string.h>

enum {
    TEST_SECONDS = 7200,
    RUN_MS = 60000,
    CALL_RECORD = 64, /* faultp11's */
    CALLS_MAX = 2048,
    RECORDS = 12, /* until two in a row are the same */
    OLD_DAYS = 100,
    STRIDE = 13 /* prime: over the runs it meets every kind of call */
};

#define NEVER "  rotateEvery: never\n"
/* A KEK of OLD_DAYS is due at once, its successor not for a month. */
#define DUE "  rotateEvery: 30d\n  activationDelay: 0s\n"

static const struct bytes dek = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};

struct calls {
    size_t n;
    char names[CALLS_MAX][CALL_RECORD];
};

/* What the ring had sealed before, and where it lies. */
struct scene {
    struct harness *h;
    struct kms_sealed sealed[KMS_API_VERSIONS];
    char old_key_id[KMS_CLIENT_KEY_ID_MAX + 1];
};

static unsigned stride = STRIDE;
static unsigned part = 1, parts = 1; /* of the places, for several programs beside each other */

/* --- the ring before --------------------------------------------------------------------- */

static void run_shell(const struct harness *h, const char *script)
{
    char *const argv[] = {(char[]){"sh"}, (char[]){"-ec"},           (char *)(uintptr_t)script,
                          (char[]){"sh"}, (char *)(uintptr_t)h->dir, NULL};
    assert_int_equal(process_run(argv, h->log, RUN_MS), 0);
}

static void seal_all(struct scene *s)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(s->h);
    struct kms_failure failure;
    struct kms_client_status status;
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        assert_false(err_is(kms_client_encrypt(client, (enum kms_api_version)v, dek,
                                               HARNESS_CALL_MS, &s->sealed[v], &failure)));
    assert_true(harness_status(s->h, &status));
    (void)snprintf(s->old_key_id, sizeof s->old_key_id, "%s", status.key_id);
}

/* A ring with one old KEK that has sealed something, kept aside for every run. */
static void prepare(struct scene *s, struct harness *h)
{
    *s = (struct scene){.h = h};
    ring_objects_make_old(h, OLD_DAYS);
    faults_use(h);
    h->config.ring = NEVER;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    seal_all(s);
    harness_stop(h);
    run_shell(h, "cd \"$1\"; mkdir before; mv tokens state before");
    h->config.ring = DUE;
    harness_write_config(h);
}

static void scene_end(struct scene *s)
{
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        kms_sealed_release(&s->sealed[v]);
}

/* As it was, with an empty record. */
static void restore(const struct scene *s)
{
    run_shell(s->h, "cd \"$1\"; rm -rf tokens state faults; cp -a before/* .; : >maker-calls");
}

/* --- the ring after ---------------------------------------------------------------------- */

static bool is_rotated(void *context)
{
    const struct scene *s = context;
    struct kms_client_status status;
    struct ring_objects list;
    if (!harness_status(s->h, &status) || strcmp(status.healthz, "ok") != 0 ||
        strcmp(status.key_id, s->old_key_id) == 0)
        return false;
    ring_objects_list(s->h, &list);
    return list.n > 1 && ring_objects_count(&list, KEY_ACTIVE) == 1 &&
           ring_objects_count(&list, KEY_DEACTIVATED) == list.n - 1;
}

static void print_ring(const struct scene *s)
{
    struct ring_objects list;
    struct kms_client_status status;
    ring_objects_list(s->h, &list);
    for (size_t i = 0; i < list.n; i++)
        print_error("  %s %u %s\n", list.objects[i].key_id.text, list.objects[i].label.generation,
                    key_state_name(list.objects[i].label.state));
    if (harness_status(s->h, &status))
        print_error("  Status: %s, key_id %s\n", status.healthz, status.key_id);
}

static const struct ring_object *active_of(const struct ring_objects *list)
{
    for (size_t i = 0; i < list->n; i++)
        if (list->objects[i].label.state == KEY_ACTIVE)
            return &list->objects[i];
    return NULL;
}

static void assert_opens_old(const struct scene *s)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(s->h);
    AUTO_SECRET struct secret *opened = NULL;
    struct kms_failure failure;
    assert_false(err_is(secret_new(512, &opened)));
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        if (err_is(kms_client_decrypt(client, (enum kms_api_version)v, &s->sealed[v],
                                      HARNESS_CALL_MS, opened, &failure)))
            fail_msg("an old ciphertext: %s: %s", failure.name, failure.message);
        assert_true(bytes_equal(secret_bytes(opened), dek));
    }
}

/* One active KEK, newer than the old one, that Status names; nothing else may ever seal again. */
static void assert_consistent(const struct scene *s, size_t keks_max)
{
    struct ring_objects list;
    struct kms_client_status status;
    ring_objects_list(s->h, &list);
    assert_in_range(list.n, 2, keks_max);
    const struct ring_object *active = active_of(&list);
    assert_non_null(active);
    assert_in_range(active->label.generation, 2, keks_max);
    assert_true(harness_status(s->h, &status));
    assert_string_equal(status.key_id, active->key_id.text);
    assert_opens_old(s);
    harness_round_trips(s->h);
}

static void await_rotated(struct scene *s)
{
    if (await(is_rotated, s, RUN_MS, NULL))
        return;
    print_ring(s);
    fail_msg("the rotation does not end");
}

/* --- recording --------------------------------------------------------------------------- */

static void read_calls(const struct scene *s, struct calls *ret)
{
    static char record[CALLS_MAX * CALL_RECORD + 1];
    char path[HARNESS_PATH_MAX];
    harness_path(s->h, "maker-calls", path);
    (void)harness_read(path, record, sizeof record);
    ret->n = strlen(record) / CALL_RECORD;
    for (size_t i = 0; i < ret->n; i++)
        assert_int_equal(sscanf(record + i * CALL_RECORD, "%63s", ret->names[i]), 1);
}

static size_t count_calls(const struct calls *calls, const char *name)
{
    size_t n = 0;
    for (size_t i = 0; i < calls->n; i++)
        n += strcmp(calls->names[i], name) == 0;
    return n;
}

static void record_once(struct scene *s, struct calls *ret)
{
    restore(s);
    faults_script(s->h, "maker-calls of p11-kms-maker", "");
    harness_start(s->h);
    await_rotated(s);
    assert_consistent(s, 2);
    harness_stop(s->h);
    read_calls(s, ret);
}

static bool are_same(const struct calls *a, const struct calls *b)
{
    bool same = a->n == b->n;
    for (size_t i = 0; same && i < a->n; i++)
        same = strcmp(a->names[i], b->names[i]) == 0;
    return same;
}

/* When an agent starts depends on time too: what it does twice running is what it mostly does. */
static void record_calls(struct scene *s, struct calls *ret)
{
    static struct calls before;
    record_once(s, ret);
    for (int i = 0; i == 0 || !are_same(&before, ret); i++) {
        assert_true(i < RECORDS);
        before = *ret;
        record_once(s, ret);
    }
    printf("figure: a rotation makes %zu PKCS#11 calls from %zu agents\n", ret->n,
           count_calls(ret, "C_Initialize"));
    size_t objects = scheme_roles(ring_objects_scheme());
    assert_int_equal(count_calls(ret, "C_GenerateKey") + count_calls(ret, "C_GenerateKeyPair"),
                     objects);
    assert_int_equal(count_calls(ret, "C_SetAttributeValue"),
                     2 * objects); /* activated, and retired */
    assert_true(count_calls(ret, "C_Encrypt") + count_calls(ret, "C_Sign") > 0);
}

/* --- dying ------------------------------------------------------------------------------- */

/* What may happen to a call. Two ways to die, then the others. */
static const struct way {
    const char *action; /* as docs/drills.md has them */
    bool dies;
} ways[] = {
    {"kill", true},
    {"kill after", true},
    {"crash", true},
    {"return CKR_DEVICE_ERROR", false},
    {"return CKR_DEVICE_ERROR after", false},
    {"return CKR_FUNCTION_FAILED after", false},
    {"return CKR_HOST_MEMORY", false},
    {"return CKR_SESSION_HANDLE_INVALID", false},
    {"return CKR_USER_NOT_LOGGED_IN", false},
    {"return CKR_OBJECT_HANDLE_INVALID", false},
    {"return CKR_BUFFER_TOO_SMALL", false},
    {"return 0x80000123", false},
    {"hang 2s", false},
    {"short", false},
    {"long 8", false},
    {"garbage", false},
    {"nothing", false},
    {"lose-sessions", false},
    {"log-out", false},
    {"remove-token", false},
};

enum { TRIES = 3, DEATHS = 2, WAYS = sizeof ways / sizeof *ways };

static size_t n_ways = DEATHS; /* of those above */

/* A number of call, and what happens to it. */
struct place {
    size_t number;
    size_t way;
};

static struct place place_of(size_t i)
{
    return (struct place){i / n_ways + 1, i % n_ways};
}

/* What an agent leaves that dies in C_Login: the token may have counted a wrong PIN, and so no
 * other agent logs in until a person has looked. */
static void look_after_pin(const struct scene *s)
{
    run_shell(s->h, "rm \"$1\"/state/pin-*.record");
    if (s->h->monitor > 0)
        assert_int_equal(kill(s->h->monitor, SIGHUP), 0);
}

static void kill_daemon(struct harness *h)
{
    assert_int_equal(kill(h->monitor, SIGKILL), 0);
    assert_int_equal(process_wait(h->monitor, RUN_MS), 128 + SIGKILL);
    h->monitor = 0;
}

/* False: what the rotation's agents called until then was not what the recording has, since when an
 * agent starts depends on time too: another call has died. */
static bool die_at(struct scene *s, struct place place, bool restart, const char *function)
{
    struct calls calls;
    char line[CALL_RECORD];
    const char *broken = calls.names[place.number - 1];
    restore(s);
    (void)snprintf(line, sizeof line, "on * call %zu %s\n", place.number, ways[place.way].action);
    faults_script(s->h, "maker-calls of p11-kms-maker", line);
    harness_start(s->h);
    faults_await(s->h, "fault", 1, RUN_MS);
    read_calls(s, &calls);
    assert_true(calls.n >= place.number);
    if (restart)
        kill_daemon(s->h);
    if (ways[place.way].dies && strcmp(broken, "C_Login") == 0)
        look_after_pin(s);
    if (restart)
        harness_start(s->h);
    await_rotated(s);
    assert_consistent(s, 3);
    harness_stop(s->h);
    return strcmp(broken, function) == 0;
}

/* Where the token changes, every time; elsewhere every stride-th place. */
static bool is_chosen(const struct calls *calls, size_t i)
{
    const char *function = calls->names[i / n_ways];
    return i % parts == part - 1 && (i % stride == 0 || strcmp(function, "C_GenerateKey") == 0 ||
                                     strcmp(function, "C_GenerateKeyPair") == 0 ||
                                     strcmp(function, "C_SetAttributeValue") == 0);
}

/* Dies there, and tells how many faults the module has recorded. */
static unsigned visit(struct scene *s, const struct calls *calls, struct place place, bool restart)
{
    const char *function = calls->names[place.number - 1];
    int64_t began = now_ms();
    int tries = 1;
    while (!die_at(s, place, restart, function))
        if (tries++ == TRIES)
            fail_msg("call %zu is never %s", place.number, function);
    printf("  call %zu, %s, %s%s: whole after %lld ms\n", place.number, function,
           ways[place.way].action, restart ? ", restarted" : "", (long long)(now_ms() - began));
    (void)fflush(stdout);
    return faults_count(s->h, "fault");
}

/* Half of the runs lose the whole daemon too: those after a call where the others are before it, as
 * these leave the same behind. */
static void sweep(struct scene *s, const struct calls *calls)
{
    size_t faults = 0, chosen = 0;
    for (size_t i = 0; i < calls->n * n_ways; i++)
        chosen += is_chosen(calls, i);
    for (size_t i = 0; i < calls->n * n_ways; i++) {
        struct place place = place_of(i);
        if (is_chosen(calls, i))
            faults +=
                visit(s, calls, place, place.way < DEATHS && (place.number + place.way) % 2 == 0);
    }
    printf(
        "figure: %zu faults in %zu of %zu cases, part %u of %u: calls of a rotation x %zu ways\n",
        faults, chosen, calls->n * n_ways, part, parts, n_ways);
    assert_true(chosen * parts >= 3 * n_ways); /* made, activated, retired */
    assert_int_equal(faults, chosen);
}

static void test_death_at_every_call(void **state)
{
    static struct calls calls;
    struct scene s;
    prepare(&s, *state);
    record_calls(&s, &calls);
    sweep(&s, &calls);
    scene_end(&s);
    s.h->passed = true;
}

static int usage(void)
{
    (void)fputs(
        "usage: rotation [--every N] [--all-ways] [--part I/N]\n"
        "  --every N    die at every Nth place, and wherever the token is changed (default 13)\n"
        "  --all-ways   fail in every other way as well\n"
        "  --part I/N   of these, every Nth from the Ith on: N programs do all\n",
        stderr);
    return 2;
}

static bool parse_part(const char *text)
{
    char rest;
    return sscanf(text, "%3u/%3u%c", &part, &parts, &rest) == 2 && part >= 1 && part <= parts;
}

static bool parse_options(int argc, char **argv)
{
    enum { EVERY = 'e', ALL_WAYS = 'a', PART = 'p' };
    static const struct option options[] = {{"every", required_argument, NULL, EVERY},
                                            {"all-ways", no_argument, NULL, ALL_WAYS},
                                            {"part", required_argument, NULL, PART},
                                            {NULL, 0, NULL, 0}};
    uint64_t every = STRIDE;
    bool good = true;
    for (int c; good && (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (c == EVERY)
            good = !err_is(parse_u64(optarg, 1, CALLS_MAX, &every));
        else if (c == ALL_WAYS)
            n_ways = WAYS;
        else
            good = c == PART && parse_part(optarg);
    }
    stride = (unsigned)every;
    return good && optind == argc;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_death_at_every_call, harness_setup, harness_teardown),
    };
    if (!parse_options(argc, argv))
        return usage();
    return HARNESS_RUN("rotations that die", tests, TEST_SECONDS);
}
