/* SPDX-License-Identifier: Apache-2.0 */
/* Every API row over a real socket: messages, versions, errors, :authority. */
#include "stand.h"

#include "client_call.h"
#include "v1beta1.pb-c.h"
#include "v2.pb-c.h"

#include <string.h>

enum { WAIT_MS = 10000 };

static const struct bytes dek = {(const uint8_t *)"0123456789abcdef0123456789abcdef", 32};

static void round_trip(struct stand *stand, enum kms_api_version version, enum family family)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    assert_false(err_is(secret_new(64, &plaintext)));
    assert_false(err_is(kms_client_encrypt(client, version, dek, WAIT_MS, &sealed, &failure)));
    assert_int_equal(fake_last(&stand->fake, NULL).op, KMS_ENCRYPT);
    assert_int_equal(fake_last(&stand->fake, NULL).family, family);
    assert_string_equal(sealed.key_id, version == KMS_API_V1BETA1 ? "" : FAKE_KEY_ID);
    assert_int_equal(sealed.n_annotations, 0);
    assert_false(
        err_is(kms_client_decrypt(client, version, &sealed, WAIT_MS, plaintext, &failure)));
    char key_id[KEY_ID_MAX + 1];
    struct kms_request last = fake_last(&stand->fake, key_id);
    assert_int_equal(last.op, KMS_DECRYPT);
    assert_int_equal(last.family, family);
    assert_true(last.has_key_id == (version != KMS_API_V1BETA1));
    assert_string_equal(key_id, version == KMS_API_V1BETA1 ? "" : FAKE_KEY_ID);
    assert_true(bytes_equal(secret_bytes(plaintext), dek));
    kms_sealed_release(&sealed);
}

static void test_v1beta1_round_trip(void **state)
{
    round_trip((struct stand *)*state, KMS_API_V1BETA1, FAMILY_V1);
}

static void test_v2alpha1_round_trip(void **state)
{
    round_trip((struct stand *)*state, KMS_API_V2ALPHA1, FAMILY_V2);
}

static void test_v2_round_trip(void **state)
{
    round_trip((struct stand *)*state, KMS_API_V2, FAMILY_V2);
}

static void test_status_of_each_version(void **state)
{
    static const char *const versions[KMS_API_VERSIONS] = {"v1beta1", "v2alpha1", "v2beta1"};
    CLEANUP(kms_client_close_p)
    struct kms_client *client = stand_client((struct stand *)*state);
    for (int i = 0; i < KMS_API_VERSIONS; i++) {
        struct kms_client_status status;
        struct kms_failure failure;
        assert_false(
            err_is(kms_client_status(client, (enum kms_api_version)i, WAIT_MS, &status, &failure)));
        assert_string_equal(status.version, versions[i]);
        assert_string_equal(status.healthz, i == KMS_API_V1BETA1 ? "" : "ok");
        assert_string_equal(status.key_id, i == KMS_API_V1BETA1 ? "" : FAKE_KEY_ID);
        assert_string_equal(status.runtime, i == KMS_API_V1BETA1 ? "p11-kms " P11KMS_VERSION : "");
    }
}

static void test_unhealthy_status_is_an_ok_rpc(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct kms_client_status status;
    struct kms_failure failure;
    fake_set_status(&stand->fake,
                    (struct kms_status){.healthz = "token away", .key_id = FAKE_KEY_ID});
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    assert_false(err_is(kms_client_status(client, KMS_API_V2, WAIT_MS, &status, &failure)));
    assert_string_equal(status.healthz, "token away");
    assert_string_equal(status.key_id, FAKE_KEY_ID);
}

static void test_failed_status_is_an_rpc_error(void **state)
{
    struct stand *stand = (struct stand *)*state;
    struct kms_client_status status;
    struct kms_failure failure;
    fake_set_status(&stand->fake,
                    (struct kms_status){.failed = true, .healthz = "KEK changed\nbadly"});
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    struct err e = kms_client_status(client, KMS_API_V2, WAIT_MS, &status, &failure);
    assert_int_equal(e.code, ERR_TOKEN);
    assert_string_equal(failure.name, "FAILED_PRECONDITION");
    assert_string_equal(failure.message, "KEK changed?badly");
}

static void test_each_error_code(void **state)
{
    static const struct {
        enum err_code code;
        const char *name;
    } rows[] = {{ERR_INVALID, "INVALID_ARGUMENT"},
                {ERR_AUTH, "INVALID_ARGUMENT"},
                {ERR_NOT_FOUND, "NOT_FOUND"},
                {ERR_UNAVAILABLE, "UNAVAILABLE"},
                {ERR_EXHAUSTED, "RESOURCE_EXHAUSTED"},
                {ERR_DEADLINE, "DEADLINE_EXCEEDED"},
                {ERR_CANCELLED, "CANCELLED"},
                {ERR_DENIED, "PERMISSION_DENIED"},
                {ERR_TOKEN, "FAILED_PRECONDITION"},
                {ERR_REFUSED, "FAILED_PRECONDITION"},
                {ERR_UNSUPPORTED, "UNIMPLEMENTED"},
                {ERR_SYSTEM, "INTERNAL"},
                {ERR_INTERNAL, "INTERNAL"}};
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct kms_sealed sealed;
        struct kms_failure failure;
        fake_set_failure(&stand->fake, rows[i].code, "why");
        struct err e = kms_client_encrypt(client, KMS_API_V2, dek, WAIT_MS, &sealed, &failure);
        assert_true(err_is(e));
        assert_string_equal(failure.name, rows[i].name);
        assert_string_equal(failure.message, "why");
    }
}

/* Sends raw bytes and wants a refusal that begins with the words. */
static void refused(struct kms_client *client, const char *package, const char *method,
                    struct bytes request, const char *name, const char *begins)
{
    AUTO_RESPONSE struct client_response response = {NULL, 0};
    struct kms_failure failure = {.name = "OK"};
    char service[64];
    (void)snprintf(service, sizeof service, "%s.KeyManagementService", package);
    struct err e = client_call(client, service, method, request, WAIT_MS, &response, &failure);
    assert_true(err_is(e));
    assert_string_equal(failure.name, name);
    assert_memory_equal(failure.message, begins, strlen(begins));
}

static void test_unknown_methods(void **state)
{
    CLEANUP(kms_client_close_p)
    struct kms_client *client = stand_client((struct stand *)*state);
    refused(client, "v2", "Rotate", dek, "UNIMPLEMENTED", "unknown method");
    refused(client, "v2beta1", "Status", dek, "UNIMPLEMENTED", "unknown method");
    refused(client, "v1beta1", "Status", dek, "UNIMPLEMENTED", "unknown method");
    refused(client, "v2", "Version", dek, "UNIMPLEMENTED", "unknown method");
}

static void test_malformed_messages(void **state)
{
    static const char *const methods[] = {"v2",      "Status",   "v2",      "Encrypt", "v2",
                                          "Decrypt", "v2alpha1", "Decrypt", "v1beta1", "Version",
                                          "v1beta1", "Encrypt",  "v1beta1", "Decrypt"};
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i += 2)
        refused(client, methods[i], methods[i + 1], bytes_of("\x0a\xff\xff\xff\xff\x0f", 6),
                "INVALID_ARGUMENT", "the request is no message");
    assert_int_equal(fake_submitted(&stand->fake), 0);
}

/* Many small fields within the size limit of a message, and one that is too long. */
static void test_too_many_fields(void **state)
{
    static uint8_t unknown[60000];
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    for (size_t i = 0; i < sizeof unknown; i += 2)
        unknown[i] = 0x78; /* field 15, a varint, then its value 0 */
    refused(client, "v2", "Encrypt", bytes_of(unknown, sizeof unknown), "INVALID_ARGUMENT",
            "the request has too many or too long fields");
    memcpy(unknown, "\x0a\xdc\xd4\x03", 4); /* field 1, 59996 bytes */
    refused(client, "v2", "Encrypt", bytes_of(unknown, sizeof unknown), "INVALID_ARGUMENT",
            "the request has too many or too long fields");
    assert_int_equal(fake_submitted(&stand->fake), 0);
}

static void test_v1_wants_its_version(void **state)
{
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    refused(client, "v1beta1", "Encrypt", bytes_of("\x12\x04ping", 6), "INVALID_ARGUMENT",
            "version:");
    refused(client, "v1beta1", "Decrypt", bytes_of("\x0a\x02v2\x12\x01x", 7), "INVALID_ARGUMENT",
            "version:");
    refused(client, "v1beta1", "Encrypt", bytes_of("\x0a\x08v1beta1\0\x12\x04ping", 16),
            "INVALID_ARGUMENT", "version:");
    assert_int_equal(fake_submitted(&stand->fake), 0);
}

static void test_v2_text_fields(void **state)
{
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    refused(client, "v2", "Encrypt", bytes_of("\x0a\x01x\x12\x01\xff", 6), "INVALID_ARGUMENT",
            "uid:");
    refused(client, "v2", "Encrypt", bytes_of("\x0a\x01x\x12\x03u\0v", 8), "INVALID_ARGUMENT",
            "uid:");
    refused(client, "v2", "Decrypt", bytes_of("\x0a\x01x\x1a\x03k\0v", 8), "INVALID_ARGUMENT",
            "key_id: not");
    refused(client, "v2", "Decrypt", bytes_of("\x0a\x01x", 3), "INVALID_ARGUMENT",
            "key_id: missing");
    assert_int_equal(fake_submitted(&stand->fake), 0);
}

static void test_v2_key_id_length(void **state)
{
    struct stand *stand = (struct stand *)*state;
    CLEANUP(kms_client_close_p) struct kms_client *client = stand_client(stand);
    uint8_t request[3 + 1025] = {0x1a, 0x81, 0x08};
    memset(request + 3, 'k', 1025);
    refused(client, "v2", "Decrypt", bytes_of(request, sizeof request), "INVALID_ARGUMENT",
            "key_id: longer");
    assert_int_equal(fake_submitted(&stand->fake), 0);
}

static void test_v2_annotations_are_refused(void **state)
{
    CLEANUP(kms_client_close_p)
    struct kms_client *client = stand_client((struct stand *)*state);
    AUTO_SECRET struct secret *plaintext = NULL;
    struct kms_failure failure;
    char name[] = "a.example";
    struct kms_annotation annotation = {name, bytes_of("v", 1)};
    struct kms_sealed sealed = {.ciphertext = bytes_of("\xeex", 2),
                                .key_id = FAKE_KEY_ID,
                                .annotations = &annotation,
                                .n_annotations = 1};
    assert_false(err_is(secret_new(64, &plaintext)));
    struct err e = kms_client_decrypt(client, KMS_API_V2, &sealed, WAIT_MS, plaintext, &failure);
    assert_int_equal(e.code, ERR_INVALID);
    assert_memory_equal(failure.message, "annotations:", 12);
    refused(client, "v2alpha1", "Decrypt", bytes_of("\x0a\x01x\x1a\x01k\x22\0\x22\0", 10),
            "INVALID_ARGUMENT", "annotations:");
}

static void test_every_authority(void **state)
{
    static const char *const authorities[] = {"localhost",
                                              "/run/p11-kms/kms.sock",
                                              "%2Frun%2Fp11-kms%2Fkms.sock",
                                              "@p11-kms",
                                              "",
                                              "%2Ftmp%2Fk%20m.sock",
                                              "127.0.0.1:80"};
    const struct stand *stand = (const struct stand *)*state;
    for (size_t i = 0; i < sizeof authorities / sizeof authorities[0]; i++) {
        struct kms_client_options options = {stand->path, authorities[i]};
        struct kms_client_status status;
        struct kms_failure failure = {.name = ""};
        CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
        assert_false(err_is(kms_client_open(&options, &client)));
        struct err e = kms_client_status(client, KMS_API_V2, WAIT_MS, &status, &failure);
        if (err_is(e))
            fail_msg("authority '%s': %s %s", authorities[i], failure.name, failure.message);
    }
}

#define STAND_TEST(test) cmocka_unit_test_setup_teardown(test, stand_up, stand_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAND_TEST(test_v1beta1_round_trip),
        STAND_TEST(test_v2alpha1_round_trip),
        STAND_TEST(test_v2_round_trip),
        STAND_TEST(test_status_of_each_version),
        STAND_TEST(test_unhealthy_status_is_an_ok_rpc),
        STAND_TEST(test_failed_status_is_an_rpc_error),
        STAND_TEST(test_each_error_code),
        STAND_TEST(test_unknown_methods),
        STAND_TEST(test_malformed_messages),
        STAND_TEST(test_too_many_fields),
        STAND_TEST(test_v1_wants_its_version),
        STAND_TEST(test_v2_text_fields),
        STAND_TEST(test_v2_key_id_length),
        STAND_TEST(test_v2_annotations_are_refused),
        STAND_TEST(test_every_authority),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
