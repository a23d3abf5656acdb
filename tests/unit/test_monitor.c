/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor as real processes: what it starts, kills, restarts and says. */
#include "control.h"
#include "monitor_harness.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static int ended(struct harness *h, int *ret_how)
{
    int generation, number;
    const char *text = harness_next(h);
    if (sscanf(text, "gone %d %d %d", &generation, ret_how, &number) != 3)
        fail_msg("not gone: %s", text);
    assert_int_equal(generation, h->generation);
    return number;
}

static void it_starts_both_and_says_ready(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    assert_int_equal(h->generation, 1);
    assert_true(harness_can_connect(h));
}

static void a_dead_agent_is_replaced(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    pid_t first = h->agent_pid;
    (void)kill(first, SIGABRT);
    assert_int_equal(ended(h, &how), SIGABRT);
    assert_int_equal(how, GONE_KILLED);
    harness_take_lanes(h);
    assert_int_equal(h->generation, 2);
    assert_int_not_equal(h->agent_pid, first);
    harness_expect_log(h, "killed by signal 6");
}

static void a_condemned_agent_is_killed(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    harness_tell(h, "condemn 7"); /* another generation: nothing happens */
    harness_tell(h, "condemn 1");
    assert_int_equal(ended(h, &how), SIGKILL);
    assert_int_equal(how, GONE_CONDEMNED);
    harness_take_lanes(h);
    assert_int_equal(h->generation, 2);
    harness_expect_log(h, "too slow");
}

static void a_stopped_agent_can_be_condemned(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    (void)kill(h->agent_pid, SIGSTOP);
    harness_tell(h, "condemn 1");
    assert_int_equal(ended(h, &how), SIGKILL);
    harness_take_lanes(h);
}

/* Nobody else can reap what a tracer does not wait for: as if it hung in the kernel. */
static pid_t hold_dead(pid_t pid)
{
    int pair[2];
    char byte = 0;
    assert_int_equal(pipe(pair), 0);
    pid_t tracer = fork();
    assert_true(tracer >= 0);
    if (tracer == 0) {
        if (ptrace(PTRACE_SEIZE, pid, NULL, NULL) == 0 && write(pair[1], &byte, 1) == 1)
            (void)pause();
        _exit(1);
    }
    (void)close(pair[1]);
    assert_int_equal(read(pair[0], &byte, 1), 1);
    (void)close(pair[0]);
    return tracer;
}

static void what_sigkill_does_not_end_is_given_up(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    pid_t agent = h->agent_pid, tracer = hold_dead(agent);
    harness_tell(h, "condemn 1");
    assert_int_equal(ended(h, &how), SIGKILL);
    assert_int_equal(how, GONE_CONDEMNED);
    assert_int_equal(kill(agent, 0), 0);
    harness_take_lanes(h);
    harness_expect_log(h, "hangs in the kernel");
    assert_int_equal(kill(h->front_pid, SIGKILL), 0);
    harness_take_front(h); /* nor does the next front end wait for it */
    harness_take_lanes(h);
    assert_int_equal(kill(agent, 0), 0);
    assert_int_equal(kill(tracer, SIGKILL), 0);
    assert_int_equal(waitpid(tracer, NULL, 0), tracer);
}

/* The lock of a login, as if that process held it. */
static int lock_login(const struct harness *h, pid_t pid)
{
    char path[128], text[24];
    (void)snprintf(path, sizeof path, "%s/pin.lock", h->directory);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int len = snprintf(text, sizeof text, "%d\n", (int)pid);
    assert_true(fd >= 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(pwrite(fd, text, (size_t)len, 0), len);
    return fd;
}

static pid_t take_maker(struct harness *h, int number)
{
    int got = 0, pid = 0;
    assert_int_equal(sscanf(harness_next(h), "maker %d %d", &got, &pid), 2);
    assert_int_equal(got, number);
    return pid;
}

static void end_login(const struct harness *h, int lock)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/pin.lock", h->directory);
    assert_int_equal(unlink(path), 0);
    (void)close(lock);
}

/* Killed there, its PIN would count as refused. */
static void a_condemned_agent_finishes_its_login(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    int lock = lock_login(h, h->agent_pid);
    harness_tell(h, "condemn 1");
    harness_tell(h, "make 7");
    pid_t maker = take_maker(h, 7); /* so the monitor has heard both */
    assert_int_equal(kill(h->agent_pid, 0), 0);
    harness_tell(h, "endmaker 7"); /* its lane stays open here */
    assert_non_null(strstr(harness_next(h), "makergone 7 killed by signal 9"));
    assert_int_equal(kill(maker, 0), -1);
    assert_int_equal(kill(h->agent_pid, 0), 0); /* three seconds later */
    end_login(h, lock);
    assert_int_equal(ended(h, &how), SIGKILL);
    assert_int_equal(how, GONE_CONDEMNED);
    harness_take_lanes(h);
}

static void a_lock_that_is_another_ones_keeps_no_agent(void **state)
{
    struct harness *h = *state;
    int how;
    harness_start(h);
    int lock = lock_login(h, getpid());
    harness_tell(h, "condemn 1");
    assert_int_equal(ended(h, &how), SIGKILL);
    end_login(h, lock);
    harness_take_lanes(h);
}

static void a_retired_maker_finishes_its_login(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "make 7");
    pid_t maker = take_maker(h, 7);
    int lock = lock_login(h, maker);
    harness_tell(h, "endmaker 7");
    harness_tell(h, "condemn 1"); /* not this one; it tells that time goes on */
    assert_non_null(strstr(harness_next(h), "gone 1"));
    harness_take_lanes(h);
    assert_int_equal(kill(maker, 0), 0);
    end_login(h, lock);
    assert_non_null(strstr(harness_next(h), "makergone 7 killed by signal 9"));
}

static void a_maker_comes_when_it_is_wanted_and_only_then(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "make 7");
    pid_t first = take_maker(h, 7);
    assert_int_equal(kill(first, 0), 0);
    harness_tell(h, "close");
    assert_string_equal(harness_next(h), "makergone 7 exited with code 0");
    harness_tell(h, "make 8");
    pid_t second = take_maker(h, 8);
    assert_int_equal(kill(second, SIGKILL), 0);
    assert_non_null(strstr(harness_next(h), "makergone 8 killed by signal 9"));
    /* Nobody starts it again; the next thing that is told is another's. */
    harness_tell(h, "condemn 1");
    assert_non_null(strstr(harness_next(h), "gone 1"));
}

static void a_maker_that_hangs_makes_way_for_the_next(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "make 7");
    pid_t first = take_maker(h, 7);
    assert_int_equal(kill(first, SIGSTOP), 0);
    harness_tell(h, "make 8");
    assert_non_null(strstr(harness_next(h), "makergone 7 killed by signal 9"));
    (void)take_maker(h, 8);
    harness_tell(h, "endmaker 8"); /* its lane stays open here */
    assert_non_null(strstr(harness_next(h), "makergone 8 killed by signal 9"));
}

static void a_maker_ends_with_its_front_end(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "make 7");
    pid_t maker = take_maker(h, 7);
    assert_int_equal(kill(maker, SIGSTOP), 0); /* it does not see the end of its lane */
    assert_int_equal(kill(h->front_pid, SIGKILL), 0);
    harness_take_front(h); /* only when it is gone */
    assert_int_equal(kill(maker, 0), -1);
    harness_take_lanes(h);
}

/* Nobody is answered until all have gone, whatever was promised to them before. */
static void no_login_outlives_its_front_end_for_long(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    int lock = lock_login(h, h->agent_pid);
    harness_tell(h, "condemn 1");
    harness_tell(h, "make 7");
    (void)take_maker(h, 7); /* so the monitor has heard both */
    assert_int_equal(kill(h->agent_pid, SIGSTOP), 0);
    assert_int_equal(kill(h->front_pid, SIGKILL), 0);
    harness_take_front(h);
    harness_take_lanes(h);
    end_login(h, lock);
}

static void nor_does_one_that_makes_keys(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "make 7");
    pid_t maker = take_maker(h, 7);
    int lock = lock_login(h, maker);
    harness_tell(h, "endmaker 7");
    harness_tell(h, "condemn 1"); /* its end says that the monitor has heard both */
    int how;
    assert_int_equal(ended(h, &how), SIGKILL);
    assert_int_equal(kill(maker, SIGSTOP), 0);
    assert_int_equal(kill(h->front_pid, SIGKILL), 0);
    harness_take_front(h);
    harness_take_lanes(h);
    end_login(h, lock);
}

static void a_dead_front_end_is_replaced(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    pid_t front = h->front_pid, agent = h->agent_pid;
    (void)kill(front, SIGKILL);
    assert_true(harness_can_connect(h)); /* the monitor holds the socket */
    harness_take_front(h);
    harness_take_lanes(h);
    assert_int_not_equal(h->front_pid, front);
    assert_int_not_equal(h->agent_pid, agent);
    /* Where the agent was reaped before its front end, one was started in between. */
    assert_in_range(h->generation, 2, 3);
    assert_int_equal(kill(agent, 0), -1);
}

static void a_front_end_that_talks_nonsense_is_replaced(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "nonsense");
    assert_string_equal(harness_next(h), "");
    harness_take_front(h);
    harness_take_lanes(h);
}

/* Questions each second and two for an answer, or twice as long. */
static void with_a_watchdog(struct harness *h, const char *us)
{
    assert_int_equal(setenv("WATCHDOG_USEC", us, 1), 0);
    assert_int_equal(unsetenv("WATCHDOG_PID"), 0);
    harness_start(h);
    assert_int_equal(unsetenv("WATCHDOG_USEC"), 0);
}

static void systemd_hears_of_a_front_end_that_answers(void **state)
{
    struct harness *h = *state;
    with_a_watchdog(h, "4000000");
    harness_expect_notify(h, "WATCHDOG=1");
    harness_expect_notify(h, "WATCHDOG=1");
}

/* A front end that hangs is replaced by one that answers. */
static void assert_replaced(struct harness *h)
{
    pid_t front = h->front_pid;
    assert_string_equal(harness_next(h), "");
    harness_take_front(h);
    harness_take_lanes(h);
    assert_int_not_equal(h->front_pid, front);
    harness_expect_log(h, "the front end hangs and is killed");
    harness_expect_notify(h, "WATCHDOG=1"); /* the new one answers */
}

static void a_front_end_that_does_not_answer_is_replaced(void **state)
{
    struct harness *h = *state;
    with_a_watchdog(h, "4000000");
    harness_tell(h, "mute");
    assert_replaced(h);
}

static void a_front_end_that_answers_another_question_is_replaced(void **state)
{
    struct harness *h = *state;
    with_a_watchdog(h, "4000000");
    harness_tell(h, "miscount");
    assert_replaced(h);
}

/* The monitor's own loop goes on; that alone is nothing to tell systemd. */
static void nobody_speaks_for_a_stopped_front_end(void **state)
{
    struct harness *h = *state;
    with_a_watchdog(h, "8000000");
    (void)harness_expect_notify(h, "WATCHDOG=1"); /* the next question is 2 s away */
    pid_t front = h->front_pid;
    assert_int_equal(kill(front, SIGSTOP), 0);
    assert_null(strstr(harness_expect_notify(h, "STATUS=Serving"), "WATCHDOG=1"));
    assert_string_equal(harness_next(h), "");
    harness_take_front(h);
    harness_take_lanes(h);
    assert_int_not_equal(h->front_pid, front);
    (void)harness_expect_log(h, "the front end hangs and is killed");
}

static void health_reaches_systemd(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_tell(h, "health");
    harness_expect_notify(h, "STATUS=ok");
}

static void a_reload_reaches_the_front_end(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_configure(h, "  timeout: 5s\n");
    (void)kill(h->pid, SIGHUP);
    assert_string_equal(harness_next(h), "reload 5000");
    harness_expect_notify(h, "RELOADING=1\nMONOTONIC_USEC=");
    harness_expect_notify(h, "READY=1");
    harness_expect_log(h, "configuration reloaded");
}

static void a_reload_says_what_needs_a_restart(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_configure(h, "statusVersion: v2\n");
    (void)kill(h->pid, SIGHUP);
    harness_expect_log(h, "not applied keys=statusVersion");
}

static void a_bad_reload_keeps_the_old(void **state)
{
    struct harness *h = *state;
    harness_start(h);
    harness_configure(h, "  timeout: 5\n");
    (void)kill(h->pid, SIGHUP);
    assert_string_equal(harness_next(h), "reload 2000");
    harness_expect_log(h, "kms.yaml:10: token.timeout: must be");
}

static void it_stops_in_order(void **state)
{
    struct harness *h = *state;
    char path[128];
    harness_start(h);
    (void)kill(h->pid, SIGTERM);
    assert_string_equal(harness_next(h), "stop");
    assert_string_equal(harness_next(h), "");
    assert_int_equal(harness_wait(h->pid), 0);
    h->pid = 0;
    (void)snprintf(path, sizeof path, "%s/kms.sock", h->directory);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(kill(h->agent_pid, 0), -1);
    harness_expect_notify(h, "STOPPING=1");
}

static void a_second_daemon_leaves_the_first_alone(void **state)
{
    struct harness *h = *state;
    char text[256];
    int how;
    harness_start(h);
    assert_int_equal(harness_wait(harness_spawn(h, NULL)), 4);
    (void)snprintf(text, sizeof text, "kms.sock is in use by another process (pid %d)",
                   (int)h->pid);
    harness_expect_log(h, text);
    assert_true(harness_can_connect(h));
    harness_tell(h, "condemn 1"); /* the first still works */
    (void)ended(h, &how);
    harness_take_lanes(h);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_starts_both_and_says_ready),
        TEST(a_dead_agent_is_replaced),
        TEST(a_condemned_agent_is_killed),
        TEST(a_stopped_agent_can_be_condemned),
        TEST(what_sigkill_does_not_end_is_given_up),
        TEST(a_condemned_agent_finishes_its_login),
        TEST(a_lock_that_is_another_ones_keeps_no_agent),
        TEST(a_retired_maker_finishes_its_login),
        TEST(a_maker_comes_when_it_is_wanted_and_only_then),
        TEST(a_maker_that_hangs_makes_way_for_the_next),
        TEST(a_maker_ends_with_its_front_end),
        TEST(no_login_outlives_its_front_end_for_long),
        TEST(nor_does_one_that_makes_keys),
        TEST(a_dead_front_end_is_replaced),
        TEST(a_front_end_that_talks_nonsense_is_replaced),
        TEST(systemd_hears_of_a_front_end_that_answers),
        TEST(a_front_end_that_does_not_answer_is_replaced),
        TEST(a_front_end_that_answers_another_question_is_replaced),
        TEST(nobody_speaks_for_a_stopped_front_end),
        TEST(health_reaches_systemd),
        TEST(a_reload_reaches_the_front_end),
        TEST(a_reload_says_what_needs_a_restart),
        TEST(a_bad_reload_keeps_the_old),
        TEST(it_stops_in_order),
        TEST(a_second_daemon_leaves_the_first_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
