/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pin_record.h"

#include "io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[64];
static const struct pin_identity source_a = {"a"}, source_b = {"b"};

static int make_directory(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/p11-kms-test.XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static struct pin_record open_record(const char *token)
{
    struct pin_record r;
    assert_false(err_is(pin_record_open(dir, bytes_of_string(token), &r)));
    return r;
}

static int remove_directory(void **state)
{
    (void)state;
    static const char *const tokens[] = {"token", "other"};
    char path[PATH_MAX];
    for (size_t i = 0; i < 2; i++) {
        struct pin_record r = {.lock = -1};
        struct err e = pin_record_open(dir, bytes_of_string(tokens[i]), &r);
        (void)e;
        (void)unlink(r.path);
        pin_record_close(&r);
    }
    (void)snprintf(path, sizeof path, "%s/pin.lock", dir);
    (void)unlink(path);
    return rmdir(dir);
}

static enum pin_verdict judge_from(const char *token, const char *pin,
                                   const struct pin_identity *source)
{
    struct pin_record r = open_record(token);
    enum pin_verdict verdict;
    assert_false(err_is(pin_record_judge(&r, bytes_of_string(pin), source, &verdict)));
    pin_record_close(&r);
    return verdict;
}

static enum pin_verdict judge(const char *token, const char *pin)
{
    return judge_from(token, pin, &source_a);
}

static void refuse(const char *token, const char *pin)
{
    struct pin_record r = open_record(token);
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_refuse(&r, bytes_of_string(pin))));
    pin_record_close(&r);
}

static void without_a_record_any_pin_may_be_tried(void **state)
{
    (void)state;
    assert_int_equal(judge("token", "1234"), PIN_MAY_BE_TRIED);
}

static void refused_pin_is_remembered_and_another_is_not_refused(void **state)
{
    (void)state;
    refuse("token", "1234");
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
    assert_int_equal(judge("token", "12345"), PIN_MAY_BE_TRIED);
    assert_int_equal(judge("other", "1234"), PIN_MAY_BE_TRIED);
}

static void second_refusal_ends_all_tries(void **state)
{
    (void)state;
    refuse("token", "1");
    refuse("token", "2");
    assert_int_equal(judge("token", "3"), PIN_TOO_MANY_REFUSALS);
}

static void good_login_clears(void **state)
{
    (void)state;
    refuse("token", "1234");
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_accept(&r, &source_a)));
    pin_record_close(&r);
    assert_int_equal(judge("token", "1234"), PIN_MAY_BE_TRIED);
    refuse("token", "other");
    assert_int_equal(judge("token", "1234"), PIN_MAY_BE_TRIED); /* it was the first since */
}

static void good_login_proves_its_file_and_no_other(void **state)
{
    (void)state;
    const struct pin_identity none = {.text = ""};
    struct pin_record r = open_record("token");
    assert_false(pin_record_proved(&r, &source_a));
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_accept(&r, &source_a)));
    pin_record_close(&r);
    for (int i = 0; i < 2; i++) { /* an outage takes nothing back */
        r = open_record("token");
        assert_true(pin_record_proved(&r, &source_a));
        assert_false(pin_record_proved(&r, &source_b));
        assert_false(pin_record_proved(&r, &none));
        assert_false(err_is(pin_record_begin(&r, &source_b)));
        assert_false(err_is(pin_record_abandon(&r)));
        pin_record_close(&r);
    }
    refuse("token", "1234");
    r = open_record("token");
    assert_false(pin_record_proved(&r, &source_a));
    pin_record_close(&r);
}

static void log_in_from(const char *name)
{
    struct pin_record r = open_record("token");
    struct pin_identity source = {.text = ""};
    (void)snprintf(source.text, sizeof source.text, "%s", name);
    assert_false(err_is(pin_record_begin(&r, &source)));
    assert_false(err_is(pin_record_accept(&r, &source)));
    pin_record_close(&r);
}

static bool proves(const char *name)
{
    struct pin_record r = open_record("token");
    struct pin_identity source = {.text = ""};
    (void)snprintf(source.text, sizeof source.text, "%s", name);
    bool proved = pin_record_proved(&r, &source);
    pin_record_close(&r);
    return proved;
}

/* Which of the files a to f, as letters. */
static const char *all_proved(void)
{
    static char letters[8];
    char name[] = "a";
    size_t n = 0;
    for (; name[0] <= 'f'; name[0]++)
        if (proves(name))
            letters[n++] = name[0];
    letters[n] = '\0';
    return letters;
}

static void good_login_leaves_the_last_files_proved(void **state)
{
    (void)state;
    log_in_from("a");
    log_in_from("b");
    assert_string_equal(all_proved(), "ab");
    log_in_from("c");
    log_in_from("d");
    assert_string_equal(all_proved(), "abcd");
    log_in_from("a");
    log_in_from("a");
    assert_string_equal(all_proved(), "abcd");
    log_in_from("e"); /* b is the one that was used longest ago */
    assert_string_equal(all_proved(), "acde");
    log_in_from("c");
    log_in_from("f");
    assert_string_equal(all_proved(), "acef");
}

static void outage_takes_no_file_back(void **state)
{
    (void)state;
    log_in_from("a");
    log_in_from("b");
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_abandon(&r)));
    pin_record_close(&r);
    assert_string_equal(all_proved(), "ab");
}

static void refusal_takes_all_files_back(void **state)
{
    (void)state;
    log_in_from("a");
    log_in_from("b");
    refuse("token", "1234");
    assert_string_equal(all_proved(), "");
    log_in_from("b");
    assert_string_equal(all_proved(), "b");
    log_in_from("a");
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    pin_record_close(&r); /* as a crash would */
    assert_string_equal(all_proved(), "");
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
    log_in_from("b");
    assert_string_equal(all_proved(), "b");
}

/* Nothing says that the PIN given at the token is that of the files. */
static void pin_without_a_file_proves_none(void **state)
{
    (void)state;
    log_in_from("a");
    log_in_from("b");
    log_in_from("");
    assert_string_equal(all_proved(), "");
    log_in_from("c");
    assert_string_equal(all_proved(), "c");
}

static void write_line(const char *line)
{
    struct pin_record r = open_record("token");
    pin_record_close(&r);
    assert_false(err_is(file_replace(r.path, bytes_of_string(line), 0600)));
}

static void record_of_a_version_before_is_read(void **state)
{
    (void)state;
    write_line("p11-kms-pin-record-1 good 0 - - a\n");
    assert_string_equal(all_proved(), "a");
    log_in_from("b");
    assert_string_equal(all_proved(), "ab");
    write_line("p11-kms-pin-record-1 refused 2 - - -\n");
    assert_int_equal(judge("token", "1234"), PIN_TOO_MANY_REFUSALS);
}

/* It reads six words, the fourth of up to 39 characters, which it passes over where the fifth is
 * "-", and knows the last login's file alone. */
static void version_before_reads_the_record(void **state)
{
    (void)state;
    char line[512], count[8], earlier[40], hash[72], source[128], rest;
    size_t len;
    for (const char *name = "a\0b\0c\0d\0e\0"; *name; name += 2)
        log_in_from(name);
    struct pin_record r = open_record("token");
    pin_record_close(&r);
    assert_false(err_is(file_read(r.path, line, sizeof line - 1, &len)));
    line[len] = '\0';
    assert_in_range(len, 1, 384);
    assert_int_equal(sscanf(line, "p11-kms-pin-record-1 good %7s %39s %71s %127s %c", count,
                            earlier, hash, source, &rest),
                     4);
    assert_string_equal(count, "0");
    assert_int_equal(strlen(earlier), 36);
    assert_string_equal(hash, "-");
    assert_string_equal(source, "e");
}

static void foreign_refusal_counts(void **state)
{
    (void)state;
    struct pin_record r = open_record("token");
    pin_record_count_foreign(&r);
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_refuse(&r, bytes_of_string("1"))));
    pin_record_close(&r);
    assert_int_equal(judge("token", "2"), PIN_TOO_MANY_REFUSALS);
}

static void longest_identity_fits(void **state)
{
    (void)state;
    struct pin_record r = open_record("token");
    struct pin_identity longest;
    memset(longest.text, 'x', sizeof longest.text - 1);
    longest.text[sizeof longest.text - 1] = '\0';
    assert_false(err_is(pin_record_begin(&r, &longest)));
    pin_record_close(&r);
    assert_int_equal(judge_from("token", "1234", &longest), PIN_IS_REFUSED);
    assert_int_equal(judge_from("token", "mended", &longest), PIN_MAY_BE_TRIED);
}

static void unresolved_try_is_a_refusal_of_the_present_pin(void **state)
{
    (void)state;
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    pin_record_close(&r); /* as a crash would */
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
    assert_int_equal(judge("token", "mended"), PIN_MAY_BE_TRIED);
}

/* It was mended, or systemd has made the credential anew: what was tried, nobody knows. Taken for
 * the PIN of now, the one that was tried would be tried again when it comes back. */
static void unresolved_try_of_another_file_refuses_every_pin(void **state)
{
    (void)state;
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    pin_record_close(&r);
    assert_int_equal(judge_from("token", "mended", &source_b), PIN_IS_REFUSED);
    assert_int_equal(judge_from("token", "1234", &source_a), PIN_IS_REFUSED);
}

static void outage_restores_what_was_there(void **state)
{
    (void)state;
    struct pin_record r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_abandon(&r)));
    pin_record_close(&r);
    assert_int_equal(judge("token", "1234"), PIN_MAY_BE_TRIED);
    refuse("token", "1234");
    r = open_record("token");
    assert_false(err_is(pin_record_begin(&r, &source_a)));
    assert_false(err_is(pin_record_abandon(&r)));
    pin_record_close(&r);
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
    assert_int_equal(judge("token", "mended"), PIN_MAY_BE_TRIED);
}

static void refusal_at_the_token_itself_means_every_pin(void **state)
{
    (void)state;
    refuse("token", "");
    assert_int_equal(judge("token", ""), PIN_IS_REFUSED);
    assert_int_equal(judge("token", "1234"), PIN_IS_REFUSED);
}

static void record_holds_no_pin_and_is_private(void **state)
{
    (void)state;
    char contents[512];
    size_t len;
    struct stat st;
    refuse("token", "98761234");
    struct pin_record r = open_record("token");
    pin_record_close(&r);
    assert_false(err_is(file_read(r.path, contents, sizeof contents, &len)));
    assert_null(memmem(contents, len, "98761234", 8));
    assert_int_equal(stat(r.path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
}

static void damaged_record_is_an_error(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "p11-kms-pin-record-2 refused 1 - - -\n",
        "p11-kms-pin-record-1 guessed 1 - - -\n",
        "p11-kms-pin-record-1 refused x - - -\n",
        "p11-kms-pin-record-1 refused 1 00 00 -\n",
        "p11-kms-pin-record-1 refused 1 - -\n",
        "p11-kms-pin-record-1 refused 1 - - - -\n",
        "p11-kms-pin-record-1 refused 1\n",
        "p11-kms-pin-record-1 good 0 0011223344 - a\n",
        "p11-kms-pin-record-1 good 0 earlier - a\n",
        "p11-kms-pin-record-1 good 0 00112233445500112233445500112233445500 - a\n",
    };
    struct pin_record r = open_record("token");
    pin_record_close(&r);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(err_is(file_replace(r.path, bytes_of_string(bad[i]), 0600)));
        assert_int_equal(pin_record_open(dir, bytes_of_string("token"), &r).code, ERR_INVALID);
    }
}

#define IN_DIRECTORY(test) cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(without_a_record_any_pin_may_be_tried),
        IN_DIRECTORY(refused_pin_is_remembered_and_another_is_not_refused),
        IN_DIRECTORY(second_refusal_ends_all_tries),
        IN_DIRECTORY(good_login_clears),
        IN_DIRECTORY(good_login_proves_its_file_and_no_other),
        IN_DIRECTORY(good_login_leaves_the_last_files_proved),
        IN_DIRECTORY(outage_takes_no_file_back),
        IN_DIRECTORY(refusal_takes_all_files_back),
        IN_DIRECTORY(pin_without_a_file_proves_none),
        IN_DIRECTORY(record_of_a_version_before_is_read),
        IN_DIRECTORY(version_before_reads_the_record),
        IN_DIRECTORY(foreign_refusal_counts),
        IN_DIRECTORY(longest_identity_fits),
        IN_DIRECTORY(unresolved_try_of_another_file_refuses_every_pin),
        IN_DIRECTORY(unresolved_try_is_a_refusal_of_the_present_pin),
        IN_DIRECTORY(outage_restores_what_was_there),
        IN_DIRECTORY(refusal_at_the_token_itself_means_every_pin),
        IN_DIRECTORY(record_holds_no_pin_and_is_private),
        IN_DIRECTORY(damaged_record_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
