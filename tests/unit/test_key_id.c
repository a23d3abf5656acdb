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

static void label_round_trip_of_every_state(void **state)
{
    (void)state;
    for (int s = KEY_PRE_ACTIVE; s <= KEY_COMPROMISED; s++) {
        struct key_label label = {"k8s", 12, SCHEME_AES_GCM, (enum key_state)s}, back;
        char text[KEY_LABEL_MAX + 1];
        assert_false(err_is(key_label_format(&label, text)));
        assert_false(err_is(key_label_parse(bytes_of_string(text), &back)));
        assert_int_equal(back.state, label.state);
        assert_int_equal(back.generation, 12);
        assert_string_equal(back.ring, "k8s");
    }
}

static void longest_label_fits(void **state)
{
    (void)state;
    struct key_label label = {"sixteen-chars-00", GENERATION_MAX, SCHEME_AES_GCM, KEY_COMPROMISED};
    char text[KEY_LABEL_MAX + 1];
    assert_false(err_is(key_label_format(&label, text)));
    assert_true(strlen(text) <= KEY_LABEL_MAX);
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
    enum key_type type;
    uint32_t usages;
    const char *excess;
} kinds[] = {
    {SCHEME_AES_GCM, KEY_TYPE_AES, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT),
     "SIGN,VERIFY,WRAP,UNWRAP,DERIVE"},
    {SCHEME_HMAC_DERIVE, KEY_TYPE_HMAC, ATTR_BIT(ATTR_SIGN),
     "ENCRYPT,DECRYPT,VERIFY,WRAP,UNWRAP,DERIVE"},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static struct key_attributes good_attributes(const struct kind *kind)
{
    struct key_attributes a = {.known = ATTR_BIT(ATTR_COUNT) - 1, .length = 32, .type = kind->type};
    a.value = kind->usages | ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) |
              ATTR_BIT(ATTR_SENSITIVE) | ATTR_BIT(ATTR_ALWAYS_SENSITIVE) |
              ATTR_BIT(ATTR_NEVER_EXTRACTABLE) | ATTR_BIT(ATTR_LOCAL);
    return a;
}

static void each_wrong_attribute_is_found(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        enum scheme scheme = kinds[k].scheme;
        struct key_attributes good = good_attributes(&kinds[k]);
        assert_int_equal(key_attributes_wrong(scheme, &good), 0);
        for (unsigned i = 0; i < ATTR_COUNT; i++) {
            struct key_attributes flipped = good, untold = good;
            flipped.value ^= ATTR_BIT(i);
            untold.known &= ~ATTR_BIT(i);
            assert_int_equal(key_attributes_wrong(scheme, &flipped), ATTR_BIT(i));
            assert_int_equal(key_attributes_wrong(scheme, &untold), ATTR_BIT(i));
        }
    }
}

static void key_type_and_length_are_checked(void **state)
{
    (void)state;
    for (size_t k = 0; k < KINDS; k++) {
        enum scheme scheme = kinds[k].scheme;
        struct key_attributes a = good_attributes(&kinds[k]);
        for (int type = KEY_TYPE_OTHER; type <= KEY_TYPE_HMAC; type++) {
            a.type = (enum key_type)type;
            assert_int_equal(key_attributes_wrong(scheme, &a),
                             a.type == kinds[k].type ? 0 : ATTR_BIT(ATTR_KEY_TYPE));
        }
        a.type = kinds[k].type;
        for (a.length = 0; a.length <= 24; a.length += 8) /* 0: the token does not tell */
            assert_int_equal(key_attributes_wrong(scheme, &a), ATTR_BIT(ATTR_VALUE_LEN));
    }
}

static void an_external_keys_type_says_its_scheme(void **state)
{
    (void)state;
    struct key_attributes other = good_attributes(&kinds[0]);
    for (size_t k = 0; k < KINDS; k++)
        assert_int_equal(key_type_scheme(kinds[k].type), kinds[k].scheme);
    other.type = KEY_TYPE_OTHER;
    assert_int_equal(key_attributes_wrong(key_type_scheme(other.type), &other),
                     ATTR_BIT(ATTR_KEY_TYPE));
}

static void no_key_is_right_for_no_scheme(void **state)
{
    (void)state;
    struct key_attributes a = {.known = ATTR_BIT(ATTR_COUNT) - 1};
    assert_true((key_attributes_wrong(SCHEME_NONE, &a) & ATTR_BIT(ATTR_KEY_TYPE)) != 0);
}

/* What keeps a key inside the token, and what a seal needs, is never to be waived. */
static void only_local_and_excess_usages_can_be_waived(void **state)
{
    (void)state;
    char text[128], both[160];
    const uint32_t all = WAIVE_LOCAL | WAIVE_USAGE;
    for (size_t k = 0; k < KINDS; k++) {
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
        cmocka_unit_test(label_round_trip_of_every_state),
        cmocka_unit_test(longest_label_fits),
        cmocka_unit_test(strange_labels_do_not_parse),
        cmocka_unit_test(prefix_is_that_of_the_rings_labels_alone),
        cmocka_unit_test(ring_names),
        cmocka_unit_test(each_wrong_attribute_is_found),
        cmocka_unit_test(external_key_id_round_trip),
        cmocka_unit_test(external_key_id_needs_an_id_and_a_ring),
        cmocka_unit_test(both_forms_of_a_16_byte_id_name_one_object),
        cmocka_unit_test(key_type_and_length_are_checked),
        cmocka_unit_test(an_external_keys_type_says_its_scheme),
        cmocka_unit_test(no_key_is_right_for_no_scheme),
        cmocka_unit_test(only_local_and_excess_usages_can_be_waived),
        cmocka_unit_test(attributes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
