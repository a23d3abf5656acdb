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
