/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kms call and status against the real server, as an operator would run them. */
#include "cli_words.h"
#include "stand.h"

#include <string.h>

/* Runs a command with --socket and input on standard input. Words end with NULL. */
static int run(const struct stand *stand, const char *input, const char *const *words)
{
    char socket[128];
    (void)snprintf(socket, sizeof socket, "--socket=unix://%s", stand->path);
    return cli_words(cli_input(input), words, socket);
}

#define RUN(stand, input, ...) run((stand), (input), (const char *const[]){__VA_ARGS__, NULL})

static void assert_begins(const char *text, const char *beginning)
{
    assert_memory_equal(text, beginning, strlen(beginning));
}

static void test_status_well(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "", "status"), 0);
    assert_begins(cli_output, "status:  ok\nkey_id:  k8s.fake\nversion: v2beta1\n");
    assert_int_equal(RUN(stand, "", "status", "--json"), 0);
    assert_begins(cli_output, "{\"ok\": true, \"healthz\": \"ok\", \"key_id\": \"k8s.fake\", "
                              "\"version\": \"v2beta1\"");
}

static void test_status_unwell(void **state)
{
    struct stand *stand = (struct stand *)*state;
    fake_set_status(&stand->fake, (struct kms_status){.healthz = "the token \"t\" is away"});
    assert_int_equal(RUN(stand, "", "status", "--json"), 5);
    assert_begins(cli_output, "{\"ok\": false, \"healthz\": \"the token \\\"t\\\" is away\"");
    assert_int_equal(RUN(stand, "", "status"), 5);
    assert_non_null(strstr(cli_output, "(none yet)"));
    fake_set_status(&stand->fake, (struct kms_status){.failed = true, .healthz = "the token"});
    assert_int_equal(RUN(stand, "", "status"), 5);
    assert_non_null(strstr(cli_errors, "FAILED_PRECONDITION (9): the token"));
}

static void test_call_status_of_each_version(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "", "call", "status", "--api", "v1beta1"), 0);
    assert_string_equal(cli_output,
                        "api: v1beta1\nversion: v1beta1\nruntime: p11-kms " P11KMS_VERSION "\n");
    assert_int_equal(RUN(stand, "", "call", "status", "--api", "v2alpha1", "--json"), 0);
    assert_string_equal(cli_output, "{\"api\": \"v2alpha1\", \"version\": \"v2alpha1\", "
                                    "\"healthz\": \"ok\", \"key_id\": \"k8s.fake\"}\n");
}

static void test_round_trip_in_base64(void **state)
{
    static const char *const versions[] = {"v2", "v2alpha1", "v1beta1"};
    const struct stand *stand = (const struct stand *)*state;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(RUN(stand, "cGluZw==\n", "call", "encrypt", "--api", versions[i]), 0);
        assert_string_equal(cli_output, "7nBpbmc=\n");
        assert_string_equal(cli_errors, i == 2 ? "" : "key_id: k8s.fake\n");
        assert_int_equal(RUN(stand, "7nBpbmc=\n", "call", "decrypt", "--api", versions[i],
                             "--key-id", "k8s.fake"),
                         0);
        assert_string_equal(cli_output, "cGluZw==\n");
    }
}

static void test_round_trip_raw(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "ping", "call", "encrypt", "--raw"), 0);
    assert_string_equal(cli_output, "\xeeping");
    assert_int_equal(RUN(stand, "\xeeping", "call", "decrypt", "--raw", "--key-id=k8s.fake"), 0);
    assert_string_equal(cli_output, "ping");
}

static void test_json(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "cGluZw==", "call", "encrypt", "--json"), 0);
    assert_string_equal(cli_output, "{\"api\": \"v2\", \"key_id\": \"k8s.fake\", "
                                    "\"ciphertext\": \"7nBpbmc=\", \"annotations\": {}}\n");
    assert_int_equal(RUN(stand, "7nBpbmc=", "call", "decrypt", "--json", "--key-id", "k8s.fake"),
                     0);
    assert_string_equal(cli_output, "{\"plaintext\": \"cGluZw==\"}\n");
}

static void test_errors_name_code_and_remedy(void **state)
{
    struct stand *stand = (struct stand *)*state;
    fake_set_failure(&stand->fake, ERR_UNAVAILABLE, "the token is away");
    assert_int_equal(RUN(stand, "cGluZw==", "call", "encrypt"), 5);
    assert_begins(cli_errors, "p11-kms call encrypt: UNAVAILABLE (14): the token is away\n");
    assert_non_null(strstr(cli_errors, "p11-kms status"));
}

static void test_wrong_input(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "not base64!", "call", "encrypt"), 1);
    assert_int_equal(RUN(stand, "7nBpbmc=", "call", "decrypt"), 2);
    assert_int_equal(RUN(stand, "7nBpbmc=", "call", "decrypt", "--key-id", "k8s.fake",
                         "--annotation", "novalue"),
                     2);
    assert_int_equal(RUN(stand, "", "call", "encrypt", "--in", "/nonexistent"), 1);
}

/* This plugin makes none and refuses any; others do, and get them back. */
static void test_annotations_are_sent(void **state)
{
    const struct stand *stand = (const struct stand *)*state;
    assert_int_equal(RUN(stand, "7nBpbmc=", "call", "decrypt", "--key-id", "k8s.fake",
                         "--annotation", "a.example=dg=="),
                     1);
    assert_non_null(strstr(cli_errors, "INVALID_ARGUMENT (3): annotations:"));
}

#define STAND_TEST(test) cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAND_TEST(test_status_well),
        STAND_TEST(test_status_unwell),
        STAND_TEST(test_call_status_of_each_version),
        STAND_TEST(test_round_trip_in_base64),
        STAND_TEST(test_round_trip_raw),
        STAND_TEST(test_json),
        STAND_TEST(test_errors_name_code_and_remedy),
        STAND_TEST(test_wrong_input),
        STAND_TEST(test_annotations_are_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
