/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "login_lock.h"

#include "io.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/p11-kms-test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
    (void)state;
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/pin.lock", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static int take(void)
{
    int lock = -1;
    assert_false(err_is(login_lock_take(dir, &lock)));
    return lock;
}

static void holder_is_named_while_it_holds(void **state)
{
    (void)state;
    assert_int_equal(login_lock_holder(dir), 0);
    int lock = take();
    assert_int_equal(login_lock_holder(dir), getpid());
    (void)close(lock);
    assert_int_equal(login_lock_holder(dir), 0);
}

static void dead_holder_is_none(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        (void)take();
        _exit(0);
    }
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(login_lock_holder(dir), 0);
    (void)close(take());
}

static void *take_and_close(void *argument)
{
    (void)close(take());
    return argument;
}

static void second_one_waits(void **state)
{
    (void)state;
    pthread_t other;
    int lock = take();
    assert_int_equal(pthread_create(&other, NULL, take_and_close, NULL), 0);
    assert_int_equal(pthread_tryjoin_np(other, NULL), EBUSY);
    (void)close(lock);
    assert_int_equal(pthread_join(other, NULL), 0);
}

static void nowhere_to_lock_is_an_error(void **state)
{
    (void)state;
    int lock = -1;
    assert_int_equal(login_lock_take("/nonexistent", &lock).code, ERR_NOT_FOUND);
    assert_int_equal(lock, -1);
    assert_int_equal(login_lock_holder("/nonexistent"), 0);
}

/* An agent that greets only after somebody's login has ended: waited for. Without a login: not. */
static void hello_is_waited_for_during_a_login(void **state)
{
    (void)state;
    static uint8_t memory[LANE_PACKET_MAX];
    struct lane_reply reply, hello = {.op = LANE_HELLO};
    uint8_t packet[LANE_PACKET_MAX];
    struct writer w = writer_over(packet, sizeof packet);
    int pair[2], lock = take();
    enum { STEP_MS = 20 };
    assert_false(err_is(packet_pair(pair)));
    lane_put_reply(&w, &hello);
    pid_t child = fork();
    if (child == 0) { /* later than the first time out */
        struct err e = fd_wait_readable(pair[1], 5 * STEP_MS);
        _exit(e.code == ERR_DEADLINE && !err_is(packet_send(pair[1], writer_bytes(&w), NULL, 0))
                  ? 0
                  : 1);
    }
    assert_false(
        err_is(lane_hello_patiently(pair[0], STEP_MS, dir, memory, sizeof memory, &reply)));
    assert_int_equal(waitpid(child, NULL, 0), child);
    (void)close(lock);
    assert_int_equal(
        lane_hello_patiently(pair[0], STEP_MS, dir, memory, sizeof memory, &reply).code,
        ERR_DEADLINE);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(holder_is_named_while_it_holds),
        IN_DIRECTORY(dead_holder_is_none),
        IN_DIRECTORY(second_one_waits),
        IN_DIRECTORY(nowhere_to_lock_is_an_error),
        IN_DIRECTORY(hello_is_waited_for_during_a_login),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
