/* SPDX-License-Identifier: Apache-2.0 */
/* The whole daemon on mockp11, whose manners show only over time: a user who may make nothing, few
 * sessions, a network that breaks for good. (tests/fault/login has the PIN that is entered at the
 * token.) */
#include "harness.h"

#include "load.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    TEST_SECONDS = 180,
    COMMAND_MS = 30000,
    OK_MS = 20000,
    TOLD_MS = 5000, /* token.timeout, and the probe's pace */
    EXIT_TOKEN = 5,
    CALLS = 100
};

/* --- mockp11 before SoftHSM ------------------------------------------------------------------- */

static void use_mock(struct harness *h, const char *personality)
{
    char directory[HARNESS_PATH_MAX];
    char *module = realpath("tests/mockp11/mockp11.so", NULL);
    assert_non_null(module);
    harness_path(h, "mock", directory);
    assert_int_equal(mkdir(directory, 0700), 0);
    assert_int_equal(setenv("P11KMS_MOCK", personality, 1), 0);
    assert_int_equal(setenv("P11KMS_MOCK_DIR", directory, 1), 0);
    assert_int_equal(setenv("P11KMS_MOCK_MODULE", h->config.module, 1), 0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
}

static void start(struct harness *h)
{
    harness_write_config(h);
    harness_start(h);
}

static void remove_file(const struct harness *h, const char *name)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, name, path);
    assert_int_equal(unlink(path), 0);
}

/* p11-kms with these words; its exit code. Both outputs are in *ret_output. */
static int command(const struct harness *h, const char *const *words, char ret_output[static 4096])
{
    char output[HARNESS_PATH_MAX], config[HARNESS_PATH_MAX];
    const char *argv[12] = {"build/p11-kms"};
    size_t n = 1;
    harness_path(h, "output", output);
    harness_path(h, "config.yaml", config);
    assert_true(unlink(output) == 0 || errno == ENOENT);
    while (*words)
        argv[n++] = *words++;
    argv[n++] = "--config";
    argv[n] = config;
    int code = process_run((char **)(uintptr_t)argv, output, patience(COMMAND_MS));
    (void)harness_read(output, ret_output, 4096);
    return code;
}

static int rotate(const struct harness *h, char ret_output[static 4096])
{
    static const char *const words[] = {"keys", "rotate", "--wait", "20s", NULL};
    return command(h, words, ret_output);
}

/* --- a user who may use keys, and make none ----------------------------------------------------
 */

static void rotation_fails_with_the_reason_and_seals_go_on(void **state)
{
    static const struct {
        const char *ckr, *says;
    } refusals[] = {
        {"1b", "makes no key for this user (C_GenerateKey: CKR_ACTION_PROHIBITED)"},
        {"101", "makes no key for this user (C_GenerateKey: CKR_USER_NOT_LOGGED_IN)"},
        {"200", "makes no key for this user (C_GenerateKey: CKR_FUNCTION_REJECTED)"},
        {"e2", "makes no key for this user (C_GenerateKey: CKR_TOKEN_WRITE_PROTECTED)"},
        {"b5", "makes no key for this user (C_GenerateKey: CKR_SESSION_READ_ONLY)"},
        {"54", "C_GenerateKey: CKR_FUNCTION_NOT_SUPPORTED"},
        {"80000142", "C_GenerateKey: CKR_VENDOR_DEFINED"},
    };
    struct harness *h = *state;
    char output[4096];
    use_mock(h, "read-only-user");
    start(h);
    (void)harness_await_health(h, "ok", OK_MS);
    pid_t agent = harness_agent(h);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        harness_write(h, "mock/refusal", refusals[i].ckr, 0600);
        assert_int_equal(rotate(h, output), EXIT_TOKEN);
        if (!strstr(output, refusals[i].says) || strstr(output, "want the admin socket"))
            fail_msg("%s: %s", refusals[i].ckr, output);
        harness_round_trips(h);
    }
    (void)harness_await_health(h, "ok", TOLD_MS);
    assert_int_equal(harness_agent(h), agent);
    h->passed = true;
}

/* --- three sessions
 * -------------------------------------------------------------------------------- */

struct replaced {
    const struct harness *h;
    pid_t agent;
};

static bool is_replaced(void *context)
{
    const struct replaced *replaced = context;
    return harness_agent(replaced->h) != replaced->agent;
}

static void too_many_lanes_are_told_and_few_are_enough(void **state)
{
    struct harness *h = *state;
    char output[4096];
    use_mock(h, "few-sessions");
    start(h); /* with token.sessions 4 */
    (void)harness_await_health(h, "no session left; lower token.sessions", OK_MS);
    harness_stop(h);
    h->config.token = "  sessions: 1\n";
    h->config.ring = "  activationDelay: 0s\n";
    assert_int_equal(setenv("P11KMS_TEST_SCHEME", "hmac-derive", 1), 0); /* so that it self-tests */
    start(h);
    (void)harness_await_health(h, "ok", OK_MS);
    pid_t agent = harness_agent(h);
    assert_int_equal(kill(agent, SIGKILL), 0);
    struct replaced replaced = {h, agent};
    assert_true(await(is_replaced, &replaced, OK_MS, NULL));
    (void)harness_await_health(h, "ok", OK_MS);
    harness_round_trips(h);
    if (rotate(h, output) != 0) /* by an agent of its own, beside the one that serves */
        fail_msg("%s", output);
    harness_round_trips(h);
    assert_int_equal(unsetenv("P11KMS_TEST_SCHEME"), 0);
    h->passed = true;
}

/* --- a network that comes back, and a module that does not
 * ------------------------------------------ */

static void lose_and_regain(struct harness *h, const char *personality)
{
    struct load_figures figures;
    use_mock(h, personality);
    h->config.token = "  probeEvery: 1s\n";
    start(h);
    (void)harness_await_health(h, "ok", OK_MS);
    pid_t agent = harness_agent(h);
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    assert_true(load_await_ok(load, CALLS, OK_MS));
    harness_write(h, "mock/fault", "", 0600);
    (void)harness_await_health(h, "CKR_DEVICE_ERROR", TOLD_MS);
    remove_file(h, "mock/fault");
    assert_true(load_await_ok(load, CALLS, OK_MS));
    load_stop(load, &figures);
    (void)harness_await_health(h, "ok", OK_MS);
    assert_true(load_only_outage(&figures));
    assert_int_equal(figures.status.failed, 0);
    assert_int_not_equal(harness_agent(h), agent);
    harness_round_trips(h);
    h->passed = true;
}

static void a_module_that_needs_finalize_comes_back(void **state)
{
    lose_and_regain(*state, "finalize");
}

static void a_module_that_needs_a_new_process_comes_back(void **state)
{
    lose_and_regain(*state, "new-process");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_setup, harness_teardown)
        TEST(rotation_fails_with_the_reason_and_seals_go_on),
        TEST(too_many_lanes_are_told_and_few_are_enough),
        TEST(a_module_that_needs_finalize_comes_back),
        TEST(a_module_that_needs_a_new_process_comes_back),
    };
    return HARNESS_RUN("mockp11 under the daemon", tests, TEST_SECONDS);
}
