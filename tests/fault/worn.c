/* SPDX-License-Identifier: Apache-2.0 */
/* An agent whose module leaks is replaced in good time, and nobody notices. */
#include "faults.h"

#include "load.h"

#include <signal.h>

enum { TEST_SECONDS = 120, OK_MS = 20000, CALLS = 100 };

struct renewal {
    const struct harness *h;
    pid_t before;
};

static bool another_serves(void *context)
{
    const struct renewal *renewal = context;
    pid_t agent = process_child(renewal->h->monitor, "p11-kms-agent");
    return agent != 0 && agent != renewal->before && kill(renewal->before, 0) != 0;
}

static void test_an_agent_that_grows_is_replaced(void **state)
{
    struct harness *h = *state;
    struct load_figures figures;
    h->config.token = "  sessions: 4\n  probeEvery: 1s\n";
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    struct renewal renewal = {h, harness_agent(h)};
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    assert_true(load_await_ok(load, CALLS, OK_MS));
    assert_int_equal(harness_agent(h), renewal.before);
    faults_once(h, "C_DecryptInit", "leak 520MiB");
    assert_true(await(another_serves, &renewal, OK_MS, NULL));
    assert_true(load_await_ok(load, CALLS, OK_MS));
    load_stop(load, &figures);
    assert_int_equal(figures.wrong, 0);
    assert_int_equal(figures.by_code[GRPC_STATUS_OK], figures.calls);
    assert_int_equal(figures.status.failed, 0);
    h->passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup_teardown(
        test_an_agent_that_grows_is_replaced, faults_setup, harness_teardown)};
    return HARNESS_RUN("an agent that grows", tests, TEST_SECONDS);
}
