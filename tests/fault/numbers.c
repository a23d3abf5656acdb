/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions that the token ends by itself, and whose numbers it gives out again: the agent opens
 * others, no request fails, and no two threads ever share one. */
#include "faults.h"

#include "load.h"

enum { TEST_SECONDS = 60, OK_MS = 20000, CALLS = 100, ROUNDS = 3 };

static void start(struct harness *h, const char *token)
{
    char lose[HARNESS_PATH_MAX];
    char *module = realpath("tests/fault/numbers-module.so", NULL);
    assert_non_null(module);
    harness_path(h, "lose", lose);
    assert_int_equal(setenv("P11KMS_NUMBERS_MODULE", h->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_NUMBERS_LOSE", lose, 1), 0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
    h->config.token = token;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
}

static bool has_lost(void *context)
{
    const struct harness *h = context;
    char lose[HARNESS_PATH_MAX];
    harness_path(h, "lose", lose);
    return access(lose, F_OK) != 0;
}

/* Those from that number on. The first session is lane 0's, which proves the KEK. */
static void lose_from(struct harness *h, const char *number)
{
    harness_write(h, "made", number, 0600);
    char made[HARNESS_PATH_MAX], lose[HARNESS_PATH_MAX];
    harness_path(h, "made", made);
    harness_path(h, "lose", lose);
    assert_int_equal(rename(made, lose), 0);
}

static void test_an_idle_session_is_lost(void **state)
{
    struct harness *h = *state;
    start(h, "  sessions: 1\n  probeEvery: 1h\n");
    pid_t agent = harness_agent(h);
    for (int i = 0; i < ROUNDS; i++) {
        harness_round_trips(h);
        lose_from(h, "2");
        harness_round_trips(h);
        assert_true(has_lost(h));
    }
    assert_int_equal(harness_agent(h), agent);
    h->passed = true;
}

static void test_all_sessions_are_lost_under_load(void **state)
{
    struct harness *h = *state;
    struct load_figures figures;
    start(h, "  sessions: 4\n  probeEvery: 1s\n");
    pid_t agent = harness_agent(h);
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    for (int i = 0; i < ROUNDS; i++) {
        assert_true(load_await_ok(load, CALLS, OK_MS));
        lose_from(h, "1");
        assert_true(await(has_lost, h, OK_MS, NULL));
    }
    assert_true(load_await_ok(load, 3 * CALLS, OK_MS)); /* and a probe or two */
    load_stop(load, &figures);
    assert_int_equal(figures.wrong, 0);
    assert_int_equal(figures.by_code[GRPC_STATUS_OK], figures.calls);
    assert_int_equal(harness_agent(h), agent);
    harness_round_trips(h);
    h->passed = true;
}

int main(void)
{
#define NUMBERS(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        NUMBERS(test_an_idle_session_is_lost),
        NUMBERS(test_all_sessions_are_lost_under_load),
    };
    return HARNESS_RUN("sessions whose numbers come again", tests, TEST_SECONDS);
}
