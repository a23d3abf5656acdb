/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"
#include "log_line.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A reader that has stopped reading hangs nobody; it hears later that lines are missing. */
static void a_full_pipe_is_not_waited_for(void **state)
{
    static char drained[65536];
    int ends[2], saved = dup(STDERR_FILENO);
    (void)state;
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 4 * LOG_LINE_MAX) >= 0);
    (void)dup2(ends[1], STDERR_FILENO);
    log_setup("monitor", LOG_STYLE_TEXT, LOG_PRI_INFO);
    (void)alarm(10);
    for (int i = 0; i < 2000; i++)
        log_event(LOG_PRI_INFO, "m", LOG_N("n", i));
    ssize_t got = read(ends[0], drained, sizeof drained - 1);
    assert_true(got > 0 && got <= 4 * LOG_LINE_MAX);
    drained[got] = '\0';
    assert_non_null(strstr(drained, "monitor: m n=0\n"));
    log_event(LOG_PRI_INFO, "last");
    got = read(ends[0], drained, sizeof drained - 1);
    (void)alarm(0);
    (void)dup2(saved, STDERR_FILENO);
    (void)close(saved);
    (void)close(ends[0]);
    (void)close(ends[1]);
    drained[got > 0 ? got : 0] = '\0';
    assert_non_null(strstr(drained, " warning monitor: the log took no more, and lines were lost "
                                    "lines=1"));
    assert_non_null(strstr(drained, " info monitor: last\n"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_quotes_what_is_no_word),
        cmocka_unit_test(text_cannot_be_forged),
        cmocka_unit_test(json_escapes),
        cmocka_unit_test(a_field_that_does_not_fit_is_left_out_whole),
        cmocka_unit_test(a_line_has_time_priority_and_component),
        cmocka_unit_test(a_full_pipe_is_not_waited_for),
        cmocka_unit_test(what_is_less_than_least_is_not_written),
        cmocka_unit_test(the_longest_line_still_ends),
        cmocka_unit_test(the_journal_is_recognised_by_device_and_inode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
