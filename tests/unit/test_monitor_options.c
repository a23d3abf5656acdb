/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: exit codes, and what is said. */
#include "monitor_harness.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static int run(struct harness *h, const char *a, const char *b)
{
    return harness_wait(harness_spawn(h, (const char *const[]){a, b, NULL}));
}

static void usage_errors_exit_with_2(void **state)
{
    struct harness *h = *state;
    assert_int_equal(run(h, "--nonsense", NULL), 2);
    harness_expect_log(h, "p11-kmsd: unknown option --nonsense\nTry 'p11-kmsd --help'.");
    assert_int_equal(run(h, "--config", NULL), 2);
    harness_expect_log(h, "a value is missing after --config");
    assert_int_equal(run(h, "serve", NULL), 2);
    harness_expect_log(h, "takes options only, not serve");
    assert_int_equal(run(h, "--log-format", "xml"), 2);
    harness_expect_log(h, "--log-format must be auto, text or json");
}

static void help_and_version_exit_with_0(void **state)
{
    struct harness *h = *state;
    assert_int_equal(run(h, "--help", NULL), 0);
    assert_int_equal(run(h, "--version", NULL), 0);
}

static void check_config_says_ok_or_why(void **state)
{
    struct harness *h = *state;
    char expected[256];
    assert_int_equal(run(h, "--check-config", NULL), 0);
    harness_configure(h, "  sessions: 3\n");
    assert_int_equal(run(h, "--check-config", NULL), 3);
    (void)snprintf(expected, sizeof expected,
                   "%s/kms.yaml:10: token.sessions: given twice; first in line 9\n", h->directory);
    harness_expect_log(h, expected);
}

static void a_bad_configuration_exits_with_3(void **state)
{
    struct harness *h = *state;
    harness_configure(h, "nonsense: 1\n");
    assert_int_equal(run(h, NULL, NULL), 3);
    harness_expect_log(h, "kms.yaml:10: nonsense: unknown key\n");
    assert_int_equal(run(h, "--log-format", "json"), 3);
    harness_expect_log(h, "\"priority\":\"error\"");
}

static void a_state_dir_without_parent_exits_with_3(void **state)
{
    struct harness *h = *state;
    char path[96];
    (void)snprintf(path, sizeof path, "%s/kms.yaml", h->directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fprintf(file,
                  "apiVersion: p11-kms/v1\nstateDir: %s/a/b\ntoken: {module: /m.so, uri: "
                  "\"pkcs11:token=a\", pinSource: protected}\n",
                  h->directory);
    (void)fclose(file);
    assert_int_equal(run(h, NULL, NULL), 3);
    harness_expect_log(h, "a/b: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, harness_set_up, harness_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(usage_errors_exit_with_2),
        TEST(help_and_version_exit_with_0),
        TEST(check_config_says_ok_or_why),
        TEST(a_bad_configuration_exits_with_3),
        TEST(a_state_dir_without_parent_exits_with_3),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
