/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fifteen assertions about a KMS plugin, those that one undisturbed daemon shows. */
#include "peer.h"

#include "async.h"
#include "client_call.h"

#include <ctype.h>
#include <regex.h>
#include <string.h>

enum {
    TEST_SECONDS = 60,
    V2_CIPHERTEXT_MAX = 1024,
    V1_CIPHER_MAX = 65535,
    SEALS = 60,
    AUTHORITY_MAX = 3 * HARNESS_PATH_MAX
};

/* --- 01 three services on one socket ----------------------------------------------------- */

static void on_probed(void *context, const struct async_answer *answer)
{
    *(grpc_status_code *)context = answer->code;
}

/* What an empty message to that path is answered. */
static grpc_status_code probe(struct async *async, const char *path)
{
    grpc_status_code code = GRPC_STATUS_UNKNOWN;
    async_start(async, &(struct async_request){.path = path,
                                               .timeout_ms = patience(PEER_CALL_MS),
                                               .done = on_probed,
                                               .context = &code});
    async_wait(async, 0);
    return code;
}

static void test_services(void **state)
{
    static const char *const unknown[] = {
        "/v1beta1.KeyManagementService/Status",
        "/v2.KeyManagementService/Version",
        "/v2.KeyManagementService/status",
        "/v2beta1.KeyManagementService/Status",
        "/v2.KeyManagement/Status",
        "/p11kms.admin.v1.Admin/Status",
        "/x/y",
    };
    struct harness *h = *state;
    peer_serve(h);
    struct async *async = async_open(h->socket, 1);
    assert_non_null(async);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        for (int method = WIRE_STATUS; method <= WIRE_DECRYPT; method++) {
            char path[WIRE_PATH_MAX + 1];
            wire_path(apis[v].version, (enum wire_method)method, path);
            if (probe(async, path) == GRPC_STATUS_UNIMPLEMENTED)
                fail_msg("%s is not served", path);
        }
    }
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        grpc_status_code code = probe(async, unknown[i]);
        if (code != GRPC_STATUS_UNIMPLEMENTED)
            fail_msg("%s: %s", unknown[i], async_code_name(code));
    }
    async_close(async);
    h->passed = true;
}

/* --- 02 every authority ------------------------------------------------------------------ */

static void escape(const char *path, const char *digits, char ret[static AUTHORITY_MAX])
{
    size_t n = 0;
    for (const char *c = path; *c; c++) {
        if (isalnum((unsigned char)*c) || strchr("-._~", *c)) {
            ret[n++] = *c;
            continue;
        }
        ret[n++] = '%';
        ret[n++] = digits[(unsigned char)*c >> 4];
        ret[n++] = digits[(unsigned char)*c & 15];
    }
    ret[n] = '\0';
}

static struct kms_client *connect_with(const struct harness *h, const char *authority)
{
    const struct kms_client_options options = {.socket_path = h->socket, .authority = authority};
    struct kms_client *client = NULL;
    assert_false(err_is(kms_client_open(&options, &client)));
    return client;
}

/* The forms that API servers of several releases send. */
static void test_authorities(void **state)
{
    struct harness *h = *state;
    char upper[AUTHORITY_MAX], lower[AUTHORITY_MAX];
    escape(h->socket, "0123456789ABCDEF", upper);
    escape(h->socket, "0123456789abcdef", lower);
    const char *const authorities[] = {"localhost", h->socket, upper, lower, "@p11-kms"};
    peer_serve(h);
    for (size_t i = 0; i < sizeof authorities / sizeof *authorities; i++) {
        CLEANUP(kms_client_close_p) struct kms_client *client = connect_with(h, authorities[i]);
        for (int v = 0; v < KMS_API_VERSIONS; v++) {
            struct dek dek = random_dek();
            (void)peer_status(client, &apis[v]);
            CLEANUP(kms_sealed_release)
            struct kms_sealed sealed = peer_seal(client, &apis[v], dek_bytes(&dek));
            peer_open(client, &apis[v], &sealed, dek_bytes(&dek));
        }
    }
    h->passed = true;
}

/* --- 03 and 04: v1 ----------------------------------------------------------------------- */

static void test_v1_version(void **state)
{
    struct harness *h = *state;
    regex_t name_and_semver;
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct kms_client_status got = peer_status(client, &apis[KMS_API_V1BETA1]);
    assert_string_equal(got.version, "v1beta1");
    assert_int_equal(regcomp(&name_and_semver, "^[^ ]+ v?[0-9]+\\.[0-9]+\\.[0-9]+([-+].+)?$",
                             REG_EXTENDED | REG_NOSUB),
                     0);
    int matches = regexec(&name_and_semver, got.runtime, 0, NULL, 0);
    regfree(&name_and_semver);
    if (matches != 0)
        fail_msg("the runtime's name and version are '%s'", got.runtime);
    h->passed = true;
}

static void test_v1_round_trip(void **state)
{
    struct harness *h = *state;
    struct dek dek = random_dek();
    const struct bytes plaintexts[] = {bytes_of_string("ping"), dek_bytes(&dek)};
    const struct api *v1 = &apis[KMS_API_V1BETA1];
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (size_t i = 0; i < sizeof plaintexts / sizeof *plaintexts; i++) {
        CLEANUP(kms_sealed_release)
        struct kms_sealed sealed = peer_seal(client, v1, plaintexts[i]);
        assert_in_range(sealed.ciphertext.len, 1, V1_CIPHER_MAX);
        peer_open(client, v1, &sealed, plaintexts[i]);
    }
    h->passed = true;
}

/* --- 09 ciphertext size ------------------------------------------------------------------ */

static void test_ciphertext_size(void **state)
{
    struct harness *h = *state;
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        struct dek dek = random_dek();
        CLEANUP(kms_sealed_release)
        struct kms_sealed sealed = peer_seal(client, &apis[v], dek_bytes(&dek));
        assert_in_range(sealed.ciphertext.len, 1, V2_CIPHERTEXT_MAX);
        assert_null(memmem(sealed.ciphertext.data, sealed.ciphertext.len, dek.data, DEK_LEN));
        peer_open(client, &apis[v], &sealed, dek_bytes(&dek));
    }
    h->passed = true;
}

/* --- 10 annotations ---------------------------------------------------------------------- */

static unsigned accepted_annotations(struct kms_client *client, const struct api *api,
                                     const struct kms_sealed *good)
{
    char valid[] = "added.p11-kms.invalid", single[] = "added", empty[] = "";
    struct kms_annotation annotations[] = {
        {valid, bytes_of_string("x")},
        {valid, bytes_of_string("")},
        {single, bytes_of_string("x")},
        {empty, bytes_of_string("")},
    };
    unsigned accepted = 0;
    for (size_t i = 0; i < sizeof annotations / sizeof *annotations; i++) {
        struct kms_sealed annotated = *good;
        annotated.annotations = &annotations[i];
        annotated.n_annotations = 1;
        accepted += !peer_refuses(client, api, &annotated, "annotation", i);
    }
    return accepted;
}

/* None is sent, and any received is refused. */
static void test_annotations(void **state)
{
    struct harness *h = *state;
    unsigned accepted = 0;
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        struct dek dek = random_dek();
        CLEANUP(kms_sealed_release)
        struct kms_sealed sealed = peer_seal(client, &apis[v], dek_bytes(&dek));
        assert_int_equal(sealed.n_annotations, 0);
        if (!apis[v].v1)
            accepted += accepted_annotations(client, &apis[v], &sealed);
        peer_open(client, &apis[v], &sealed, dek_bytes(&dek));
    }
    assert_int_equal(accepted, 0);
    h->passed = true;
}

/* --- 14 distinct ciphertexts ------------------------------------------------------------- */

static void distinct_ciphertexts(struct kms_client *client, const struct api *api)
{
    struct kms_sealed sealed[SEALS];
    struct dek dek = random_dek();
    for (size_t i = 0; i < SEALS; i++) {
        sealed[i] = peer_seal(client, api, dek_bytes(&dek));
        for (size_t before = 0; before < i; before++)
            assert_false(bytes_equal(sealed[i].ciphertext, sealed[before].ciphertext));
        peer_open(client, api, &sealed[i], dek_bytes(&dek));
    }
    for (size_t i = 0; i < SEALS; i++)
        kms_sealed_release(&sealed[i]);
}

static struct client_response call(struct kms_client *client, const struct api *api,
                                   const char *method, const struct writer *request)
{
    struct client_response response = {.len = 0};
    struct kms_failure failure;
    assert_false(request->full);
    if (err_is(client_call(client, kms_api_service_name(api->version), method,
                           writer_bytes(request), patience(PEER_CALL_MS), &response, &failure)))
        fail_msg("%s: %s: %s", method, failure.name, failure.message);
    return response;
}

/* Sealed under one uid, opened under another. */
static void cross_uids(struct kms_client *client, const struct api *api, const char *seal_uid,
                       const char *open_uid)
{
    uint8_t memory[2][WIRE_MESSAGE_MAX];
    struct writer encrypt = writer_over(memory[0], WIRE_MESSAGE_MAX);
    struct writer decrypt = writer_over(memory[1], WIRE_MESSAGE_MAX);
    struct dek dek = random_dek();
    wire_put_field(&encrypt, 1, dek_bytes(&dek));
    wire_put_field(&encrypt, 2, bytes_of_string(seal_uid));
    AUTO_RESPONSE struct client_response sealed = call(client, api, "Encrypt", &encrypt);
    const struct bytes message = bytes_of(sealed.data, sealed.len);
    wire_put_field(&decrypt, 1, wire_field(message, WIRE_OUTPUT));
    wire_put_field(&decrypt, 2, bytes_of_string(open_uid));
    wire_put_field(&decrypt, 3, wire_field(message, WIRE_ENCRYPT_KEY_ID));
    AUTO_RESPONSE struct client_response opened = call(client, api, "Decrypt", &decrypt);
    assert_true(
        bytes_equal(wire_field(bytes_of(opened.data, opened.len), WIRE_OUTPUT), dek_bytes(&dek)));
}

static void test_distinct(void **state)
{
    char lengthy[257];
    memset(lengthy, 'l', sizeof lengthy - 1);
    lengthy[sizeof lengthy - 1] = '\0';
    const char *const uids[] = {"", "u", "u", lengthy, "\u00fcn\u00ef-\U0001f511", "../../etc"};
    const size_t n = sizeof uids / sizeof *uids;
    struct harness *h = *state;
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        distinct_ciphertexts(client, &apis[v]);
        for (size_t i = 0; !apis[v].v1 && i < n; i++)
            cross_uids(client, &apis[v], uids[i], uids[(i + 1) % n]);
    }
    h->passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"01 three services on one socket", test_services, harness_setup, harness_teardown, NULL},
        {"02 every authority", test_authorities, harness_setup, harness_teardown, NULL},
        {"03 v1 version", test_v1_version, harness_setup, harness_teardown, NULL},
        {"04 v1 round trip", test_v1_round_trip, harness_setup, harness_teardown, NULL},
        {"09 ciphertext size", test_ciphertext_size, harness_setup, harness_teardown, NULL},
        {"10 annotations", test_annotations, harness_setup, harness_teardown, NULL},
        {"14 distinct ciphertexts", test_distinct, harness_setup, harness_teardown, NULL},
    };
    return HARNESS_RUN("assertions of calls", tests, TEST_SECONDS);
}
