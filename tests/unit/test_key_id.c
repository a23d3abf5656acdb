/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "attributes.h"
#include "key_id.h"

#include <stdio.h>
#include <string.h>

static struct object_id uuid_id(void)
{
    uint8_t raw[16] = {1, 0x89, 1, 1, 1, 1, 0x71, 1, 0x81, 1, 1, 1, 1, 1, 1, 1};
    struct object_id id;
    assert_false(err_is(object_id_from(bytes_of(raw, sizeof raw), &id)));
    return id;
}

static void key_id_round_trip(void **state)
{
    (void)state;
    struct object_id id = uuid_id(), back;
    struct key_id key_id;
    char ring[RING_NAME_MAX + 1];
    assert_false(err_is(key_id_make("k8s", &id, &key_id)));
    assert_string_equal(key_id.text, "k8s.01890101-0101-7101-8101-010101010101");
    assert_false(err_is(key_id_parse(bytes_of_string(key_id.text), ring, &back)));
    assert_string_equal(ring, "k8s");
    assert_true(object_id_equal(&id, &back));
}

static void external_key_id_round_trip(void **state)
{
    (void)state;
    uint8_t longest[OBJECT_ID_MAX];
    struct object_id id = uuid_id(), back;
    struct key_id key_id;
    char ring[RING_NAME_MAX + 1];
    assert_false(err_is(key_id_make_external("k8s", &id, &key_id)));
    assert_string_equal(key_id.text, "k8s.01890101010171018101010101010101");
    assert_false(err_is(key_id_parse(bytes_of_string(key_id.text), ring, &back)));
    assert_true(object_id_equal(&id, &back));

    assert_false(err_is(object_id_from(bytes_of("\x0a", 1), &id)));
    assert_false(err_is(key_id_make_external("k8s", &id, &key_id)));
    assert_string_equal(key_id.text, "k8s.0a");

    memset(longest, 0xfe, sizeof longest);
    assert_false(err_is(object_id_from(bytes_of(longest, sizeof longest), &id)));
    assert_false(err_is(key_id_make_external("a-ring-of-16-chr", &id, &key_id)));
    assert_int_equal(strlen(key_id.text), RING_NAME_MAX + 1 + 2 * OBJECT_ID_MAX);
    assert_false(err_is(key_id_parse(bytes_of_string(key_id.text), ring, &back)));
    assert_string_equal(ring, "a-ring-of-16-chr");
    assert_true(object_id_equal(&id, &back));
}

static void external_key_id_needs_an_id_and_a_ring(void **state)
{
    (void)state;
    const struct object_id none = {.len = 0}, one = {.len = 1};
    struct key_id key_id;
    assert_int_equal(key_id_make_external("k8s", &none, &key_id).code, ERR_INVALID);
    assert_int_equal(key_id_make_external("K8S", &one, &key_id).code, ERR_INVALID);
}

/* What a ring sealed before its mode changed names the same object as what it seals now. */
static void both_forms_of_a_16_byte_id_name_one_object(void **state)
{
    (void)state;
    struct object_id uuid, hex;
    char ring[RING_NAME_MAX + 1];
    assert_false(err_is(
        key_id_parse(bytes_of_string("k8s.01890101-0101-7101-8101-010101010101"), ring, &uuid)));
    assert_false(
        err_is(key_id_parse(bytes_of_string("k8s.01890101010171018101010101010101"), ring, &hex)));
    assert_true(object_id_equal(&uuid, &hex));
}

static void only_canonical_key_ids_parse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "k8s",
        "k8s.",
        ".01890101-0101-7101-8101-010101010101",
        "K8S.01890101-0101-7101-8101-010101010101",
        "k8s.01890101-0101-7101-8101-01010101010",
        "k8s.01890101-0101-7101-8101-0101010101011",
        "k8s.0189010A-0101-7101-8101-010101010101",
        "k8s.018901010-101-7101-8101-010101010101",
        "a-ring-of-17-char.01890101-0101-7101-8101-010101010101",
        "k8s.0",
        "k8s.0A",
        "k8s.0a0",
        "k8s.0g",
        "k8s.0x0a",
        "k8s.0a-01",
        "k8s.0a.01",
        "k8s.0a ",
        "a-ring-of-17-char.0a",
    };
    char hex[8 + 2 * (OBJECT_ID_MAX + 1)];
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(key_id_parse(bytes_of_string(bad[i]), ring, &id).code, ERR_INVALID);
    memset(hex, '0', sizeof hex); /* one byte more than a CKA_ID may have */
    memcpy(hex, "k8s.", 4);
    assert_int_equal(key_id_parse(bytes_of(hex, 4 + 2 * (OBJECT_ID_MAX + 1)), ring, &id).code,
                     ERR_INVALID);
    assert_false(err_is(key_id_parse(bytes_of(hex, 4 + 2 * OBJECT_ID_MAX), ring, &id)));
    assert_int_equal(id.len, OBJECT_ID_MAX);
}

static void key_id_needs_a_uuid(void **state)
{
    (void)state;
    struct object_id id;
    struct key_id key_id;
    assert_false(err_is(object_id_from(bytes_of("short", 5), &id)));
    assert_int_equal(key_id_make("k8s", &id, &key_id).code, ERR_INVALID);
}

static void object_id_bounds(void **state)
{
    (void)state;
    uint8_t raw[OBJECT_ID_MAX + 1] = {0};
    struct object_id id;
    assert_int_equal(object_id_from(bytes_of(raw, 0), &id).code, ERR_INVALID);
    assert_false(err_is(object_id_from(bytes_of(raw, OBJECT_ID_MAX), &id)));
    assert_int_equal(object_id_from(bytes_of(raw, sizeof raw), &id).code, ERR_INVALID);
}

static void round_trip(const struct key_label *label)
{
    struct key_label back;
    char text[KEY_LABEL_MAX + 1];
    assert_false(err_is(key_label_format(label, text)));
    assert_true(strlen(text) <= KEY_LABEL_MAX);
    assert_false(err_is(key_label_parse(bytes_of_string(text), &back)));
    assert_int_equal(back.state, label->state);
    assert_int_equal(back.generation, label->generation);
    assert_int_equal(back.scheme, label->scheme);
    assert_int_equal(back.role, label->role);
    assert_string_equal(back.ring, label->ring);
}

static void label_round_trip_of_all_that_there_is(void **state)
{
    (void)state;
    enum scheme scheme;
    for (size_t i = 0; (scheme = scheme_by_preference(i)) != SCHEME_NONE; i++) {
        for (uint32_t role = 0; role < scheme_roles(scheme); role++) {
            for (int s = KEY_PRE_ACTIVE; s <= KEY_COMPROMISED; s++) {
                const struct key_label label = {"k8s", 12, scheme, role, (enum key_state)s};
                const struct key_label longest = {"sixteen-chars-00", GENERATION_MAX, scheme, role,
                                                  (enum key_state)s};
                round_trip(&label);
                round_trip(&longest);
            }
        }
    }
}

static void labels_are_these(void **state)
{
    (void)state;
    const struct key_label one = {"k8s", 12, SCHEME_HMAC_DERIVE, 0, KEY_ACTIVE},
                           two = {"k8s", 12, SCHEME_AES_CBC_HMAC, 1, KEY_PRE_ACTIVE},
                           none = {"k8s", 12, SCHEME_AES_GCM, 1, KEY_ACTIVE};
    char text[KEY_LABEL_MAX + 1];
    assert_false(err_is(key_label_format(&one, text)));
    assert_string_equal(text, "p11-kms/k8s/12/hmac-derive/active");
    assert_false(err_is(key_label_format(&two, text)));
    assert_string_equal(text, "p11-kms/k8s/12/aes-cbc-hmac/mac/pre-active");
    assert_int_equal(key_label_format(&none, text).code, ERR_INVALID);
}

/* Computed with: printf 'p11-kms/second/v1\0<16 bytes>mac' | sha256sum */
static void second_cka_id_is_derived(void **state)
{
    (void)state;
    static const uint8_t raw[UUID_BYTES] = {0x01, 0x9a, 0x3b, 0x5c, 0x7d, 0x9e, 0x7a, 0xbc,
                                            0x8d, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab};
    static const uint8_t derived[UUID_BYTES] = {0x01, 0x9a, 0x3b, 0x5c, 0x7d, 0x9e, 0x7a, 0xe4,
                                                0x80, 0x81, 0x4d, 0xca, 0xef, 0x5a, 0x6b, 0x14};
    struct object_id first, second, other;
    assert_false(err_is(object_id_from(bytes_of(raw, sizeof raw), &first)));
    assert_false(err_is(object_id_of_role(&first, SCHEME_AES_CBC_HMAC, 1, &second)));
    assert_int_equal(second.len, sizeof derived);
    assert_memory_equal(second.data, derived, sizeof derived);
    assert_false(err_is(object_id_of_role(&first, SCHEME_RSA_OAEP_SIGN, 1, &other)));
    assert_false(object_id_equal(&second, &other));
    assert_false(err_is(object_id_of_role(&first, SCHEME_RSA_OAEP_SIGN, 0, &other)));
    assert_true(object_id_equal(&first, &other));
    assert_int_equal(object_id_of_role(&first, SCHEME_AES_CBC_HMAC, 2, &other).code, ERR_INVALID);
    assert_int_equal(object_id_of_role(&first, SCHEME_AES_GCM, 1, &other).code, ERR_INVALID);
    first.len = 15; /* an operator's own */
    assert_int_equal(object_id_of_role(&first, SCHEME_AES_CBC_HMAC, 1, &other).code, ERR_INVALID);
}

static void strange_labels_do_not_parse(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "p11-kms",
        "p11-kms/k8s/1/aes-gcm",
        "p11-kms/k8s/1/aes-gcm/active/",
        "p11-kms/k8s/01/aes-gcm/active",
        "p11-kms/k8s/0/aes-gcm/active",
        "p11-kms/k8s/1000000/aes-gcm/active",
        "p11-kms/k8s/1/aes-gcm/destroyed",
        "p11-kms/k8s/1/aes-gcm/mac/active",
        "p11-kms/k8s/1/aes-cbc-hmac/active",
        "p11-kms/k8s/1/aes-cbc-hmac//active",
        "p11-kms/k8s/1/aes-cbc-hmac/sign/active",
        "p11-kms/k8s/1/aes-cbc-hmac/mac/mac/active",
        "p11-kms/k8s/1/des/active",
        "p11-kmz/k8s/1/aes-gcm/active",
        "p11-kms/K8S/1/aes-gcm/active",
        "p11-kms-selftest/01890101-0101-7101-8101-010101010101aaaaaaaaaaa",
    };
    struct key_label label;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_true(err_is(key_label_parse(bytes_of_string(bad[i]), &label)));
}

static void prefix_is_that_of_the_rings_labels_alone(void **state)
{
    (void)state;
    char prefix[KEY_LABEL_MAX];
    assert_false(err_is(key_label_prefix("k8", prefix, sizeof prefix)));
    assert_string_equal(prefix, "p11-kms/k8/"); /* no prefix of p11-kms/k8s/ */
    assert_int_equal(key_label_prefix("k8", prefix, 8).code, ERR_INVALID);
}

static void ring_names(void **state)
{
    (void)state;
    assert_true(ring_name_valid("a"));
    assert_true(ring_name_valid("0-z"));
    assert_false(ring_name_valid(""));
    assert_false(ring_name_valid("a.b"));
    assert_false(ring_name_valid("a/b"));
    assert_false(ring_name_valid("seventeen-chars-0"));
}

static const struct kind {
    enum scheme scheme;
    size_t role;
    enum key_type type;
    uint32_t length;
    uint32_t usages;
    const char *excess; /* what can be waived in a KEK of one object */
} kinds[] = {
    {SCHEME_AES_GCM, 0, KEY_TYPE_AES, 32, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT),
     "SIGN,VERIFY,WRAP,UNWRAP,DERIVE"},
    {SCHEME_HMAC_DERIVE, 0, KEY_TYPE_HMAC, 32, ATTR_BIT(ATTR_SIGN),
     "ENCRYPT,DECRYPT,VERIFY,WRAP,UNWRAP,DERIVE"},
    {SCHEME_AES_CBC_HMAC, 0, KEY_TYPE_AES, 32, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT),
     NULL},
    {SCHEME_AES_CBC_HMAC, 1, KEY_TYPE_HMAC, 32, ATTR_BIT(ATTR_SIGN), NULL},
    {SCHEME_RSA_OAEP_SIGN, 0, KEY_TYPE_RSA, 256, ATTR_BIT(ATTR_DECRYPT), NULL},
    {SCHEME_RSA_OAEP_SIGN, 1, KEY_TYPE_EC, 32, ATTR_BIT(ATTR_SIGN), NULL},
    {SCHEME_RSA_OAEP_SIGN, 1, KEY_TYPE_RSA, 384, ATTR_BIT(ATTR_SIGN), NULL},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static struct key_attributes good_attributes(const struct kind *kind)
{
    struct key_attributes a = {
        .known = ATTR_BIT(ATTR_COUNT) - 1, .length = kind->length, .type = kind->type};
    a.value = kind->usages | ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) |
              ATTR_BIT(ATTR_SENSITIVE) | ATTR_BIT(ATTR_ALWAYS_SENSITIVE) |
              ATTR_BIT(ATTR_NEVER_EXTRACTABLE) | ATTR_BIT(ATTR_LOCAL);
    return a;
}

static uint32_t wrong(const struct kind *kind, const struct key_attributes *attributes)
{
    return key_attributes_wrong(kind->scheme, kind->role, attributes);
}

static bool is_pair(const struct kind *kind)
{
    return kind->type == KEY_TYPE_RSA || kind->type == KEY_TYPE_EC;
}

/* Not of the class: tpm2-pkcs11 mixes them up, other tokens do not tell them. */
static bool is_looked_at(const struct kind *kind, unsigned i)
{
    bool secret_only = i == ATTR_ENCRYPT || i == ATTR_VERIFY || i == ATTR_WRAP;
    return is_pair(kind) ? !secret_only : i != ATTR_SIGN_RECOVER;
}

static void each_wrong_attribute_is_found(void **state)
{
    (void)state;
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        struct key_attributes good = good_attributes(kind);
        assert_int_equal(wrong(kind, &good), 0);
        for (unsigned i = 0; i < ATTR_COUNT; i++) {
            struct key_attributes flipped = good, untold = good;
            uint32_t bit = is_looked_at(kind, i) ? ATTR_BIT(i) : 0;
            flipped.value ^= ATTR_BIT(i);
            untold.known &= ~ATTR_BIT(i);
            assert_int_equal(wrong(kind, &flipped), bit);
            assert_int_equal(wrong(kind, &untold), bit);
        }
    }
}

static void key_length_is_checked(void **state)
{
    (void)state;
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        struct key_attributes a = good_attributes(kind);
        uint32_t most = kind->type == KEY_TYPE_RSA ? 384 : 32;
        a.length = 0; /* the token does not tell */
        assert_int_equal(wrong(kind, &a), ATTR_BIT(ATTR_VALUE_LEN));
        a.length = kind->type == KEY_TYPE_RSA ? 255 : 24;
        assert_int_equal(wrong(kind, &a), ATTR_BIT(ATTR_VALUE_LEN));
        a.length = most + 1;
        assert_int_equal(wrong(kind, &a), ATTR_BIT(ATTR_VALUE_LEN));
    }
}

/* An RSA key may sign as well as one of EC; and no other type stands in for another. */
static void key_type_is_checked(void **state)
{
    (void)state;
    for (const struct kind *kind = kinds; kind < kinds + KINDS; kind++) {
        struct key_attributes a = good_attributes(kind);
        bool either = kind->scheme == SCHEME_RSA_OAEP_SIGN && kind->role == 1;
        for (int type = KEY_TYPE_OTHER; type <= KEY_TYPE_LAST; type++) {
            a.type = (enum key_type)type;
            bool right =
                a.type == kind->type || (either && (type == KEY_TYPE_RSA || type == KEY_TYPE_EC));
            assert_int_equal(wrong(kind, &a) & ATTR_BIT(ATTR_KEY_TYPE),
                             right ? 0 : ATTR_BIT(ATTR_KEY_TYPE));
        }
    }
}

/* What a token never tells is not held against its keys; whatever else is wrong still is. */
static void what_a_token_never_tells_is_excused(void **state)
{
    (void)state;
    struct key_attributes a = good_attributes(&kinds[0]);
    a.length = 0;
    a.excused = ATTR_BIT(ATTR_VALUE_LEN);
    assert_int_equal(key_attributes_wrong(kinds[0].scheme, 0, &a), 0);
    a.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
    assert_int_equal(key_attributes_wrong(kinds[0].scheme, 0, &a), ATTR_BIT(ATTR_EXTRACTABLE));
}

static void an_external_keys_type_says_its_scheme(void **state)
{
    (void)state;
    struct key_attributes other = good_attributes(&kinds[0]);
    for (size_t k = 0; k < KINDS; k++)
        if (kinds[k].excess)
            assert_int_equal(key_type_scheme(kinds[k].type), kinds[k].scheme);
    assert_int_equal(key_type_scheme(KEY_TYPE_RSA), SCHEME_AES_GCM);
    other.type = KEY_TYPE_OTHER;
    assert_int_equal(key_attributes_wrong(key_type_scheme(other.type), 0, &other),
                     ATTR_BIT(ATTR_KEY_TYPE));
}

static void no_key_is_right_for_no_scheme(void **state)
{
    (void)state;
    struct key_attributes a = {.known = ATTR_BIT(ATTR_COUNT) - 1};
    assert_true((key_attributes_wrong(SCHEME_NONE, 0, &a) & ATTR_BIT(ATTR_KEY_TYPE)) != 0);
}

/* What keeps a key inside the token, and what a seal needs, is never to be waived. */
static void only_local_and_excess_usages_can_be_waived(void **state)
{
    (void)state;
    char text[128], both[160];
    const uint32_t all = WAIVE_LOCAL | WAIVE_USAGE;
    for (size_t k = 0; k < KINDS && kinds[k].excess; k++) {
        enum scheme scheme = kinds[k].scheme;
        assert_int_equal(key_attributes_waivable(scheme, 0), 0);
        assert_string_equal(
            key_attributes_list(key_attributes_waivable(scheme, WAIVE_LOCAL), text, 128), "LOCAL");
        assert_string_equal(
            key_attributes_list(key_attributes_waivable(scheme, WAIVE_USAGE), text, 128),
            kinds[k].excess);
        (void)snprintf(both, sizeof both, "LOCAL,%s", kinds[k].excess);
        assert_string_equal(key_attributes_list(key_attributes_waivable(scheme, all), text, 128),
                            both);
        assert_int_equal(key_attributes_waivable(scheme, ~all), 0);
    }
}

static void attributes_are_named(void **state)
{
    (void)state;
    char text[64];
    assert_string_equal(key_attributes_list(ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_WRAP), text, 64),
                        "LOCAL,WRAP");
    assert_string_equal(key_attributes_list(ATTR_BIT(ATTR_LOCAL), text, 4), "LOC");
    assert_string_equal(key_attributes_list(0, text, 64), "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(key_id_round_trip),
        cmocka_unit_test(only_canonical_key_ids_parse),
        cmocka_unit_test(key_id_needs_a_uuid),
        cmocka_unit_test(object_id_bounds),
        cmocka_unit_test(label_round_trip_of_all_that_there_is),
        cmocka_unit_test(labels_are_these),
        cmocka_unit_test(second_cka_id_is_derived),
        cmocka_unit_test(strange_labels_do_not_parse),
        cmocka_unit_test(prefix_is_that_of_the_rings_labels_alone),
        cmocka_unit_test(ring_names),
        cmocka_unit_test(each_wrong_attribute_is_found),
        cmocka_unit_test(external_key_id_round_trip),
        cmocka_unit_test(external_key_id_needs_an_id_and_a_ring),
        cmocka_unit_test(both_forms_of_a_16_byte_id_name_one_object),
        cmocka_unit_test(key_length_is_checked),
        cmocka_unit_test(key_type_is_checked),
        cmocka_unit_test(what_a_token_never_tells_is_excused),
        cmocka_unit_test(an_external_keys_type_says_its_scheme),
        cmocka_unit_test(no_key_is_right_for_no_scheme),
        cmocka_unit_test(only_local_and_excess_usages_can_be_waived),
        cmocka_unit_test(attributes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
