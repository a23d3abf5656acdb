/* SPDX-License-Identifier: Apache-2.0 */
#include "journal.h"
#include "log.h"
#include "log_line.h"

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

#define FIELDS(...)                                                                                \
    (const struct log_field[])                                                                     \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            .name = 0                                                                              \
        }                                                                                          \
    }

static char line[LOG_LINE_MAX + 1];

static const char *text_of(const char *message, const struct log_field *fields)
{
    struct writer w = writer_over(line, LOG_LINE_MAX);
    log_put_text(&w, message, fields);
    line[w.len] = '\0';
    return line;
}

static const char *json_of(const char *message, const struct log_field *fields)
{
    struct writer w = writer_over(line, LOG_LINE_MAX);
    log_put_json(&w, INT64_C(1795341600123), LOG_PRI_WARNING, "monitor", message, fields);
    line[w.len] = '\0';
    return line;
}

static void text_quotes_what_is_no_word(void **state)
{
    (void)state;
    assert_string_equal(text_of("up", FIELDS(LOG_S("path", "/run/x"), LOG_N("pid", -7),
                                             LOG_S("a", "b c"), LOG_S("empty", ""))),
                        "up path=/run/x pid=-7 a=\"b c\" empty=\"\"");
}

static void text_cannot_be_forged(void **state)
{
    (void)state;
    assert_string_equal(text_of("a\nb", FIELDS(LOG_S("x", "1\" y=\"2\n\x1b[0m"))),
                        "a\\x0ab x=\"1\\\" y=\\\"2\\x0a\\x1b[0m\"");
    assert_string_equal(text_of("m", FIELDS(LOG_S("x", "\xc2\x9b"
                                                       "31m \xff \xc3\xa9"))),
                        "m x=\"\\x9b31m \\xff \xc3\xa9\"");
}

static void json_escapes(void **state)
{
    (void)state;
    assert_string_equal(json_of("say \"hi\"", FIELDS(LOG_S("x", "a\\\n\xff"), LOG_N("n", 3))),
                        "{\"time\":\"2026-11-22T10:00:00.123Z\",\"priority\":\"warning\","
                        "\"component\":\"monitor\",\"message\":\"say \\\"hi\\\"\","
                        "\"x\":\"a\\\\\\u000a\\ufffd\",\"n\":3}");
}

static void a_field_that_does_not_fit_is_left_out_whole(void **state)
{
    static char huge[2 * LOG_LINE_MAX];
    (void)state;
    memset(huge, 'x', sizeof huge - 1);
    const struct log_field *fields = FIELDS(LOG_S("a", "1"), LOG_S("huge", huge), LOG_S("b", "2"));
    assert_string_equal(text_of("m", fields), "m a=1 b=2 truncated=true");
    assert_non_null(strstr(json_of("m", fields), ",\"a\":\"1\",\"b\":\"2\",\"truncated\":true}"));
    assert_string_equal(text_of(huge, FIELDS(LOG_S("a", "1"))), "message too long a=1");
}

/* What log_write puts on a stderr that is a pipe. */
static const char *written(enum log_style style, enum log_priority priority, const char *message)
{
    int ends[2], saved = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    (void)dup2(ends[1], STDERR_FILENO);
    log_setup("monitor", style, LOG_PRI_INFO);
    log_event(priority, message, LOG_N("n", 1));
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(ends[1]);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0); /* the log still has its other end */
    ssize_t got = read(ends[0], line, sizeof line - 1);
    (void)close(ends[0]);
    line[got > 0 ? got : 0] = '\0';
    return line;
}

static void a_line_has_time_priority_and_component(void **state)
{
    (void)state;
    assert_string_equal(written(LOG_STYLE_TEXT, LOG_PRI_WARNING, "m") + 24,
                        " warning monitor: m n=1\n");
    assert_int_equal(line[10], 'T');
    assert_int_equal(line[23], 'Z');
    assert_int_equal(written(LOG_STYLE_JSON, LOG_PRI_WARNING, "m")[0], '{');
    assert_string_equal(line + strlen(line) - 3, "1}\n");
}

static void what_is_less_than_least_is_not_written(void **state)
{
    (void)state;
    assert_string_equal(written(LOG_STYLE_TEXT, LOG_PRI_DEBUG, "m"), "");
}

static void the_longest_line_still_ends(void **state)
{
    static char value[LOG_LINE_MAX];
    (void)state;
    for (size_t n = LOG_LINE_MAX - 120; n < sizeof value; n++) {
        memset(value, 'x', n);
        value[n] = '\0';
        size_t len = strlen(json_of("m", FIELDS(LOG_S("v", value))));
        assert_true(len <= LOG_LINE_MAX);
        assert_int_equal(line[len - 1], '}');
    }
}

static void the_journal_is_recognised_by_device_and_inode(void **state)
{
    struct stat st;
    char stream[64];
    (void)state;
    assert_int_equal(fstat(STDERR_FILENO, &st), 0);
    (void)snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    (void)setenv("JOURNAL_STREAM", stream, 1);
    assert_int_equal(log_style_auto(), LOG_STYLE_JOURNAL);
    (void)setenv("JOURNAL_STREAM", "1:2", 1);
    assert_int_equal(log_style_auto(), LOG_STYLE_TEXT);
    (void)setenv("JOURNAL_STREAM", "nonsense", 1);
    assert_int_equal(log_style_auto(), LOG_STYLE_TEXT);
    (void)unsetenv("JOURNAL_STREAM");
    assert_int_equal(log_style_auto(), LOG_STYLE_TEXT);
}

/* --- the journal ------------------------------------------------------------------------- */

struct journald {
    char dir[64], path[96];
    int fd;
};

static void journald_start(struct journald *j)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(j->dir, sizeof j->dir, "/tmp/p11-kms-log-XXXXXX");
    assert_non_null(mkdtemp(j->dir));
    (void)snprintf(j->path, sizeof j->path, "%s/socket", j->dir);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", j->path);
    j->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(j->fd >= 0);
    assert_int_equal(bind(j->fd, (const struct sockaddr *)&address, sizeof address), 0);
    journal_use(j->path);
    log_setup("monitor", LOG_STYLE_JOURNAL, LOG_PRI_INFO);
}

static void journald_stop(struct journald *j)
{
    (void)close(j->fd);
    assert_int_equal(unlink(j->path), 0);
    assert_int_equal(rmdir(j->dir), 0);
}

/* The next entry; false: there is none. */
static bool journald_read(const struct journald *j, char *entry, size_t size, size_t *ret_len)
{
    ssize_t got = recv(j->fd, entry, size, MSG_DONTWAIT);
    *ret_len = got > 0 ? (size_t)got : 0;
    return got > 0;
}

static bool entry_has(const char *entry, size_t len, const char *name, const char *value)
{
    char field[256];
    uint64_t size = strlen(value);
    int n = snprintf(field, sizeof field, "%s\n", name);
    assert_true(n > 0);
    for (unsigned i = 0; i < 8; i++)
        field[n++] = (char)(size >> (8 * i));
    n += snprintf(field + n, sizeof field - (size_t)n, "%s\n", value);
    return memmem(entry, len, field, (size_t)n) != NULL;
}

static void the_journal_gets_fields(void **state)
{
    struct journald j;
    char entry[4 * LOG_LINE_MAX];
    size_t len;
    (void)state;
    journald_start(&j);
    log_event(LOG_PRI_WARNING, "m", LOG_N("n", -7), LOG_S("key-id", "two\nPRIORITY=0\n"));
    assert_true(journald_read(&j, entry, sizeof entry, &len));
    assert_true(entry_has(entry, len, "MESSAGE", "m n=-7 key-id=\"two\\x0aPRIORITY=0\\x0a\""));
    assert_true(entry_has(entry, len, "PRIORITY", "4"));
    assert_true(entry_has(entry, len, "P11KMS_COMPONENT", "monitor"));
    assert_true(entry_has(entry, len, "P11KMS_N", "-7"));
    assert_true(entry_has(entry, len, "P11KMS_KEY_ID", "two\nPRIORITY=0\n"));
    journald_stop(&j);
}

static void a_journald_that_hangs_is_not_waited_for(void **state)
{
    struct journald j;
    char entry[4 * LOG_LINE_MAX];
    size_t len, read = 0;
    enum { LINES = 4000 };
    (void)state;
    journald_start(&j);
    (void)alarm(200);
    for (int i = 0; i < LINES; i++)
        log_event(LOG_PRI_INFO, "m", LOG_N("n", i));
    (void)alarm(0);
    while (journald_read(&j, entry, sizeof entry, &len))
        read++;
    assert_in_range(read, 1, LINES - 1);
    log_event(LOG_PRI_INFO, "last");
    assert_true(journald_read(&j, entry, sizeof entry, &len));
    assert_true(entry_has(entry, len, "PRIORITY", "4"));
    (void)snprintf(line, sizeof line, "%zu", LINES - read);
    assert_true(entry_has(entry, len, "P11KMS_LINES", line));
    assert_true(journald_read(&j, entry, sizeof entry, &len));
    assert_true(entry_has(entry, len, "MESSAGE", "last"));
    journald_stop(&j);
}

static void without_a_journald_stderr_gets_the_line(void **state)
{
    struct journald j;
    (void)state;
    journald_start(&j);
    journald_stop(&j);
    assert_non_null(strstr(written(LOG_STYLE_JOURNAL, LOG_PRI_WARNING, "m"), " monitor: m n=1\n"));
    journald_start(&j); /* and it is back at another time */
    log_event(LOG_PRI_INFO, "again");
    char entry[LOG_LINE_MAX];
    size_t len;
    assert_true(journald_read(&j, entry, sizeof entry, &len));
    assert_true(entry_has(entry, len, "MESSAGE", "again"));
    journald_stop(&j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_quotes_what_is_no_word),
        cmocka_unit_test(text_cannot_be_forged),
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(a_field_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_line_has_time_priority_and_component),
        cmocka_unit_test(what_is_less_than_least_is_not_written),
        cmocka_unit_test(the_longest_line_still_ends),
        cmocka_unit_test(the_journal_is_recognised_by_device_and_inode),
        cmocka_unit_test(the_journal_gets_fields),
        cmocka_unit_test(a_journald_that_hangs_is_not_waited_for),
        cmocka_unit_test(without_a_journald_stderr_gets_the_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
