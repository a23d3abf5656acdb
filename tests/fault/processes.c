/* SPDX-License-Identifier: Apache-2.0 */
/* Front ends and monitors that die or stand still, without a load: who goes with them, and who is
 * there afterwards. */
#include "faults.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

enum {
    TEST_SECONDS = 150,
    BACK_MS = 3000, /* after a death */
    OK_MS = 20000,
    GONE_MS = 5000,
    JUDGED_MS = 8000, /* from the thaw to the end of one that does not answer */
    FROZEN_MS = 10500 /* longer than a thread may stand still */
};

static void test_front_end_killed(void **state)
{
    struct harness *h = *state;
    struct stat before, after;
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    assert_int_equal(stat(h->socket, &before), 0);
    pid_t front_end = harness_front_end(h), agent = harness_agent(h);
    assert_int_equal(kill(front_end, SIGKILL), 0);
    int64_t took = harness_await_health(h, "ok", BACK_MS);
    printf("figure: served again %lld ms after the front end was killed\n", (long long)took);
    assert_int_equal(stat(h->socket, &after), 0);
    assert_true(before.st_dev == after.st_dev && before.st_ino == after.st_ino);
    assert_int_not_equal(harness_front_end(h), front_end);
    assert_false(process_alive(agent));
    harness_round_trips(h);
    h->passed = true;
}

/* An agent that is killed in C_Login leaves a PIN that counts as refused, and a daemon that only a
 * person can mend: nobody kills it there for another's death. */
static void test_front_end_killed_during_login(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    faults_once(h, "C_Login", "hang 1s");
    harness_start(h);
    faults_await(h, "fault", 1, OK_MS);
    assert_int_equal(kill(harness_front_end(h), SIGKILL), 0);
    int64_t took = harness_await_health(h, "ok", GONE_MS);
    printf("figure: served again %lld ms after the front end was killed during C_Login\n",
           (long long)took);
    harness_round_trips(h);
    h->passed = true;
}

/* One that never comes back from C_Login does not keep the next pair away either, though its PIN
 * then counts as refused. */
static void test_front_end_killed_during_a_hang(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    faults_once(h, "C_Login", "hang");
    harness_start(h);
    faults_await(h, "fault", 1, OK_MS);
    pid_t agent = harness_agent(h);
    assert_int_equal(kill(harness_front_end(h), SIGKILL), 0);
    (void)harness_await_health(h, "not tried again", 2 * GONE_MS);
    assert_false(process_alive(agent));
    h->passed = true;
}

static bool is_gone(void *context)
{
    const pid_t *pid = context;
    return !process_alive(*pid);
}

/* Not even an agent that is stopped outlives it. */
static void test_monitor_killed(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    pid_t front_end = harness_front_end(h), agent = harness_agent(h);
    assert_int_equal(kill(agent, SIGSTOP), 0);
    assert_int_equal(kill(h->monitor, SIGKILL), 0);
    assert_int_equal(process_wait(h->monitor, GONE_MS), 128 + SIGKILL);
    h->monitor = 0;
    assert_true(await(is_gone, &front_end, GONE_MS, NULL));
    assert_true(await(is_gone, &agent, GONE_MS, NULL));
    assert_int_equal(access(h->socket, F_OK), 0); /* stale, and in the way of nobody */
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    harness_round_trips(h);
    h->passed = true;
}

/* A container that is frozen, or a machine that is paused: the clock goes on, and all that is us
 * stands still. The first to move finds the others late, which is no hang. */
static void test_frozen_together(void **state)
{
    struct harness *h = *state;
    assert_int_equal(setenv("WATCHDOG_USEC", "8000000", 1), 0); /* four seconds for an answer */
    harness_start(h);
    assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    pid_t all[] = {h->monitor, harness_front_end(h), harness_agent(h)};
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kill(all[i], SIGSTOP), 0);
    assert_true(never(is_gone, &all[1], FROZEN_MS));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(kill(all[i], SIGCONT), 0);
    assert_true(never(is_gone, &all[1], JUDGED_MS));
    assert_int_equal(harness_front_end(h), all[1]);
    (void)harness_await_health(h, "ok", BACK_MS);
    harness_round_trips(h);
    h->passed = true;
}

int main(void)
{
#define PROCESS(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        PROCESS(test_front_end_killed),
        PROCESS(test_front_end_killed_during_login),
        PROCESS(test_front_end_killed_during_a_hang),
        PROCESS(test_monitor_killed),
        PROCESS(test_frozen_together),
    };
    return HARNESS_RUN("front ends and monitors that die", tests, TEST_SECONDS);
}
