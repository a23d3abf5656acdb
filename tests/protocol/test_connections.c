/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect, what strange peers do, and what is left of them. */
#include "async_call.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { WAIT_MS = 10000, NOBODY = 65534, OTHER_GROUP = 54321 };

static void assert_serves(struct stand *stand)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    struct kms_client_status status;
    struct kms_failure failure;
    assert_false(err_is(kms_client_status(client, KMS_API_V2, WAIT_MS, &status, &failure)));
}

/* Waits for the end of file of a connection that the server ends, whatever it sent before. */
static bool ended_by_peer(int fd)
{
    char sink[4096];
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    while (poll(&waiting, 1, WAIT_MS) == 1) {
        ssize_t got = read(fd, sink, sizeof sink);
        if (got <= 0)
            return got == 0 || errno == ECONNRESET;
    }
    return false;
}

static void test_garbage(void **state)
{
    static const char *const garbage[] = {
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    struct stand *stand = (struct stand *)*state;
    for (size_t i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int fd = stand_connect(stand);
        (void)send(fd, garbage[i], strlen(garbage[i]), MSG_NOSIGNAL);
        assert_true(ended_by_peer(fd));
        (void)close(fd);
    }
    EVENTUALLY(stand_connections(stand) == 0);
    assert_serves(stand);
}

/* A peer that closes its sending half, or says nothing and goes, is not kept. */
static void test_half_open(void **state)
{
    struct stand *stand = (struct stand *)*state;
    int half = stand_connect(stand), silent = stand_connect(stand);
    EVENTUALLY(stand_connections(stand) == 2);
    assert_int_equal(shutdown(half, SHUT_WR), 0);
    assert_true(ended_by_peer(half));
    EVENTUALLY(stand_connections(stand) == 1);
    assert_serves(stand);
    (void)close(half);
    (void)close(silent);
    EVENTUALLY(stand_connections(stand) == 0);
}

static void test_connections_per_uid(void **state)
{
    struct stand *stand = (struct stand *)*state;
    int fds[RPC_CONNECTIONS_PER_UID + 4];
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        fds[i] = stand_connect(stand);
    EVENTUALLY(atomic_load(&stand->refused[RPC_REFUSED_PER_UID]) == 4);
    assert_int_equal(stand_connections(stand), RPC_CONNECTIONS_PER_UID);
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        (void)close(fds[i]);
    EVENTUALLY(stand_connections(stand) == 0);
    assert_serves(stand);
}

static void test_reload_ends_who_may_not_stay(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct rpc_access nobody = {.n_uids = 0};
    struct rpc_access group = {.gids = {(uint32_t)getgid()}, .n_gids = 1};
    int fd = stand_connect(stand);
    EVENTUALLY(stand_connections(stand) == 1);
    stand_set_access(stand, &nobody);
    assert_true(ended_by_peer(fd));
    (void)close(fd);
    EVENTUALLY(stand_connections(stand) == 0);
    fd = stand_connect(stand);
    assert_true(ended_by_peer(fd));
    assert_int_equal(atomic_load(&stand->refused[RPC_REFUSED_ACCESS]), 1);
    (void)close(fd);
    stand_set_access(stand, &group);
    assert_serves(stand);
}

/* In a child without privileges and without gRPC: 0 when the server ended the connection unasked,
 * 1 when it stayed open until the child's own end. */
static int connect_as(const struct stand *stand, uid_t uid, gid_t gid, gid_t extra)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        char byte;
        if (setgroups(1, &extra) != 0 || setresgid(gid, gid, gid) != 0 ||
            setresuid(uid, uid, uid) != 0)
            _exit(9);
        struct pollfd waiting = {.fd = stand_connect(stand), .events = POLLIN};
        if (poll(&waiting, 1, WAIT_MS) != 1)
            _exit(8);
        /* A served peer is greeted with SETTINGS. */
        _exit(read(waiting.fd, &byte, 1) == 1 ? 1 : 0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_other_uid_is_refused(void **state)
{
    struct stand *stand = (struct stand *)*state;
    if (getuid() != 0) {
        print_message("SKIPPED: another uid can be tried only as root\n");
        skip();
    }
    assert_int_equal(chmod(stand->directory, 0755), 0);
    assert_int_equal(chmod(stand->path, 0666), 0);
    assert_int_equal(connect_as(stand, NOBODY, NOBODY, NOBODY), 0);
    assert_int_equal(atomic_load(&stand->refused[RPC_REFUSED_ACCESS]), 1);
    assert_serves(stand);
}

static void test_groups_of_another_uid(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct rpc_access access = {.uids = {0}, .n_uids = 1, .gids = {OTHER_GROUP}, .n_gids = 1};
    if (getuid() != 0) {
        print_message("SKIPPED: other groups can be tried only as root\n");
        skip();
    }
    assert_int_equal(chmod(stand->directory, 0755), 0);
    assert_int_equal(chmod(stand->path, 0666), 0);
    stand_set_access(stand, &access);
    assert_int_equal(connect_as(stand, NOBODY, OTHER_GROUP, NOBODY), 1);
    assert_int_equal(connect_as(stand, NOBODY, NOBODY, OTHER_GROUP), 1);
    assert_int_equal(connect_as(stand, NOBODY, NOBODY, NOBODY), 0);
}

/* Takes every descriptor that is left, except `spare` of them. Yields how many; the limit is low
 * so that there are few. */
static size_t exhaust(int *fds, size_t max, size_t spare)
{
    size_t n = 0;
    while (n < max && (fds[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        n++;
    for (size_t i = 0; i < spare && n > 0; i++)
        (void)close(fds[--n]);
    return n;
}

static void test_out_of_descriptors(void **state)
{
    struct stand *stand = (struct stand *)*state;
    static int fds[1024];
    struct rlimit before, low;
    assert_serves(stand); /* what gRPC opens lazily is open now */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = (struct rlimit){700, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    size_t n = exhaust(fds, 1024, 1);
    int waiting = stand_connect(stand); /* takes the spare one */
    EVENTUALLY(atomic_load(&stand->refused[RPC_REFUSED_DESCRIPTORS]) > 0);
    /* It backs off rather than spin: some tries a second, not thousands. */
    (void)poll(NULL, 0, 500);
    assert_true(atomic_load(&stand->refused[RPC_REFUSED_DESCRIPTORS]) < 12);
    while (n > 0)
        (void)close(fds[--n]);
    EVENTUALLY(stand_connections(stand) == 1); /* the one that waited */
    (void)close(waiting);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_serves(stand);
}

static void test_no_descriptor_is_left(void **state)
{
    struct stand *stand = (struct stand *)*state;
    assert_serves(stand);
    EVENTUALLY(stand_connections(stand) == 0);
    size_t before = count_fds();
    for (int i = 0; i < 300; i++)
        assert_serves(stand);
    EVENTUALLY(stand_connections(stand) == 0);
    EVENTUALLY(count_fds() <= before);
}

#define STAND_TEST(test) cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAND_TEST(test_garbage),
        STAND_TEST(test_half_open),
        STAND_TEST(test_connections_per_uid),
        STAND_TEST(test_reload_ends_who_may_not_stay),
        STAND_TEST(test_other_uid_is_refused),
        STAND_TEST(test_groups_of_another_uid),
        STAND_TEST(test_out_of_descriptors),
        STAND_TEST(test_no_descriptor_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
