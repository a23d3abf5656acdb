/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io.h"

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make_directory(void **state)
{
    char *dir = strdup("/tmp/p11-kms-test.XXXXXX");
    *state = dir;
    return dir && mkdtemp(dir) ? 0 : -1;
}

static int remove_directory(void **state)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/file", (char *)*state);
    (void)unlink(path);
    int failed = rmdir(*state); /* fails where something was left behind */
    free(*state);
    return failed;
}

static const char *file_in(void **state)
{
    static char path[PATH_MAX];
    assert_false(err_is(path_join(*state, "file", path, sizeof path)));
    return path;
}

static void replaced_file_reads_back(void **state)
{
    const char *path = file_in(state);
    char memory[16];
    size_t len;
    struct stat st;
    assert_false(err_is(file_replace(path, bytes_of_string("first, longer"), 0600)));
    assert_false(err_is(file_replace(path, bytes_of_string("second"), 0640)));
    assert_false(err_is(file_read(path, memory, sizeof memory, &len)));
    assert_true(bytes_equal(bytes_of(memory, len), bytes_of_string("second")));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static void too_large_a_file_is_invalid(void **state)
{
    const char *path = file_in(state);
    char memory[6];
    size_t len = 99;
    assert_false(err_is(file_replace(path, bytes_of_string("123456"), 0600)));
    assert_false(err_is(file_read(path, memory, 6, &len)));
    assert_int_equal(len, 6);
    assert_int_equal(file_read(path, memory, 5, &len).code, ERR_INVALID);
    assert_int_equal(len, 6);
}

static void removing_twice_is_no_error(void **state)
{
    const char *path = file_in(state);
    char memory[6];
    size_t len;
    assert_false(err_is(file_replace(path, bytes_of_string("x"), 0600)));
    assert_false(err_is(file_remove(path)));
    assert_false(err_is(file_remove(path)));
    assert_int_equal(file_read(path, memory, 6, &len).code, ERR_NOT_FOUND);
}

static void memfd_comes_sealed(void **state)
{
    (void)state;
    char memory[8];
    size_t len;
    int fd;
    assert_false(err_is(memfd_sealed("test", bytes_of_string("sealed"), &fd)));
    assert_int_equal(write(fd, "x", 1), -1);
    assert_false(err_is(memfd_read(fd, memory, sizeof memory, &len)));
    assert_true(bytes_equal(bytes_of(memory, len), bytes_of_string("sealed")));
    (void)close(fd);
}

static void unsealed_file_is_no_memfd(void **state)
{
    char memory[8];
    size_t len;
    assert_false(err_is(file_replace(file_in(state), bytes_of_string("x"), 0600)));
    int fd = open(file_in(state), O_RDONLY | O_CLOEXEC);
    assert_int_equal(memfd_read(fd, memory, sizeof memory, &len).code, ERR_DENIED);
    (void)close(fd);
}

static void packets_keep_their_bounds(void **state)
{
    (void)state;
    char memory[8];
    size_t len;
    int pair[2];
    assert_false(err_is(packet_pair(pair)));
    assert_false(err_is(packet_send(pair[0], bytes_of_string("one"), NULL, 0)));
    assert_false(err_is(packet_send(pair[0], bytes_of_string("far too long"), NULL, 0)));
    assert_false(err_is(packet_receive(pair[1], memory, sizeof memory, &len, NULL, 0, NULL)));
    assert_true(bytes_equal(bytes_of(memory, len), bytes_of_string("one")));
    assert_int_equal(packet_receive(pair[1], memory, sizeof memory, &len, NULL, 0, NULL).code,
                     ERR_INVALID);
    (void)close(pair[0]);
    assert_int_equal(packet_receive(pair[1], memory, sizeof memory, &len, NULL, 0, NULL).code,
                     ERR_UNAVAILABLE);
    assert_int_equal(packet_send(pair[1], bytes_of_string("x"), NULL, 0).code, ERR_UNAVAILABLE);
    (void)close(pair[1]);
}

static void descriptors_travel_and_surplus_is_closed(void **state)
{
    (void)state;
    char memory[8];
    size_t len, n;
    int pair[2], got[2], twice[2];
    assert_false(err_is(packet_pair(pair)));
    twice[0] = twice[1] = pair[0];
    assert_false(err_is(packet_send(pair[0], bytes_of_string("a"), twice, 2)));
    assert_false(err_is(packet_receive(pair[1], memory, sizeof memory, &len, got, 2, &n)));
    assert_int_equal(n, 2);
    assert_int_equal(fcntl(got[0], F_GETFD), FD_CLOEXEC);
    int next = got[1];
    (void)close(got[0]);
    (void)close(got[1]);
    assert_false(err_is(packet_send(pair[0], bytes_of_string("b"), twice, 2)));
    assert_int_equal(packet_receive(pair[1], memory, sizeof memory, &len, got, 1, &n).code,
                     ERR_INVALID);
    assert_int_equal(fcntl(next, F_GETFD), -1);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void waiting_ends_at_the_deadline_or_the_close(void **state)
{
    (void)state;
    int pair[2];
    assert_false(err_is(packet_pair(pair)));
    assert_int_equal(fd_wait_readable(pair[0], 0).code, ERR_DEADLINE);
    (void)close(pair[1]);
    assert_false(err_is(fd_wait_readable(pair[0], -1)));
    (void)close(pair[0]);
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

enum { REPLACEMENTS = 300 };

static void *replace_often(void *argument)
{
    const char *path = argument;
    for (int i = 0; i < REPLACEMENTS; i++)
        if (err_is(file_replace(path, bytes_of_string("whole\n"), 0600)))
            return argument;
    return NULL;
}

static void two_threads_may_replace_the_same_file(void **state)
{
    (void)state;
    char directory[] = "/tmp/p11-kms-io-XXXXXX", path[64], text[16];
    pthread_t other;
    void *failed = NULL;
    size_t len = 0;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(path, sizeof path, "%s/file", directory);
    assert_false(err_is(file_replace(path, bytes_of_string("whole\n"), 0600)));
    assert_int_equal(pthread_create(&other, NULL, replace_often, path), 0);
    for (int i = 0; i < REPLACEMENTS; i++) {
        assert_false(err_is(file_replace(path, bytes_of_string("whole\n"), 0600)));
        assert_false(err_is(file_read(path, text, sizeof text, &len)));
        assert_int_equal(len, 6);
    }
    assert_int_equal(pthread_join(other, &failed), 0);
    assert_null(failed);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(replaced_file_reads_back),
        IN_DIRECTORY(too_large_a_file_is_invalid),
        IN_DIRECTORY(removing_twice_is_no_error),
        cmocka_unit_test(memfd_comes_sealed),
        IN_DIRECTORY(unsealed_file_is_no_memfd),
        cmocka_unit_test(two_threads_may_replace_the_same_file),
        cmocka_unit_test(packets_keep_their_bounds),
        cmocka_unit_test(descriptors_travel_and_surplus_is_closed),
        cmocka_unit_test(waiting_ends_at_the_deadline_or_the_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
