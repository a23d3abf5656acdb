/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor as real processes: one agent in another's place, which serves until then. */
#include "monitor_harness.h"
#include "side_agent.h"

#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { WAIT_MS = 20000 };

/* Takes the agent's heir and yields the agent, which still runs. */
static pid_t take_heir(struct harness *h)
{
    pid_t agent = h->agent_pid;
    harness_take_lanes(h);
    assert_int_not_equal(h->agent_pid, agent);
    assert_int_equal(kill(agent, 0), 0);
    return agent;
}

/* Until it is reaped. */
static void await_end(pid_t pid)
{
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (fd >= 0) {
        assert_int_equal(poll(&ended, 1, WAIT_MS), 1);
        (void)close(fd);
    }
    while (kill(pid, 0) == 0)
        (void)sched_yield();
}

static void expect(struct harness *h, const char *what)
{
    const char *told = harness_next(h);
    if (!strstr(told, what))
        fail_msg("not %s: %s", what, told);
}

static void an_heir_takes_the_agents_place_and_outlives_it(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 7"); /* nobody's */
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h);
    assert_int_equal(h->generation, 2);
    harness_tell(h, "serves 2");
    harness_tell(h, "end 1"); /* its lanes stay open here: it is killed */
    await_end(first);
    harness_tell(h, "condemn 1"); /* gone, and nobody was told of it */
    harness_tell(h, "condemn 2");
    expect(h, "gone 2");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
}

static void an_heir_inherits_from_an_agent_that_dies(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h), heir = h->agent_pid;
    (void)kill(first, SIGKILL);
    expect(h, "gone 1");
    harness_tell(h, "heir 2"); /* that is who serves: no other was started */
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
    assert_int_equal(kill(heir, 0), 0);
}

static void a_failed_heir_leaves_the_agent_alone(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h), heir = h->agent_pid;
    (void)kill(heir, SIGSTOP); /* it does not see the end of its lanes */
    harness_tell(h, "end 2");
    await_end(heir);
    harness_tell(h, "heir 1");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
    assert_int_equal(kill(first, 0), 0);
}

/* The front end took it for the agent before it could hear of its end. */
static void an_heir_that_is_gone_as_it_serves_is_replaced(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h);
    (void)kill(h->agent_pid, SIGKILL);
    await_end(h->agent_pid);
    harness_tell(h, "serves 2");
    expect(h, "gone 2");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
    assert_int_equal(kill(first, 0), -1);
}

/* The one before it serves on, and takes nobody's place. */
static void an_heir_that_dies_after_it_serves_is_replaced(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h);
    harness_tell(h, "serves 2");
    harness_tell(h, "make 9"); /* what was told before is done then */
    expect(h, "maker 9");
    (void)kill(h->agent_pid, SIGKILL);
    expect(h, "gone 2");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
    assert_int_equal(kill(first, 0), 0);
    harness_tell(h, "end 1");
    await_end(first);
    harness_tell(h, "heir 3");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 4);
}

/* The front end gave it up before it heard of the agent's end. */
static void an_heir_that_inherits_and_is_not_needed_is_replaced(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    (void)kill(take_heir(h), SIGKILL);
    expect(h, "gone 1");
    harness_tell(h, "end 2"); /* its lanes stay open here: it is killed */
    expect(h, "gone 2");
    harness_take_lanes(h);
    assert_int_equal(h->generation, 3);
}

/* Not even SIGKILL ends one that hangs in the kernel. */
static void one_that_was_killed_does_not_stay(void **state)
{
    struct side_agent side;
    struct agent_process none;
    (void)state;
    side_agent_init(&side);
    side.pid = fork();
    assert_true(side.pid >= 0);
    if (side.pid == 0)
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (side.pid == 0)
        (void)pause();
    assert_true(side_agent_stays(&side));
    side.kill_due_ns = 0;
    assert_false(err_is(side_agent_run(&side, "", NULL, &none)));
    assert_false(side_agent_stays(&side));
    assert_int_equal(waitpid(side.pid, NULL, 0), side.pid);
}

static void an_heir_ends_with_its_front_end(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "heir 1");
    pid_t first = take_heir(h), heir = h->agent_pid;
    assert_int_equal(kill(heir, SIGSTOP), 0);
    assert_int_equal(kill(h->front_pid, SIGKILL), 0);
    harness_take_front(h); /* only when both are gone */
    assert_int_equal(kill(heir, 0), -1);
    assert_int_equal(kill(first, 0), -1);
    harness_take_lanes(h);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(an_heir_takes_the_agents_place_and_outlives_it),
        TEST(an_heir_inherits_from_an_agent_that_dies),
        TEST(a_failed_heir_leaves_the_agent_alone),
        TEST(an_heir_that_is_gone_as_it_serves_is_replaced),
        TEST(an_heir_that_dies_after_it_serves_is_replaced),
        TEST(an_heir_that_inherits_and_is_not_needed_is_replaced),
        TEST(an_heir_ends_with_its_front_end),
        cmocka_unit_test(one_that_was_killed_does_not_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
