/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fifteen assertions about a KMS plugin, those that restarts, rotations, replicas and a lost
 * token put to the test. */
#include "peer.h"

#include "client_call.h"
#include "wire.h"

#include <signal.h>
#include <string.h>

enum {
    TEST_SECONDS = 120,
    TOLD_MS = 3000,
    BACK_MS = 10000,
    ROTATED_MS = 10000,
    REPEATS = 20,
    AFTER = 50,
    GENERATIONS = 3
};

/* --- 05 status versions ------------------------------------------------------------------ */

static void assert_status_versions(const struct harness *h, const char *v2)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        assert_string_equal(peer_status(client, &apis[v]).version,
                            v == KMS_API_V2 ? v2 : apis[v].status_version);
}

static void test_status_versions(void **state)
{
    struct harness *h = *state, second;
    peer_serve(h);
    assert_status_versions(h, "v2beta1");
    peer_restart(h);
    assert_status_versions(h, "v2beta1");
    peer_serve_replica(h, "statusVersion: v2\n", &second);
    assert_status_versions(&second, "v2");
    peer_restart(&second);
    assert_status_versions(&second, "v2");
    harness_stop(&second);
    h->passed = true;
}

/* --- 06 health and token loss ------------------------------------------------------------ */

static void move_store(const struct harness *h, const char *from, const char *to)
{
    char old_path[HARNESS_PATH_MAX], new_path[HARNESS_PATH_MAX];
    harness_path(h, from, old_path);
    harness_path(h, to, new_path);
    assert_int_equal(rename(old_path, new_path), 0);
}

/* As it is on the wire, where kms_client would show a line feed as something else. */
static void assert_reason_is_one_line(struct kms_client *client, const struct api *api)
{
    AUTO_RESPONSE struct client_response response = {.len = 0};
    struct kms_failure failure;
    assert_false(
        err_is(client_call(client, kms_api_service_name(api->version), "Status", bytes_of(NULL, 0),
                           patience(PEER_CALL_MS), &response, &failure)));
    struct bytes reason = wire_field(bytes_of(response.data, response.len), WIRE_STATUS_HEALTHZ);
    assert_true(reason.len > 0 && bytes_is_utf8(reason));
    for (size_t i = 0; i < reason.len; i++)
        assert_true(reason.data[i] >= ' ');
}

struct loss {
    struct kms_client *client; /* the connection stays throughout */
    const char *key_id;
    struct kms_client_status now;
};

static bool is_told(void *context)
{
    struct loss *loss = context;
    bool told = true;
    assert_string_equal(peer_status(loss->client, &apis[KMS_API_V1BETA1]).version, "v1beta1");
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++) {
        loss->now = peer_status(loss->client, &apis[v]);
        assert_string_equal(loss->now.key_id, loss->key_id);
        told = told && strcmp(loss->now.healthz, "ok") != 0;
    }
    return told;
}

/* The store goes and the agent dies, so that neither an open session nor a new one can help. */
static void test_token_loss(void **state)
{
    struct harness *h = *state;
    struct dek dek = random_dek();
    const struct api *v2 = &apis[KMS_API_V2];
    int64_t took = 0;
    peer_serve(h);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct kms_client_status before = peer_status(client, v2);
    assert_string_equal(before.healthz, "ok");
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = peer_seal(client, v2, dek_bytes(&dek));
    struct loss loss = {.client = client, .key_id = before.key_id};
    move_store(h, "tokens", "tokens.away");
    assert_int_equal(kill(harness_agent(h), SIGKILL), 0);
    assert_true(await(is_told, &loss, TOLD_MS, &took));
    printf("figure: Status told of the lost token after %lld ms: %s\n", (long long)took,
           loss.now.healthz);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++)
        assert_reason_is_one_line(client, &apis[v]);
    move_store(h, "tokens.away", "tokens");
    took = harness_await_health(h, "ok", BACK_MS);
    printf("figure: healthy %lld ms after the token was back\n", (long long)took);
    assert_string_equal(peer_status(client, v2).key_id, before.key_id);
    peer_open(client, v2, &sealed, dek_bytes(&dek));
    h->passed = true;
}

/* --- 07 stable key_id -------------------------------------------------------------------- */

static void assert_key_id(const struct harness *h, const char *expected)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++)
        for (int i = 0; i < REPEATS; i++)
            assert_string_equal(peer_status(client, &apis[v]).key_id, expected);
}

static void test_stable_key_id(void **state)
{
    struct harness *h = *state, second;
    struct kms_client_status first;
    peer_serve(h);
    assert_true(harness_status(h, &first));
    assert_in_range(strlen(first.key_id), 1, KMS_CLIENT_KEY_ID_MAX);
    assert_key_id(h, first.key_id);
    peer_serve_replica(h, "", &second);
    assert_key_id(&second, first.key_id);
    peer_restart(h);
    assert_key_id(h, first.key_id);
    peer_restart(&second);
    assert_key_id(&second, first.key_id);
    harness_stop(&second);
    h->passed = true;
}

/* --- 08 encrypt agrees with status ------------------------------------------------------- */

/* One call after the other, over one connection per API: what they say is the old key_id, and from
 * some call on the fresh one and never again the old. So Encrypt agrees with the Status before it
 * or, where the rotation fell between the two, with the Status after it. */
struct sequence {
    struct kms_client *client[KMS_API_VERSIONS];
    char old[KMS_CLIENT_KEY_ID_MAX + 1], fresh[KMS_CLIENT_KEY_ID_MAX + 1]; /* "" until it is said */
    unsigned said;
};

static void say(struct sequence *s, const char *key_id)
{
    s->said++;
    if (!s->fresh[0] && strcmp(key_id, s->old) != 0)
        (void)snprintf(s->fresh, sizeof s->fresh, "%s", key_id);
    assert_string_equal(key_id, s->fresh[0] ? s->fresh : s->old);
}

static void ask_and_seal(struct sequence *s)
{
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++) {
        struct dek dek = random_dek();
        say(s, peer_status(s->client[v], &apis[v]).key_id);
        CLEANUP(kms_sealed_release)
        struct kms_sealed sealed = peer_seal(s->client[v], &apis[v], dek_bytes(&dek));
        say(s, sealed.key_id);
    }
}

static void rotate_in_sequence(const struct harness *h, struct sequence *s, const char *generation)
{
    s->fresh[0] = '\0';
    (void)snprintf(s->old, sizeof s->old, "%s",
                   peer_status(s->client[KMS_API_V2], &apis[KMS_API_V2]).key_id);
    for (int i = 0; i < AFTER; i++)
        ask_and_seal(s);
    assert_string_equal(s->fresh, "");
    peer_begin_rotation(h, generation);
    for (int64_t end = now_ms() + patience(ROTATED_MS); !s->fresh[0] && now_ms() < end;)
        ask_and_seal(s);
    assert_string_not_equal(s->fresh, "");
    for (int i = 0; i < AFTER; i++)
        ask_and_seal(s);
}

static void test_encrypt_agrees(void **state)
{
    struct harness *h = *state;
    struct sequence s = {.said = 0};
    peer_serve(h);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++)
        s.client[v] = harness_client(h);
    rotate_in_sequence(h, &s, "2");
    rotate_in_sequence(h, &s, "3");
    printf("figure: %u key_ids said over two rotations, in order\n", s.said);
    for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++)
        kms_client_close(s.client[v]);
    h->passed = true;
}

/* --- 11 decrypt elsewhere ---------------------------------------------------------------- */

/* v2alpha1 and v2 open each other's: a cluster that goes from 1.26 to 1.27 crosses them. */
static void assert_opens(const struct harness *h, const struct kms_sealed sealed[KMS_API_VERSIONS],
                         const struct dek *dek)
{
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
        peer_open(client, &apis[v], &sealed[v], dek_bytes(dek));
        if (!apis[v].v1)
            peer_open(client, &apis[KMS_API_V2ALPHA1 + KMS_API_V2 - v], &sealed[v], dek_bytes(dek));
    }
}

static void seal_each(const struct harness *h, const struct dek *dek,
                      struct kms_sealed ret[static KMS_API_VERSIONS])
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        ret[v] = peer_seal(client, &apis[v], dek_bytes(dek));
}

static void release_each(struct kms_sealed sealed[static KMS_API_VERSIONS])
{
    for (int v = 0; v < KMS_API_VERSIONS; v++)
        kms_sealed_release(&sealed[v]);
}

static void test_decrypt_elsewhere(void **state)
{
    struct harness *h = *state, second;
    struct kms_sealed sealed[KMS_API_VERSIONS], by_second[KMS_API_VERSIONS];
    struct dek dek = random_dek();
    peer_serve(h);
    seal_each(h, &dek, sealed);
    assert_opens(h, sealed, &dek);
    peer_serve_replica(h, "", &second);
    assert_opens(&second, sealed, &dek);
    seal_each(&second, &dek, by_second);
    assert_opens(h, by_second, &dek);
    peer_restart(h);
    assert_opens(h, sealed, &dek);
    assert_opens(h, by_second, &dek);
    harness_stop(&second);
    release_each(sealed);
    release_each(by_second);
    h->passed = true;
}

/* --- 12 old keys decrypt ----------------------------------------------------------------- */

static void test_old_keys_decrypt(void **state)
{
    static const char *const generation[GENERATIONS] = {"1", "2", "3"};
    struct harness *h = *state;
    struct kms_client_status status[GENERATIONS];
    struct kms_sealed sealed[GENERATIONS][KMS_API_VERSIONS];
    struct dek dek = random_dek();
    peer_serve(h);
    assert_true(harness_status(h, &status[0]));
    for (int g = 0; g < GENERATIONS; g++) {
        if (g > 0)
            peer_rotate(h, generation[g], &status[g]);
        for (int before = 0; before < g; before++)
            assert_string_not_equal(status[g].key_id, status[before].key_id);
        seal_each(h, &dek, sealed[g]);
        for (int v = KMS_API_V2ALPHA1; v < KMS_API_VERSIONS; v++)
            assert_string_equal(sealed[g][v].key_id, status[g].key_id);
    }
    for (int restart = 0; restart < 2; restart++) {
        if (restart > 0)
            peer_restart(h);
        assert_key_id(h, status[GENERATIONS - 1].key_id);
        for (int g = 0; g < GENERATIONS; g++)
            assert_opens(h, sealed[g], &dek);
    }
    for (int g = 0; g < GENERATIONS; g++)
        release_each(sealed[g]);
    h->passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"05 status versions", test_status_versions, harness_setup, harness_teardown, NULL},
        {"06 health and token loss", test_token_loss, harness_setup, harness_teardown, NULL},
        {"07 stable key_id", test_stable_key_id, harness_setup, harness_teardown, NULL},
        {"08 encrypt agrees with status", test_encrypt_agrees, harness_setup, harness_teardown,
         NULL},
        {"11 decrypt elsewhere", test_decrypt_elsewhere, harness_setup, harness_teardown, NULL},
        {"12 old keys decrypt", test_old_keys_decrypt, harness_setup, harness_teardown, NULL},
    };
    return HARNESS_RUN("assertions of life", tests, TEST_SECONDS);
}
