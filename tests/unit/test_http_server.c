/* SPDX-License-Identifier: Apache-2.0 */
/* What a client may do to the HTTP server, and what it may not. */
#include "http_server.h"

#include "text.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

enum { ANSWER_MAX = 1 << 20, LONG_BODY = 300000, PATIENCE_MS = 20000 };

static char directory[64];
static struct sockaddr_un address;
static struct http_server *server;

static struct err give(const char *text, size_t len, struct http_answer *ret)
{
    char *copy = malloc(len);
    if (!copy)
        return err_make(ERR_EXHAUSTED, "give");
    memcpy(copy, text, len);
    *ret = (struct http_answer){.status = 200, .type = "text/plain", .text = copy, .len = len};
    return ERR_OK;
}

static struct err word(void *context, bool verbose, struct http_answer *ret)
{
    assert_ptr_equal(context, directory);
    return verbose ? give("many words", 10, ret) : give("word", 4, ret);
}

static struct err failing(void *context, bool verbose, struct http_answer *ret)
{
    (void)context, (void)verbose, (void)ret;
    return err_make(ERR_EXHAUSTED, "failing");
}

static struct err lots(void *context, bool verbose, struct http_answer *ret)
{
    static char text[LONG_BODY];
    (void)context, (void)verbose;
    memset(text, 'x', sizeof text);
    return give(text, sizeof text, ret);
}

static const struct http_route routes[] = {{"/word", word}, {"/fail", failing}, {"/lots", lots}};

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof directory, "/tmp/p11-kms-http.XXXXXX");
    if (!mkdtemp(directory))
        return -1;
    address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/s", directory);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 512) != 0)
        return -1;
    return err_is(http_server_start(fd, routes, 3, directory, &server)) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    http_server_stop(server);
    (void)unlink(address.sun_path);
    return rmdir(directory);
}

static int connected(void)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    (void)send(fd, text, strlen(text), MSG_NOSIGNAL);
}

/* All that comes until the end of the connection; fails the test when it takes too long. */
static const char *hear(int fd, size_t *ret_len)
{
    static char text[ANSWER_MAX];
    size_t len = 0;
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        if (poll(&waiting, 1, PATIENCE_MS) <= 0)
            fail_msg("the server neither answers nor closes");
        ssize_t got = recv(fd, text + len, sizeof text - 1 - len, 0);
        if (got <= 0)
            break;
        len += (size_t)got;
    }
    text[len] = '\0';
    if (ret_len)
        *ret_len = len;
    return text;
}

static const char *ask(const char *request)
{
    int fd = connected();
    say(fd, request);
    const char *text = hear(fd, NULL);
    (void)close(fd);
    return text;
}

static void assert_answer(const char *request, const char *status, const char *body)
{
    char begin[64];
    const char *text = ask(request);
    (void)snprintf(begin, sizeof begin, "HTTP/1.1 %s\r\n", status);
    if (strncmp(text, begin, strlen(begin)) != 0)
        fail_msg("not %s: %s", status, text);
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_string_equal(end + 4, body);
    assert_non_null(strstr(text, "\r\nConnection: close\r\n"));
}

static void get_and_head_are_answered(void **state)
{
    (void)state;
    assert_answer("GET /word HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "word");
    assert_answer("GET /word?verbose HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "many words");
    assert_answer("GET /word?verbose=1&a=b HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "many words");
    assert_answer("GET /word?terse HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "word");
    assert_answer("HEAD /word HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "");
    assert_answer("GET /fail HTTP/1.1\r\nHost: x\r\n\r\n", "500 Internal Server Error",
                  "out of memory\n");
}

static void anything_else_is_refused(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "BREW"};
    char request[128];
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        (void)snprintf(request, sizeof request, "%s /word HTTP/1.1\r\nHost: x\r\n\r\n", methods[i]);
        assert_answer(request, "405 Method Not Allowed", "only GET and HEAD are answered\n");
        assert_non_null(strstr(ask(request), "\r\nAllow: GET, HEAD\r\n"));
    }
    assert_answer("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found", "404 page not found\n");
    assert_answer("GET /word/ HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found",
                  "404 page not found\n");
    assert_answer("GET /../word HTTP/1.1\r\nHost: x\r\n\r\n", "404 Not Found",
                  "404 page not found\n");
    assert_null(strstr(ask("nonsense\r\n\r\n"), " 200 "));
}

/* The answer comes although the body never does. */
static void a_body_is_not_waited_for(void **state)
{
    (void)state;
    assert_answer("POST /word HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
                  "405 Method Not Allowed", "only GET and HEAD are answered\n");
    assert_answer("GET /word HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n", "200 OK",
                  "word");
}

static void endless_headers_are_cut_off(void **state)
{
    char line[1100];
    int fd = connected();
    (void)state;
    memset(line, 'a', sizeof line - 1);
    memcpy(line, "X-Y: ", 5);
    memcpy(line + sizeof line - 3, "\r\n", 3);
    say(fd, "GET /word HTTP/1.1\r\n");
    for (int i = 0; i < 1000; i++)
        if (send(fd, line, strlen(line), MSG_NOSIGNAL) < 0)
            break;
    assert_null(strstr(hear(fd, NULL), "200 OK"));
    (void)close(fd);
}

static void a_long_answer_comes_whole(void **state)
{
    size_t len = 0;
    int fd = connected();
    (void)state;
    say(fd, "GET /lots HTTP/1.1\r\nHost: x\r\n\r\n");
    const char *text = hear(fd, &len);
    const char *end = strstr(text, "\r\n\r\n");
    assert_non_null(end);
    assert_int_equal(len - (size_t)(end + 4 - text), LONG_BODY);
    (void)close(fd);
}

static int64_t ms_since(int64_t began_ns)
{
    return (clock_monotonic_ns() - began_ns) / 1000000;
}

/* A byte now and then, for ever: it ends when its time is up. */
static void a_slow_client_has_its_time(void **state)
{
    int64_t began = clock_monotonic_ns();
    int fd = connected();
    (void)state;
    say(fd, "GET /word HTTP/1.1\r\nX: ");
    for (;;) {
        struct pollfd waiting = {.fd = fd, .events = POLLIN};
        if (poll(&waiting, 1, 100) > 0)
            break;
        say(fd, "a");
        assert_true(ms_since(began) < PATIENCE_MS);
    }
    assert_true(ms_since(began) >= HTTP_LASTS_MS - 100);
    (void)close(fd);
}

/* More of them than there are places, and their like behind them in the queue: whoever asks
 * properly is still answered soon. */
static void a_flood_delays_and_does_not_block(void **state)
{
    enum { FLOOD = 3 * HTTP_CONNECTIONS_MAX };
    int fds[FLOOD];
    (void)state;
    for (int i = 0; i < FLOOD; i++) {
        fds[i] = connected();
        say(fds[i], i % 2 ? "GET /word HTTP/1.1\r\nX: " : "GET /lots HTTP/1.1\r\n\r");
    }
    int64_t began = clock_monotonic_ns();
    assert_answer("GET /word HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "word");
    print_message("behind %d slow clients: %d ms\n", (int)FLOOD, (int)ms_since(began));
    /* Each place for 250 ms: three rounds. Without that it would be three times five seconds. */
    assert_true(ms_since(began) < HTTP_LASTS_MS);
    for (int i = 0; i < FLOOD; i++)
        (void)close(fds[i]);
    assert_answer("GET /word HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", "word");
}

/* Who never reads what it asked for holds neither a place nor memory for long. */
static void answers_that_nobody_reads_end(void **state)
{
    enum { MANY = 16 };
    int fds[MANY];
    (void)state;
    for (int i = 0; i < MANY; i++) {
        fds[i] = connected();
        say(fds[i], "GET /lots HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        struct pollfd gone = {.fd = fds[i], .events = POLLRDHUP};
        assert_int_equal(poll(&gone, 1, PATIENCE_MS), 1);
        (void)close(fds[i]);
    }
}

static void it_stops_while_clients_are_there(void **state)
{
    int fd = connected(), silent = connected();
    (void)state;
    say(fd, "GET /lots HTTP/1.1\r\nHost: x\r\n\r\n");
    http_server_stop(server);
    server = NULL;
    (void)hear(silent, NULL);
    (void)close(fd);
    (void)close(silent);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(get_and_head_are_answered),         TEST(anything_else_is_refused),
        TEST(a_body_is_not_waited_for),          TEST(endless_headers_are_cut_off),
        TEST(a_long_answer_comes_whole),         TEST(a_slow_client_has_its_time),
        TEST(a_flood_delays_and_does_not_block), TEST(answers_that_nobody_reads_end),
        TEST(it_stops_while_clients_are_there),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
