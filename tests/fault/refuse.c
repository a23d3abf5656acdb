/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon does not start with: a wrong configuration (3), and a socket that somebody else
 * serves (4). */
#include "harness.h"

#include <signal.h>
#include <string.h>

enum { TEST_SECONDS = 100, EXIT_MS = 20000, EXIT_CONFIG = 3, EXIT_IN_USE = 4 };

/* --- configuration ----------------------------------------------------------------------- */

/* Runs p11-kmsd on the config file; its exit code, with what it said. */
static int run_daemon(const struct harness *h, bool check_only, char *ret_said, size_t size)
{
    char out[HARNESS_PATH_MAX], config[HARNESS_PATH_MAX];
    char daemon[] = "build/p11-kmsd", option[] = "--config", check[] = "--check-config";
    harness_path(h, "out", out);
    (void)unlink(out);
    memcpy(config, h->config_path, sizeof config);
    char *const argv[] = {daemon, option, config, check_only ? check : NULL, NULL};
    int code = process_run(argv, out, EXIT_MS);
    (void)harness_read(out, ret_said, size);
    return code;
}

/* Both ways of reading it name the same file, line and field. */
static void assert_refused(struct harness *h, const char *yaml, const char *line_and_field)
{
    char said[8192], expected[HARNESS_PATH_MAX + 128];
    harness_write(h, "config.yaml", yaml, 0600);
    (void)snprintf(expected, sizeof expected, "%s:%s", h->config_path, line_and_field);
    for (int check_only = 0; check_only < 2; check_only++) {
        assert_int_equal(run_daemon(h, check_only, said, sizeof said), EXIT_CONFIG);
        if (!strstr(said, expected))
            fail_msg("no '%s' in: %s", expected, said);
    }
    printf("  %s", said);
    assert_int_not_equal(access(h->socket, F_OK), 0);
    h->passed = true;
}

#define GOOD_START                                                                                 \
    "apiVersion: p11-kms/v1\n"                                                                     \
    "token:\n"                                                                                     \
    "  module: /usr/lib/softhsm/libsofthsm2.so\n"                                                  \
    "  uri: \"pkcs11:token=test\"\n"                                                               \
    "  pinSource: file:/nonexistent\n"

static void test_bad_yaml(void **state)
{
    assert_refused(*state, GOOD_START "ring: [k8s\nlog: {level: info\n", "7: ");
}

static void test_unknown_key(void **state)
{
    assert_refused(*state, GOOD_START "  timeuot: 2s\n", "6: token.timeuot: ");
}

static void test_wrong_range(void **state)
{
    assert_refused(*state, GOOD_START "  timeout: 2h\n", "6: token.timeout: ");
}

static void test_empty_file(void **state)
{
    assert_refused(*state, "", "1: ");
}

static void test_good_file(void **state)
{
    struct harness *h = *state;
    char said[4096];
    assert_int_equal(run_daemon(h, true, said, sizeof said), 0);
    h->passed = true;
}

/* --- the socket -------------------------------------------------------------------------- */

static void assert_undisturbed(const struct harness *h, struct kms_client *client, pid_t front_end,
                               pid_t agent)
{
    struct kms_client_status status;
    struct kms_failure failure;
    assert_false(err_is(kms_client_status(client, KMS_API_V2, HARNESS_CALL_MS, &status, &failure)));
    assert_string_equal(status.healthz, "ok");
    assert_int_equal(harness_front_end(h), front_end);
    assert_int_equal(harness_agent(h), agent);
}

/* The client's connection is never made anew: that it still answers proves that it stayed. */
static void test_socket_in_use(void **state)
{
    struct harness *h = *state;
    char said[8192];
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    pid_t front_end = harness_front_end(h), agent = harness_agent(h);
    assert_undisturbed(h, client, front_end, agent);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(run_daemon(h, false, said, sizeof said), EXIT_IN_USE);
        assert_non_null(strstr(said, h->socket));
        assert_undisturbed(h, client, front_end, agent);
    }
    printf("  %s", said);
    harness_round_trips(h);
    h->passed = true;
}

int main(void)
{
#define REFUSE(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        REFUSE(test_bad_yaml),   REFUSE(test_unknown_key), REFUSE(test_wrong_range),
        REFUSE(test_empty_file), REFUSE(test_good_file),   REFUSE(test_socket_in_use),
    };
    return HARNESS_RUN("refusing to start", tests, TEST_SECONDS);
}
