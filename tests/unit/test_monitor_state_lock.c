/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon at a time on a state directory. */
#include "state_lock.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { LONG_MS = 60000, SHORT_MS = 50 };

static char dir[64];

static int setup(void **state)
{
    sigset_t stop;
    (void)state;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)snprintf(dir, sizeof dir, "/tmp/p11-kms-test.XXXXXX");
    return mkdtemp(dir) && sigprocmask(SIG_BLOCK, &stop, NULL) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    char path[96];
    (void)state;
    (void)snprintf(path, sizeof path, "%s/daemon.lock", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static int take(void)
{
    int lock = -1, holder = 0;
    assert_false(err_is(state_lock_take(dir, SHORT_MS, &lock, &holder)));
    assert_true(lock >= 0);
    return lock;
}

static void the_second_is_told_who_has_it(void **state)
{
    (void)state;
    int lock = take(), second = -1, holder = 0;
    assert_int_equal(state_lock_take(dir, SHORT_MS, &second, &holder).code, ERR_IN_USE);
    assert_int_equal(holder, getpid());
    assert_int_equal(second, -1);
    (void)close(lock);
}

static void it_can_be_taken_again(void **state)
{
    (void)state;
    (void)close(take());
    (void)close(take());
}

static void *take_long(void *ret)
{
    int holder = 0;
    return err_is(state_lock_take(dir, LONG_MS, ret, &holder)) ? NULL : ret;
}

static void the_second_waits_for_the_first(void **state)
{
    (void)state;
    int lock = take(), second = -1;
    pthread_t thread;
    void *got = NULL;
    assert_int_equal(pthread_create(&thread, NULL, take_long, &second), 0);
    (void)close(lock);
    assert_int_equal(pthread_join(thread, &got), 0);
    assert_non_null(got);
    (void)close(second);
}

static void a_signal_ends_the_wait(void **state)
{
    (void)state;
    int lock = take(), second = -1, holder = 0;
    assert_int_equal(kill(getpid(), SIGTERM), 0); /* blocked, as the monitor has it */
    assert_int_equal(state_lock_take(dir, LONG_MS, &second, &holder).code, ERR_CANCELLED);
    (void)close(lock);
}

static void a_directory_that_takes_nothing_keeps_nobody_away(void **state)
{
    (void)state;
    int lock = -1, holder = 0;
    assert_false(err_is(state_lock_take("/nonexistent/directory", SHORT_MS, &lock, &holder)));
    assert_int_equal(lock, -1);
}

int main(void)
{
#define LOCK(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        LOCK(the_second_is_told_who_has_it),
        LOCK(it_can_be_taken_again),
        LOCK(the_second_waits_for_the_first),
        LOCK(a_signal_ends_the_wait),
        LOCK(a_directory_that_takes_nothing_keeps_nobody_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
