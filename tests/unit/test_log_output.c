/* SPDX-License-Identifier: Apache-2.0 */
/* Whoever reads the log has stopped: nobody is hung by it, and it hears later what it has missed.
 */
#include "log.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { LINES = 5000, ROUNDS = 2000, PATIENCE_S = 200 };

/* The other end of stderr, and where stderr led before. */
struct reader {
    int fd, saved;
};

static struct reader reader_start(int readers, int logs)
{
    struct reader reader = {.fd = readers, .saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 10)};
    assert_true(reader.saved >= 0);
    (void)dup2(logs, STDERR_FILENO);
    (void)close(logs);
    log_setup("monitor", LOG_STYLE_JSON, LOG_PRI_INFO);
    (void)alarm(PATIENCE_S); /* ends us where a line is waited for */
    return reader;
}

static void reader_end(const struct reader *reader)
{
    (void)alarm(0);
    (void)dup2(reader->saved, STDERR_FILENO);
    (void)close(reader->saved);
    (void)close(reader->fd);
    log_setup("monitor", LOG_STYLE_TEXT, LOG_PRI_INFO);
}

static char text[1 << 20];

/* All that comes until nothing comes for a while; a terminal's takes its time. */
static const char *drain(const struct reader *reader)
{
    struct pollfd ready = {.fd = reader->fd, .events = POLLIN};
    size_t len = 0;
    while (len < sizeof text - 1 && poll(&ready, 1, 300) > 0) {
        ssize_t got = read(reader->fd, text + len, sizeof text - 1 - len);
        assert_true(got > 0);
        len += (size_t)got;
    }
    text[len] = '\0';
    return text;
}

static void log_much(void)
{
    for (int i = 0; i < LINES; i++)
        log_event(LOG_PRI_INFO, "m", LOG_N("n", i));
}

/* What was cut short is ended before the next line begins, and those with whom we share stderr
 * still wait for it if they want to. */
static void expect_lines_to_be_lost(const struct reader *reader)
{
    log_much();
    assert_int_equal(fcntl(STDERR_FILENO, F_GETFL) & O_NONBLOCK, 0);
    assert_non_null(strstr(drain(reader), "\"m\",\"n\":0}"));
    bool torn = text[strlen(text) - 1] != '\n';
    log_event(LOG_PRI_INFO, "last");
    const char *next = drain(reader);
    if (torn)
        assert_non_null(memchr(next, '\n', 2)); /* a terminal has a carriage return before it */
    next += strspn(next, "\r\n");
    assert_memory_equal(next, "{\"time\"", 7);
    const char *end = strchr(next, '\n');
    const char *told = strstr(next, "\"the log took no more, and lines were lost\",\"lines\":");
    assert_true(told && end && told < end);
    assert_memory_equal(end, "\n{\"time\"", 8);
    assert_non_null(strstr(end, "\"last\"}"));
}

static void a_full_pipe_is_not_waited_for(void **state)
{
    int ends[2];
    (void)state;
    assert_int_equal(pipe(ends), 0);
    struct reader reader = reader_start(ends[0], ends[1]);
    expect_lines_to_be_lost(&reader);
    reader_end(&reader);
}

/* One says that it has room when it has room for a byte. */
static void a_terminal_that_nobody_reads_is_not_waited_for(void **state)
{
    int master, slave;
    (void)state;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    struct reader reader = reader_start(master, slave);
    expect_lines_to_be_lost(&reader);
    reader_end(&reader);
}

static void small_socket(int ends[2])
{
    int least = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(setsockopt(ends[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least), 0);
}

static void a_full_socket_is_not_waited_for(void **state)
{
    int ends[2];
    (void)state;
    small_socket(ends);
    struct reader reader = reader_start(ends[0], ends[1]);
    expect_lines_to_be_lost(&reader);
    reader_end(&reader);
}

static pthread_barrier_t both;

static void *log_in_rounds(void *padding)
{
    for (int i = 0; i < ROUNDS; i++) {
        (void)pthread_barrier_wait(&both);
        log_event(LOG_PRI_INFO, "m", LOG_S("padding", (const char *)padding));
        (void)pthread_barrier_wait(&both);
    }
    return NULL;
}

/* Both see that there is room, and one of them takes it. */
static void nor_is_one_in_which_others_write(void **state)
{
    static char padding[3000];
    pthread_t thread;
    int ends[2];
    (void)state;
    memset(padding, 'x', sizeof padding - 1);
    small_socket(ends);
    struct reader reader = reader_start(ends[0], ends[1]);
    assert_int_equal(pthread_barrier_init(&both, NULL, 2), 0);
    assert_int_equal(pthread_create(&thread, NULL, log_in_rounds, padding), 0);
    for (int i = 0; i < ROUNDS; i++) {
        (void)pthread_barrier_wait(&both);
        log_event(LOG_PRI_INFO, "m", LOG_S("padding", padding));
        (void)pthread_barrier_wait(&both);
        while (recv(reader.fd, text, sizeof text, MSG_DONTWAIT) > 0)
            continue;
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    (void)pthread_barrier_destroy(&both);
    reader_end(&reader);
}

/* As on a full disk, which has room again later. */
static void a_line_that_was_cut_short_swallows_no_other(void **state)
{
    struct rlimit before, short_file;
    (void)state;
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    short_file = (struct rlimit){.rlim_cur = 10, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    struct reader reader = reader_start(dup(fileno(file)), dup(fileno(file)));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &short_file), 0);
    log_event(LOG_PRI_INFO, "m");
    log_event(LOG_PRI_INFO, "m");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    log_event(LOG_PRI_INFO, "last");
    ssize_t got = pread(reader.fd, text, sizeof text - 1, 0);
    assert_true(got > 0);
    text[got] = '\0';
    reader_end(&reader);
    (void)fclose(file);
    assert_ptr_equal(strstr(text, "\n{\"time\":"), text + short_file.rlim_cur);
    assert_non_null(strstr(text, "lines were lost\",\"lines\":2}\n{\"time\":"));
    assert_non_null(strstr(text, "\"last\"}\n"));
}

/* Such as a pipe of another user's. */
static void what_cannot_be_opened_again_is_written_as_it_is(void **state)
{
    struct rlimit before, none;
    int first[2], ends[2];
    (void)state;
    assert_int_equal(pipe(first), 0);
    assert_int_equal(pipe(ends), 0);
    struct reader reader = reader_start(first[0], first[1]);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = (struct rlimit){.rlim_cur = STDERR_FILENO + 1, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    log_setup("monitor", LOG_STYLE_JSON, LOG_PRI_INFO);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    log_event(LOG_PRI_INFO, "m");
    (void)close(reader.fd);
    (void)close(ends[1]);
    reader.fd = ends[0];
    assert_non_null(strstr(drain(&reader), "\"m\"}\n"));
    reader_end(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* first: others leave a line that was cut short */
        cmocka_unit_test(a_line_that_was_cut_short_swallows_no_other),
        cmocka_unit_test(a_full_pipe_is_not_waited_for),
        cmocka_unit_test(a_terminal_that_nobody_reads_is_not_waited_for),
        cmocka_unit_test(a_full_socket_is_not_waited_for),
        cmocka_unit_test(nor_is_one_in_which_others_write),
        cmocka_unit_test(what_cannot_be_opened_again_is_written_as_it_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
