/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that die or stop under 200 calls a second: connections stay, Status goes on, and what
 * is gone is back in time. */
#include "faults.h"

#include "load.h"
#include "rounds.h"

#include <signal.h>

enum {
    TEST_SECONDS = 150,
    BACK_MS = 3000,    /* after a death */
    TIMEOUT_MS = 2000, /* token.timeout's default */
    WARM_CALLS = 100,
    AFTER_CALLS = 500, /* two and a half seconds */
    OK_MS = 20000,
    KILLS = 5
};

static struct load *start_load(struct harness *h)
{
    harness_stop(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    assert_true(load_await_ok(load, WARM_CALLS / (unsigned)patience(1), OK_MS));
    return load;
}

/* The load's connections are never made anew: calls that succeed prove that they stayed. */
static bool is_back_in_time(const struct load_figures *figures, int64_t fault_ms, int due_ms)
{
    int limit_ms = patience(due_ms);
    int64_t away = figures->last_failure_ms > 0 ? figures->last_failure_ms - fault_ms : 0;
    printf("figure: calls succeed again %lld ms after the fault (limit %d)\n", (long long)away,
           limit_ms);
    assert_true(load_only_outage(figures));
    assert_int_equal(figures->status.failed, 0);
    return away <= limit_ms && watch_was_quick(&figures->status);
}

static bool agent_killed(void *context)
{
    struct harness *h = context;
    struct load *load = start_load(h);
    struct load_figures figures;
    pid_t front_end = harness_front_end(h), agent = harness_agent(h);
    int64_t fault = now_ms();
    assert_int_equal(kill(agent, SIGKILL), 0);
    assert_true(load_await_ok(load, AFTER_CALLS / (unsigned)patience(1), OK_MS));
    load_stop(load, &figures);
    assert_int_equal(harness_front_end(h), front_end);
    assert_int_not_equal(harness_agent(h), agent);
    harness_round_trips(h);
    return is_back_in_time(&figures, fault, BACK_MS);
}

TEST_OF_TIME(agent_killed)

struct other_agent {
    const struct harness *h;
    pid_t before;
};

static bool agent_is_another(void *context)
{
    const struct other_agent *other = context;
    pid_t now = process_child(other->h->monitor, "p11-kms-agent");
    return now != 0 && now != other->before;
}

static void test_agent_killed_again_and_again(void **state)
{
    struct harness *h = *state;
    struct load *load = start_load(h);
    struct load_figures figures;
    for (int i = 0; i < KILLS; i++) {
        struct other_agent other = {h, harness_agent(h)};
        assert_int_equal(kill(other.before, SIGKILL), 0);
        assert_true(await(agent_is_another, &other, BACK_MS, NULL));
        assert_true(load_await_ok(load, 20, BACK_MS));
    }
    load_stop(load, &figures);
    assert_true(load_only_outage(&figures));
    h->passed = true;
}

static bool agent_stopped(void *context)
{
    struct harness *h = context;
    struct load *load = start_load(h);
    struct load_figures figures;
    pid_t front_end = harness_front_end(h), agent = harness_agent(h);
    int64_t fault = now_ms();
    assert_int_equal(kill(agent, SIGSTOP), 0);
    assert_true(load_await_ok(load, AFTER_CALLS / (unsigned)patience(1), OK_MS));
    load_stop(load, &figures);
    assert_int_equal(harness_front_end(h), front_end);
    assert_int_not_equal(harness_agent(h), agent);
    assert_false(process_alive(agent));
    harness_round_trips(h);
    return is_back_in_time(&figures, fault, TIMEOUT_MS + BACK_MS);
}

TEST_OF_TIME(agent_stopped)

int main(void)
{
#define PROCESS(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        PROCESS(test_agent_killed),
        PROCESS(test_agent_killed_again_and_again),
        PROCESS(test_agent_stopped),
    };
    return HARNESS_RUN("agents that die", tests, TEST_SECONDS);
}
