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

static void only_one_form_of_a_key_id_parses(void **state)
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
    };
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(key_id_parse(bytes_of_string(bad[i]), ring, &id).code, ERR_INVALID);
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

static struct key_attributes good_attributes(void)
{
    struct key_attributes a = {.known = ATTR_BIT(ATTR_COUNT) - 1, .length = 32};
    a.value = ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) | ATTR_BIT(ATTR_SENSITIVE) |
              ATTR_BIT(ATTR_ALWAYS_SENSITIVE) | ATTR_BIT(ATTR_NEVER_EXTRACTABLE) |
              ATTR_BIT(ATTR_LOCAL) | ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT);
    return a;
}

static void each_wrong_attribute_is_found(void **state)
{
    (void)state;
    struct key_attributes good = good_attributes();
    assert_int_equal(key_attributes_wrong(SCHEME_AES_GCM, &good), 0);
    for (unsigned i = 0; i < ATTR_COUNT; i++) {
        struct key_attributes flipped = good, untold = good;
        flipped.value ^= ATTR_BIT(i);
        untold.known &= ~ATTR_BIT(i);
        assert_int_equal(key_attributes_wrong(SCHEME_AES_GCM, &flipped), ATTR_BIT(i));
        assert_int_equal(key_attributes_wrong(SCHEME_AES_GCM, &untold), ATTR_BIT(i));
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
        cmocka_unit_test(only_one_form_of_a_key_id_parses),
        cmocka_unit_test(key_id_needs_a_uuid),
        cmocka_unit_test(object_id_bounds),
        cmocka_unit_test(label_round_trip_of_every_state),
        cmocka_unit_test(longest_label_fits),
        cmocka_unit_test(strange_labels_do_not_parse),
        cmocka_unit_test(prefix_is_that_of_the_rings_labels_alone),
        cmocka_unit_test(ring_names),
        cmocka_unit_test(each_wrong_attribute_is_found),
        cmocka_unit_test(attributes_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
