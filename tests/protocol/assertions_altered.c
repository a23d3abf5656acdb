/* SPDX-License-Identifier: Apache-2.0 */
/* Of the fifteen assertions about a KMS plugin, that about requests that were altered: never OK.
 * The exact code of every bit is tamper.c's matter. */
#include "peer.h"

#include <string.h>

enum { TEST_SECONDS = 60, ALTERED_MAX = 1024 };

struct altered {
    struct kms_client *client;
    const struct api *api;
    unsigned sent, wrong;
};

static void refuse(struct altered *a, const struct kms_sealed *sealed, const char *what, size_t at)
{
    a->sent++;
    a->wrong += !peer_refuses(a->client, a->api, sealed, what, at);
}

static void alter_ciphertext(struct altered *a, const struct kms_sealed *good, const char *active,
                             const char *other)
{
    uint8_t copy[ALTERED_MAX + 1];
    struct kms_sealed s = *good;
    size_t len = good->ciphertext.len;
    assert_in_range(len, 1, ALTERED_MAX);
    memcpy(copy, good->ciphertext.data, len);
    s.ciphertext.data = copy;
    for (size_t i = 0; i < len; i++) {
        copy[i] ^= (uint8_t)(1U << i % 8);
        refuse(a, &s, "altered at byte", i);
        copy[i] ^= (uint8_t)(1U << i % 8);
        s.ciphertext.len = i;
        refuse(a, &s, "cut to", i);
        s.ciphertext.len = len;
    }
    copy[len] = 0;
    s.ciphertext.len = len + 1;
    refuse(a, &s, "a byte more than", len);
    s.ciphertext.len = len;
    uint8_t *named = memmem(copy, len, active, strlen(active));
    assert_true(named && strlen(active) == strlen(other));
    memcpy(named, other, strlen(other));
    refuse(a, &s, "the other key in the header at", (size_t)(named - copy));
}

static void alter_key_id(struct altered *a, const struct kms_sealed *good, const char *other)
{
    struct kms_sealed s = *good;
    size_t len = strlen(good->key_id);
    for (size_t i = 0; i < len; i++) {
        s.key_id[i] = (char)(s.key_id[i] ^ 1);
        refuse(a, &s, "key_id altered at", i);
        s.key_id[i] = good->key_id[i];
    }
    char more[KMS_CLIENT_KEY_ID_MAX + 1], less[KMS_CLIENT_KEY_ID_MAX + 1];
    (void)snprintf(more, sizeof more, "%.1000s0", good->key_id);
    (void)snprintf(less, sizeof less, "%.*s", (int)(len - 1), good->key_id);
    const char *const ids[] = {"", "unknown", other, more, less, good->key_id + 1};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        (void)snprintf(s.key_id, sizeof s.key_id, "%s", ids[i]);
        refuse(a, &s, ids[i], i);
    }
}

static void alter_annotations(struct altered *a, const struct kms_sealed *good)
{
    char name[] = "added.p11-kms.invalid";
    struct kms_annotation annotation = {name, bytes_of_string("x")};
    struct kms_sealed s = *good;
    s.annotations = &annotation;
    s.n_annotations = 1;
    refuse(a, &s, "an annotation added to", 0);
}

/* What v1 sealed is nothing to v2, and the other way round. */
static void swap_family(struct altered *a, const struct dek *dek, const char *active)
{
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        if (apis[v].v1 == a->api->v1)
            continue;
        CLEANUP(kms_sealed_release)
        struct kms_sealed foreign = peer_seal(a->client, &apis[v], dek_bytes(dek));
        (void)snprintf(foreign.key_id, sizeof foreign.key_id, "%s", active);
        refuse(a, &foreign, "sealed by API", (size_t)v);
    }
}

static void test_altered(void **state)
{
    struct harness *h = *state;
    struct kms_client_status before, active, after;
    peer_serve(h);
    assert_true(harness_status(h, &before));
    peer_rotate(h, "2", &active);
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    struct altered a = {.client = client};
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        struct dek dek = random_dek();
        a.api = &apis[v];
        CLEANUP(kms_sealed_release)
        struct kms_sealed good = peer_seal(client, a.api, dek_bytes(&dek));
        alter_ciphertext(&a, &good, active.key_id, before.key_id);
        swap_family(&a, &dek, active.key_id);
        if (!apis[v].v1) {
            alter_key_id(&a, &good, before.key_id);
            alter_annotations(&a, &good);
        }
        peer_open(client, a.api, &good, dek_bytes(&dek));
    }
    printf("figure: %u altered Decrypts, %u not refused\n", a.sent, a.wrong);
    assert_int_equal(a.wrong, 0);
    assert_true(harness_status(h, &after));
    assert_string_equal(after.healthz, "ok");
    assert_string_equal(after.key_id, active.key_id);
    h->passed = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        {"13 altered requests", test_altered, harness_setup, harness_teardown, NULL},
    };
    return HARNESS_RUN("assertion 13: altered requests", tests, TEST_SECONDS);
}
