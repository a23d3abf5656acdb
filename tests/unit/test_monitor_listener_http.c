/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of http: a port of the loopback interface, a Unix socket, or what systemd passes. */
#include "listener_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct listener listener;
static struct listen_error why;

/* A socket of ours on a port that nobody else has; the kernel chooses it. */
static int on_some_port(struct http_place *ret, bool listening)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    *ret = (struct http_place){.kind = HTTP_IPV4, .address = {127, 0, 0, 1}};
    ret->port = ntohs(address.sin_port);
    return fd;
}

static void without_http_there_is_no_socket(void **state)
{
    (void)state;
    const struct http_place off = {.kind = HTTP_OFF};
    assert_false(err_is(listener_http_open(&off, "", -1, &listener, &why)));
    assert_int_equal(listener.fd, -1);
    listener_close(&listener);
    assert_int_equal(listener_http_open(&off, "", 0, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "the configuration has none"));
}

static bool can_connect(const struct http_place *place)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(place->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bool connected = connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    (void)close(fd);
    return connected;
}

static void a_port_is_bound_and_given_back(void **state)
{
    (void)state;
    struct http_place place;
    (void)close(on_some_port(&place, false));
    assert_false(err_is(listener_http_open(&place, "", -1, &listener, &why)));
    assert_true(can_connect(&place));
    listener_close(&listener);
    assert_false(can_connect(&place));
    /* What it served is in TIME_WAIT. */
    assert_false(err_is(listener_http_open(&place, "", -1, &listener, &why)));
    listener_close(&listener);
}

static void a_port_that_is_taken_is_in_use(void **state)
{
    (void)state;
    char expected[128];
    struct http_place place;
    int fd = on_some_port(&place, true);
    assert_int_equal(listener_http_open(&place, "", -1, &listener, &why).code, ERR_IN_USE);
    (void)snprintf(expected, sizeof expected,
                   "http: cannot bind 127.0.0.1:%u: Address already in "
                   "use",
                   (unsigned)place.port);
    assert_string_equal(why.text, expected);
    (void)close(fd);
}

static void systemd_must_pass_this_very_port(void **state)
{
    (void)state;
    struct http_place place, other;
    int fd = on_some_port(&place, true), silent = on_some_port(&other, false);
    assert_int_equal(listener_http_open(&other, "", fd, &listener, &why).code, ERR_CONFIG);
    assert_non_null(strstr(why.text, "http: systemd passed another socket"));
    assert_int_equal(listener_http_open(&other, "", silent, &listener, &why).code, ERR_CONFIG);
    assert_false(err_is(listener_http_open(&place, "", fd, &listener, &why)));
    assert_int_equal(listener.fd, fd);
    listener_close(&listener);
    (void)close(silent);
}

static void a_unix_socket_is_as_private_as_the_others(void **state)
{
    (void)state;
    char directory[] = "/tmp/p11-kms-http.XXXXXX", group[24];
    struct http_place place = {.kind = HTTP_UNIX};
    struct stat st;
    assert_non_null(mkdtemp(directory));
    (void)snprintf(place.path, sizeof place.path, "%s/http.sock", directory);
    (void)snprintf(group, sizeof group, "%u", (unsigned)getegid());
    assert_false(err_is(listener_http_open(&place, "", -1, &listener, &why)));
    assert_int_equal(lstat(place.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    struct listener second;
    assert_int_equal(listener_http_open(&place, "", -1, &second, &why).code, ERR_IN_USE);
    listener_close(&listener);
    assert_int_equal(access(place.path, F_OK), -1);
    assert_false(err_is(listener_http_open(&place, group, -1, &listener, &why)));
    assert_int_equal(lstat(place.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    listener_close(&listener);
    assert_int_equal(rmdir(directory), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_http_there_is_no_socket),
        cmocka_unit_test(a_port_is_bound_and_given_back),
        cmocka_unit_test(a_port_that_is_taken_is_in_use),
        cmocka_unit_test(systemd_must_pass_this_very_port),
        cmocka_unit_test(a_unix_socket_is_as_private_as_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
