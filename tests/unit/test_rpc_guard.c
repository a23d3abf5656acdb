/* SPDX-License-Identifier: Apache-2.0 */
/* Which connection the guard means, where a descriptor's number is used again. */
#include "rpc_guard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static const char not_http2[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\xff\xff\xff\1\0\0\0\0\1"; /* HEADERS of 16 MiB */

/* As gRPC reads. */
static ssize_t receive(int fd)
{
    char byte[64];
    struct iovec part = {.iov_base = byte, .iov_len = sizeof byte};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    return recvmsg(fd, &message, 0);
}

/* The end of the last one is noticed only after the next has its number. */
static void the_next_connection_of_a_number_stays_counted(void **state)
{
    int pair[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    uint64_t last = rpc_guard_start(pair[0], pair[0], 0);
    uint64_t next = rpc_guard_start(pair[0], pair[0], 0);
    rpc_guard_stop(pair[0], last);
    assert_int_equal(send(pair[1], not_http2, sizeof not_http2 - 1, 0), sizeof not_http2 - 1);
    assert_int_equal(receive(pair[0]), -1);
    assert_null(rpc_guard_verdict(pair[0], last));
    assert_non_null(rpc_guard_verdict(pair[0], next));
    assert_true(rpc_guard_idle_ns(pair[0], last) == 0);
    rpc_guard_stop(pair[0], next);
    assert_null(rpc_guard_verdict(pair[0], next));
    (void)close(pair[0]);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_next_connection_of_a_number_stays_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
