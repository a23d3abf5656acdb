/* SPDX-License-Identifier: Apache-2.0 */
/* A wrong PIN is tried once, also over restarts: counted by a spy between agent and token. */
#include "pin_spy.h"

#include "io.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *right_pin(const struct fixture *f)
{
    static char pin[64];
    char path[PATH_MAX];
    size_t len;
    fixture_path(f, "pin", path);
    assert_false(err_is(file_read(path, pin, sizeof pin - 1, &len)));
    pin[len] = '\0';
    pin[strcspn(pin, "\n")] = '\0';
    return pin;
}

static unsigned all_logins(const struct fixture *f)
{
    return pin_spy_logins(f, "wrong-pin") + pin_spy_logins(f, "wrong-too") +
           pin_spy_logins(f, "NULL") + pin_spy_logins(f, right_pin(f));
}

static void expect_refused(struct fixture *f)
{
    fixture_start(f, AGENT_SERVE);
    assert_int_equal(f->reply.status.code, ERR_TOKEN);
    assert_int_equal(f->reply.status.remedy, REMEDY_PIN);
}

static void remove_record(const struct fixture *f)
{
    char path[PATH_MAX];
    assert_true(pin_spy_record(f, path));
    assert_int_equal(unlink(path), 0);
}

/* The record of the fixture's token, with these contents. */
static void write_record(struct fixture *f, const char *contents)
{
    char path[PATH_MAX];
    if (!pin_spy_record(f, path)) {
        pin_spy_use_pin(f, "wrong-pin\n");
        expect_refused(f); /* only to learn its name */
        assert_true(pin_spy_record(f, path));
    }
    assert_false(err_is(file_replace(path, bytes_of_string(contents), 0600)));
}

static void wrong_pin_is_tried_once(void **state)
{
    struct fixture *f = *state;
    pin_spy_use(f);
    pin_spy_use_pin(f, "wrong-pin\n");
    for (int i = 0; i < 3; i++)
        expect_refused(f);
    assert_int_equal(all_logins(f), 1);
    fixture_start(f, AGENT_MAKE); /* the CLI's agents obey the same record */
    assert_int_equal(f->reply.status.code, ERR_TOKEN);
    assert_int_equal(all_logins(f), 1);
}

static void text_names_both_files(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, "wrong-pin\n");
    for (int i = 0; i < 2; i++) {
        expect_refused(f);
        assert_non_null(strstr(f->reply.status.text, "/other-pin"));
        assert_non_null(strstr(f->reply.status.text, "/state/pin-"));
        assert_non_null(strstr(f->reply.status.text, ".record"));
        assert_null(strstr(f->reply.status.text, "wrong-pin"));
    }
}

static void mended_pin_works(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, "wrong-pin\n");
    expect_refused(f);
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
    fixture_up(f, AGENT_SERVE);
}

static void two_refusals_need_the_operator(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, "wrong-pin\n");
    expect_refused(f);
    pin_spy_use_pin(f, "wrong-too\n");
    expect_refused(f);
    pin_spy_use_right_pin(f);
    expect_refused(f);
    remove_record(f);
    fixture_up(f, AGENT_SERVE);
}

static void unresolved_try_counts_as_refusal(void **state)
{
    struct fixture *f = *state;
    write_record(f, "p11-kms-pin-record-1 trying 0 - - -\n");
    pin_spy_use(f);
    pin_spy_use_right_pin(f);
    expect_refused(f);
    assert_int_equal(all_logins(f), 0);
}

static void damaged_record_means_no_login(void **state)
{
    struct fixture *f = *state;
    static const char *const damaged[] = {"?", "", "p11-kms-pin-record-1 refused 1 00"};
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        write_record(f, damaged[i]);
        if (i == 0)
            pin_spy_use(f);
        pin_spy_use_right_pin(f);
        expect_refused(f);
        assert_non_null(strstr(f->reply.status.text, "is damaged"));
    }
    assert_int_equal(all_logins(f), 0);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(wrong_pin_is_tried_once),
        FRESH(text_names_both_files),
        FRESH(mended_pin_works),
        FRESH(two_refusals_need_the_operator),
        FRESH(unresolved_try_counts_as_refusal),
        FRESH(damaged_record_means_no_login),
    };
    return FIXTURE_RUN("PIN", tests);
}
