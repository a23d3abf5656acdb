/* SPDX-License-Identifier: Apache-2.0 */
/* A wrong PIN is tried once, also over restarts: counted by a spy between agent and token. */
#include "fixture.h"

#include "io.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* OpenSC's, which logs each call it passes on. */
static const char *find_spy(void)
{
    static char path[PATH_MAX];
    glob_t found = {0};
    if (!path[0] && glob("/usr/lib*/*/pkcs11/pkcs11-spy.so", 0, NULL, &found) == 0)
        (void)snprintf(path, sizeof path, "%s", found.gl_pathv[0]);
    globfree(&found);
    return path[0] ? path : NULL;
}

static void spy_on(struct fixture *f)
{
    char log[PATH_MAX];
    const char *spy = find_spy();
    if (!spy)
        skip();
    fixture_path(f, "spy.log", log);
    assert_int_equal(setenv("PKCS11SPY", f->config.module, 1), 0);
    assert_int_equal(setenv("PKCS11SPY_OUTPUT", log, 1), 0);
    (void)snprintf(f->config.module, sizeof f->config.module, "%s", spy);
}

static unsigned logins(const struct fixture *f)
{
    char path[PATH_MAX], *line = NULL;
    size_t size = 0;
    unsigned n = 0;
    fixture_path(f, "spy.log", path);
    FILE *log = fopen(path, "r");
    assert_non_null(log);
    while (getline(&line, &size, log) >= 0)
        n += strstr(line, ": C_Login\n") != NULL;
    free(line);
    (void)fclose(log);
    return n;
}

static void use_pin(struct fixture *f, const char *pin)
{
    fixture_write(f, "other-pin", pin, 0600);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/other-pin", f->dir);
}

static void use_right_pin(struct fixture *f)
{
    char path[PATH_MAX], pin[64];
    size_t len;
    fixture_path(f, "pin", path);
    assert_false(err_is(file_read(path, pin, sizeof pin - 1, &len)));
    pin[len] = '\0';
    use_pin(f, pin);
}

static void expect_refused(struct fixture *f)
{
    fixture_start(f, AGENT_SERVE);
    assert_int_equal(f->reply.status.code, ERR_TOKEN);
    assert_int_equal(f->reply.status.remedy, REMEDY_PIN);
}

static void remove_record(const struct fixture *f)
{
    char pattern[PATH_MAX + 16];
    glob_t found = {0};
    (void)snprintf(pattern, sizeof pattern, "%s/pin-*.record", f->config.state_dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_int_equal(unlink(found.gl_pathv[0]), 0);
    globfree(&found);
}

static void wrong_pin_is_tried_once(void **state)
{
    struct fixture *f = *state;
    spy_on(f);
    use_pin(f, "wrong-pin\n");
    for (int i = 0; i < 3; i++)
        expect_refused(f);
    assert_int_equal(logins(f), 1);
    fixture_start(f, AGENT_MAKE); /* the CLI's agents obey the same record */
    assert_int_equal(f->reply.status.code, ERR_TOKEN);
    assert_int_equal(logins(f), 1);
}

static void text_names_both_files(void **state)
{
    struct fixture *f = *state;
    use_pin(f, "wrong-pin\n");
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
    use_pin(f, "wrong-pin\n");
    expect_refused(f);
    use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
    fixture_up(f, AGENT_SERVE);
}

static void two_refusals_need_the_operator(void **state)
{
    struct fixture *f = *state;
    use_pin(f, "wrong-pin\n");
    expect_refused(f);
    use_pin(f, "wrong-too\n");
    expect_refused(f);
    use_right_pin(f);
    expect_refused(f);
    remove_record(f);
    fixture_up(f, AGENT_SERVE);
}

static void unresolved_try_counts_as_refusal(void **state)
{
    struct fixture *f = *state;
    char pattern[PATH_MAX + 16];
    glob_t found = {0};
    use_pin(f, "wrong-pin\n");
    expect_refused(f); /* only to learn the record's name */
    (void)snprintf(pattern, sizeof pattern, "%s/pin-*.record", f->config.state_dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_false(err_is(file_replace(
        found.gl_pathv[0], bytes_of_string("p11-kms-pin-record-1 trying 0 - -\n"), 0600)));
    globfree(&found);
    spy_on(f);
    use_right_pin(f);
    expect_refused(f);
    assert_int_equal(logins(f), 0);
}

static void damaged_record_means_no_login(void **state)
{
    struct fixture *f = *state;
    char pattern[PATH_MAX + 16];
    glob_t found = {0};
    use_pin(f, "wrong-pin\n");
    expect_refused(f);
    (void)snprintf(pattern, sizeof pattern, "%s/pin-*.record", f->config.state_dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_false(err_is(file_replace(found.gl_pathv[0], bytes_of_string("?"), 0600)));
    globfree(&found);
    use_right_pin(f);
    expect_refused(f);
    assert_non_null(strstr(f->reply.status.text, "is damaged"));
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
