/* SPDX-License-Identifier: Apache-2.0 */
/* Binding the sockets: modes, stale sockets, a second daemon, and what systemd passes. */
#include "listeners.h"

#include "io.h"

#include <errno.h>
#include <fcntl.h>
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
static struct socket_wish wish;
static struct listen_error why;

static int set_up(void **state)
{
    (void)state;
    (void)unsetenv("LISTEN_FDS");
    (void)unsetenv("LISTEN_FDNAMES");
    (void)snprintf(directory, sizeof directory, "/tmp/p11-kms-listener.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    memset(&config, 0, sizeof config);
    (void)snprintf(config.socket_path, sizeof config.socket_path, "%s/d/kms.sock", directory);
    (void)snprintf(config.admin_socket_path, sizeof config.admin_socket_path, "%s/d/admin.sock",
                   directory);
    wish = (struct socket_wish){"socket", config.socket_path, config.socket_group};
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
    (void)unlink(in_directory("d/admin.sock"));
    (void)rmdir(in_directory("d"));
    return rmdir(directory);
}

static struct listener must_open(void)
{
    struct listener listener;
    if (err_is(listener_open(&wish, &listener, &why)))
        fail_msg("%s", why.text);
    return listener;
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    assert_int_equal(lstat(path, &st), 0);
    return st.st_mode & 07777;
}

static int bound_socket(const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)mkdir(in_directory("d"), 0700);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, name);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
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
    assert_int_equal(listener_open(&wish, &listener, &why).code, ERR_CONFIG);
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
    int other = bound_socket("d/kms.sock");
    listener_close(&listener);
    assert_int_equal(access(config.socket_path, F_OK), 0);
    (void)close(other);
}

static void a_stale_socket_is_replaced(void **state)
{
    (void)state;
    (void)close(bound_socket("d/kms.sock"));
    struct listener listener = must_open();
    assert_int_equal(mode_of(config.socket_path), 0600);
    listener_close(&listener);
}

static void a_socket_that_answers_is_in_use(void **state)
{
    struct listener listener;
    char expected[512];
    (void)state;
    int other = bound_socket("d/kms.sock");
    assert_int_equal(listener_open(&wish, &listener, &why).code, ERR_IN_USE);
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
    assert_int_equal(listener_open(&wish, &second, &why).code, ERR_IN_USE);
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
    assert_int_equal(listener_open(&wish, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "exists and is no socket"));
    assert_int_equal(access(config.socket_path, F_OK), 0);
}

static void only_the_last_directory_is_made(void **state)
{
    struct listener listener;
    (void)state;
    (void)snprintf(config.socket_path, sizeof config.socket_path, "%s/a/b/kms.sock", directory);
    assert_int_equal(listener_open(&wish, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "cannot make the directory"));
}

/* --- both, and systemd ------------------------------------------------------------------- */

static void both_are_bound_and_removed(void **state)
{
    struct listeners listeners;
    (void)state;
    (void)snprintf(config.socket_group, sizeof config.socket_group, "%u", (unsigned)getegid());
    assert_false(err_is(listeners_open(&config, &listeners, &why)));
    assert_int_equal(mode_of(config.socket_path), 0660);
    assert_int_equal(mode_of(config.admin_socket_path), 0600);
    listeners_close(&listeners);
    assert_int_equal(access(config.admin_socket_path, F_OK), -1);
    assert_int_equal(access(in_directory("d/admin.sock.lock"), F_OK), -1);
}

static void an_admin_socket_in_use_leaves_nothing_behind(void **state)
{
    struct listeners second;
    struct listener first;
    const struct socket_wish admin = {"adminSocket", config.admin_socket_path, ""};
    char expected[512];
    (void)state;
    assert_false(err_is(listener_open(&admin, &first, &why)));
    assert_int_equal(listeners_open(&config, &second, &why).code, ERR_IN_USE);
    (void)snprintf(expected, sizeof expected,
                   "adminSocket %s is in use by another process (pid %d)", config.admin_socket_path,
                   (int)getpid());
    assert_string_equal(why.text, expected);
    assert_int_equal(access(config.socket_path, F_OK), -1);
    assert_int_equal(access(config.admin_socket_path, F_OK), 0);
    listener_close(&first);
}

/* Descriptors 3 and 4 while a test says what systemd would have passed there. */
static int saved[2];

static void pass(const char *count, const char *names)
{
    char pid[24];
    (void)snprintf(pid, sizeof pid, "%d", (int)getpid());
    (void)setenv("LISTEN_PID", pid, 1);
    (void)setenv("LISTEN_FDS", count, 1);
    if (names)
        (void)setenv("LISTEN_FDNAMES", names, 1);
    else
        (void)unsetenv("LISTEN_FDNAMES");
}

static void put_at(int target, int fd)
{
    assert_int_equal(dup2(fd, target), target);
    if (fd != target)
        (void)close(fd);
}

static int save_fds(void **state)
{
    saved[0] = fcntl(3, F_DUPFD_CLOEXEC, 10);
    saved[1] = fcntl(4, F_DUPFD_CLOEXEC, 10);
    return set_up(state);
}

static int restore_fds(void **state)
{
    for (int i = 0; i < 2; i++) {
        (void)close(3 + i);
        if (saved[i] >= 0)
            put_at(3 + i, saved[i]);
    }
    return tear_down(state);
}

/* The sockets at 3 and 4, listening. */
static void systemd_binds(const char *third, const char *fourth)
{
    int kms = fcntl(bound_socket(third), F_DUPFD_CLOEXEC, 20);
    int admin = fcntl(bound_socket(fourth), F_DUPFD_CLOEXEC, 20);
    put_at(3, kms);
    put_at(4, admin);
}

static void systemd_must_pass_this_very_socket(void **state)
{
    struct listeners listeners;
    (void)state;
    systemd_binds("d/admin.sock", "d/kms.sock");
    pass("1", NULL);
    assert_int_equal(listeners_open(&config, &listeners, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "socket: systemd passed another socket"));
    pass("2", "kms:admin");
    assert_int_equal(listeners_open(&config, &listeners, &why).code, ERR_CONFIG);
    pass("1", "admin");
    assert_false(
        err_is(listener_inherit(&(struct socket_wish){"adminSocket", config.admin_socket_path, ""},
                                3, &listeners.admin, &why)));
}

static void one_socket_without_a_name_is_the_kms_socket(void **state)
{
    struct listeners listeners;
    (void)state;
    systemd_binds("d/kms.sock", "d/other.sock");
    pass("1", NULL);
    assert_false(err_is(listeners_open(&config, &listeners, &why)));
    assert_true(listeners.kms.inherited && listeners.kms.fd == 3);
    assert_false(listeners.admin.inherited);
    listeners_close(&listeners);
    assert_int_equal(access(config.socket_path, F_OK), 0); /* systemd's to remove */
    assert_int_equal(access(config.admin_socket_path, F_OK), -1);
    (void)unlink(in_directory("d/other.sock"));
}

static void names_say_which_is_which(void **state)
{
    struct listeners listeners;
    (void)state;
    systemd_binds("d/admin.sock", "d/kms.sock");
    pass("2", "admin:kms");
    assert_false(err_is(listeners_open(&config, &listeners, &why)));
    assert_true(listeners.kms.inherited && listeners.kms.fd == 4);
    assert_true(listeners.admin.inherited && listeners.admin.fd == 3);
    listeners_close(&listeners);
    assert_int_equal(access(config.admin_socket_path, F_OK), 0);
}

static void sockets_that_nobody_knows_are_refused(void **state)
{
    static const char *const names[] = {"kms:other", "admin:admin", "kms:kms", "unknown:unknown"};
    struct listeners listeners;
    (void)state;
    systemd_binds("d/kms.sock", "d/admin.sock");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        pass("2", names[i]);
        assert_int_equal(listeners_open(&config, &listeners, &why).code, ERR_CONFIG);
        assert_non_null(strstr(why.text, "FileDescriptorName="));
    }
}

#define PASSED(name) cmocka_unit_test_setup_teardown(name, save_fds, restore_fds)
#define TEST(name)   cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(socket_and_directory_are_private),
        TEST(a_group_gets_in),
        TEST(an_unknown_group_is_an_error),
        TEST(nothing_is_left_after_closing),
        TEST(a_socket_that_is_not_ours_is_left),
        TEST(a_stale_socket_is_replaced),
        TEST(a_socket_that_answers_is_in_use),
        TEST(a_second_one_leaves_the_first_alone),
        TEST(what_is_no_socket_is_left),
        TEST(only_the_last_directory_is_made),
        TEST(both_are_bound_and_removed),
        TEST(an_admin_socket_in_use_leaves_nothing_behind),
        PASSED(systemd_must_pass_this_very_socket),
        PASSED(one_socket_without_a_name_is_the_kms_socket),
        PASSED(names_say_which_is_which),
        PASSED(sockets_that_nobody_knows_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
