/* SPDX-License-Identifier: Apache-2.0 */
/* Binding the socket: modes, stale sockets, and a second daemon. */
#include "listener.h"

#include "io.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

static char directory[64];
static struct config config;
static struct listen_error why;

static int set_up(void **state)
{
    (void)state;
    (void)unsetenv("LISTEN_FDS");
    (void)snprintf(directory, sizeof directory, "/tmp/p11-kms-listener.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    memset(&config, 0, sizeof config);
    (void)snprintf(config.socket_path, sizeof config.socket_path, "%s/d/kms.sock", directory);
    why.text[0] = '\0';
    return 0;
}

static const char *in_directory(const char *name)
{
    static char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static int tear_down(void **state)
{
    (void)state;
    (void)unlink(in_directory("d/kms.sock"));
    (void)unlink(in_directory("d/kms.sock.lock"));
    (void)rmdir(in_directory("d"));
    return rmdir(directory);
}

static struct listener must_open(void)
{
    struct listener listener;
    if (err_is(listener_open(&config, &listener, &why)))
        fail_msg("%s", why.text);
    return listener;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static int bound_socket(bool listening)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)mkdir(in_directory("d"), 0700);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/d/kms.sock", directory);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void socket_and_directory_are_private(void **state)
{
    (void)state;
    struct listener listener = must_open();
    assert_int_equal(mode_of(in_directory("d")), 0700);
    assert_int_equal(mode_of(config.socket_path), 0600);
    listener_close(&listener);
}

static void a_group_gets_in(void **state)
{
    struct stat st;
    (void)state;
    (void)snprintf(config.socket_group, sizeof config.socket_group, "%u", (unsigned)getegid());
    struct listener listener = must_open();
    assert_int_equal(mode_of(in_directory("d")), 0750);
    assert_int_equal(mode_of(config.socket_path), 0660);
    assert_int_equal(lstat(config.socket_path, &st), 0);
    assert_int_equal(st.st_gid, getegid());
    listener_close(&listener);
}

static void an_unknown_group_is_an_error(void **state)
{
    struct listener listener;
    (void)state;
    (void)snprintf(config.socket_group, sizeof config.socket_group, "no-such-group-here");
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_CONFIG);
    assert_string_equal(why.text, "socketGroup: there is no group no-such-group-here");
}

static void nothing_is_left_after_closing(void **state)
{
    (void)state;
    struct listener listener = must_open();
    listener_close(&listener);
    assert_int_equal(access(config.socket_path, F_OK), -1);
    assert_int_equal(access(in_directory("d/kms.sock.lock"), F_OK), -1);
}

static void a_socket_that_is_not_ours_is_left(void **state)
{
    (void)state;
    struct listener listener = must_open();
    (void)unlink(config.socket_path);
    int other = bound_socket(true);
    listener_close(&listener);
    assert_int_equal(access(config.socket_path, F_OK), 0);
    (void)close(other);
}

static void a_stale_socket_is_replaced(void **state)
{
    (void)state;
    (void)close(bound_socket(true));
    struct listener listener = must_open();
    assert_int_equal(mode_of(config.socket_path), 0600);
    listener_close(&listener);
}

static void a_socket_that_answers_is_in_use(void **state)
{
    struct listener listener;
    char expected[512];
    (void)state;
    int other = bound_socket(true);
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_IN_USE);
    (void)snprintf(expected, sizeof expected, "socket %s is in use by another process (pid %d)",
                   config.socket_path, (int)getpid());
    assert_string_equal(why.text, expected);
    assert_int_equal(access(config.socket_path, F_OK), 0);
    (void)close(other);
}

static void a_second_one_leaves_the_first_alone(void **state)
{
    struct listener second;
    char expected[512];
    (void)state;
    struct listener first = must_open();
    assert_int_equal(listener_open(&config, &second, &why).code, ERR_IN_USE);
    (void)snprintf(expected, sizeof expected, "socket %s is in use by another process (pid %d)",
                   config.socket_path, (int)getpid());
    assert_string_equal(why.text, expected);
    assert_int_equal(access(config.socket_path, F_OK), 0);
    /* Nothing was even connected: the lock said it all. */
    assert_int_equal(accept(first.fd, NULL, NULL), -1);
    assert_int_equal(errno, EAGAIN);
    listener_close(&first);
}

static void what_is_no_socket_is_left(void **state)
{
    struct listener listener;
    (void)state;
    assert_int_equal(mkdir(in_directory("d"), 0700), 0);
    FILE *file = fopen(config.socket_path, "w");
    assert_non_null(file);
    (void)fclose(file);
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "exists and is no socket"));
    assert_int_equal(access(config.socket_path, F_OK), 0);
}

static void only_the_last_directory_is_made(void **state)
{
    struct listener listener;
    (void)state;
    (void)snprintf(config.socket_path, sizeof config.socket_path, "%s/a/b/kms.sock", directory);
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "cannot make the directory"));
}

static void systemd_must_pass_this_very_socket(void **state)
{
    struct listener listener;
    char pid[24];
    (void)state;
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "2", 1);
    int saved = dup(3), other = dup(4), fd = bound_socket(true);
    assert_true(dup2(fd, 3) == 3 && dup2(fd, 4) == 4);
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_CONFIG);
    assert_string_equal(why.text, "socket: systemd passed 2 sockets; one is taken");

    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "1", 1);
    (void)strcat(config.socket_path, "2");
    assert_int_equal(listener_open(&config, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "systemd passed another socket"));

    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", "1", 1);
    config.socket_path[strlen(config.socket_path) - 1] = '\0';
    listener = must_open();
    assert_true(listener.inherited);
    assert_int_equal(listener.fd, 3);
    listener_close(&listener);
    assert_int_equal(access(config.socket_path, F_OK), 0); /* systemd's to remove */
    (void)close(4);
    if (fd > 4)
        (void)close(fd);
    if (saved >= 0)
        (void)dup2(saved, 3);
    if (other >= 0)
        (void)dup2(other, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(socket_and_directory_are_private),   TEST(a_group_gets_in),
        TEST(an_unknown_group_is_an_error),       TEST(nothing_is_left_after_closing),
        TEST(a_socket_that_is_not_ours_is_left),  TEST(a_stale_socket_is_replaced),
        TEST(a_socket_that_answers_is_in_use),    TEST(a_second_one_leaves_the_first_alone),
        TEST(what_is_no_socket_is_left),          TEST(only_the_last_directory_is_made),
        TEST(systemd_must_pass_this_very_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
