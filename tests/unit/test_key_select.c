/* SPDX-License-Identifier: Apache-2.0 */
/* ring.select: which objects are an external ring's keys, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "key_select.h"

#include <string.h>

static bool matches(const char *text, const char *id, const char *label)
{
    struct key_select select;
    struct object_id object = {.len = (uint8_t)strlen(id)};
    memcpy(object.data, id, object.len);
    const char *wrong = key_select_parse(text, &select);
    if (wrong)
        fail_msg("%s: %s", text, wrong);
    return key_select_matches(&select, &object, label);
}

static void label_globs(void **state)
{
    (void)state;
    assert_true(matches("label:customer-*", "\1", "customer-1"));
    assert_true(matches("label:customer-*", "\1", "customer-a/b"));
    assert_true(matches("label:customer-?", "\1", "customer-1"));
    assert_true(matches("label:customer-[12]", "\1", "customer-2"));
    assert_false(matches("label:customer-?", "\1", "customer-10"));
    assert_false(matches("label:customer-*", "\1", "another customer-1"));
    assert_false(matches("label:customer", "\1", "customer-1"));
    assert_false(matches("label:customer", "\1", ""));
}

static void id_globs(void **state)
{
    (void)state;
    assert_true(matches("id:0a*", "\x0a\x01", ""));
    assert_true(matches("id:0a0?", "\x0a\x01", "any"));
    assert_false(matches("id:0a", "\x0a\x01", ""));
    assert_false(matches("id:0a0?", "\x0a\x11", ""));
    assert_false(matches("id:*0a", "\x0a\x01", "0a"));
}

static void uris_match_exactly(void **state)
{
    (void)state;
    assert_true(matches("pkcs11:object=k8s", "\1", "k8s"));
    assert_true(matches("pkcs11:object=k8s%20kek%2f1", "\1", "k8s kek/1"));
    assert_true(matches("pkcs11:object=%C3%A4", "\1", "\xc3\xa4"));
    assert_false(matches("pkcs11:object=k*", "\1", "k8s")); /* no pattern in a URI */
    assert_true(matches("pkcs11:object=k*", "\1", "k*"));
    assert_true(matches("pkcs11:id=%0A%01", "\x0a\x01", ""));
    assert_true(matches("pkcs11:id=ab", "ab", ""));
    assert_false(matches("pkcs11:id=%0A", "\x0a\x01", ""));
    assert_true(matches("pkcs11:type=secret-key;id=%0A;object=a", "\x0a", "a"));
    assert_false(matches("pkcs11:id=%0A;object=a", "\x0a", "b"));
    assert_false(matches("pkcs11:id=%0A;object=a", "\x0b", "a"));
}

static void what_is_wrong_is_said(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } rows[] = {
        {"", "must be label:GLOB"},
        {"k8s-*", "must be label:GLOB"},
        {"Label:a", "must be label:GLOB"},
        {"label:", "label: needs a pattern"},
        {"id:", "id: needs a pattern"},
        {"id:0A", "lower-case"},
        {"id:0x0a", "lower-case"},
        {"id:0a 01", "lower-case"},
        {"pkcs11:", "object, id and type=secret-key"},
        {"pkcs11:token=a", "the token is named by token.uri"},
        {"pkcs11:token=a;object=b", "the token is named by token.uri"},
        {"pkcs11:object=a;type=private", "object, id and type=secret-key"},
        {"pkcs11:type=secret-key", "must name keys"},
        {"pkcs11:object=a;object=b", "object is given twice"},
        {"pkcs11:id=a;id=b", "id is given twice"},
        {"pkcs11:object=a;", "object, id and type=secret-key"},
        {"pkcs11:object=", "object must be a label"},
        {"pkcs11:object=a%00b", "object must be a label"},
        {"pkcs11:object=a b", "object must be a label"},
        {"pkcs11:object=a?pin-value=1", "object must be a label"},
        {"pkcs11:object=a%2", "object must be a label"},
        {"pkcs11:object=a%zz", "object must be a label"},
        {"pkcs11:id=", "id must be 1 to 64 bytes"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct key_select select = {.label = "untouched"};
        const char *wrong = key_select_parse(rows[i].text, &select);
        if (!wrong || !strstr(wrong, rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, wrong ? wrong : "(taken)",
                     rows[i].says);
        assert_string_equal(select.label, "untouched");
    }
}

static void lengths(void **state)
{
    char text[KEY_SELECT_MAX + 2], id[8 + 3 * (OBJECT_ID_MAX + 1)];
    struct key_select select;
    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text, "label:", 6);
    text[KEY_SELECT_MAX + 1] = '\0';
    assert_non_null(key_select_parse(text, &select));
    text[KEY_SELECT_MAX] = '\0';
    assert_null(key_select_parse(text, &select));

    size_t len = (size_t)snprintf(id, sizeof id, "pkcs11:id=");
    for (int i = 0; i < OBJECT_ID_MAX; i++, len += 1)
        id[len] = 'x';
    id[len] = '\0';
    assert_null(key_select_parse(id, &select));
    id[len] = 'x';
    id[len + 1] = '\0';
    assert_non_null(key_select_parse(id, &select));
}

static void nothing_matches_an_empty_select(void **state)
{
    (void)state;
    const struct key_select select = {.by_label = false};
    const struct object_id id = {.len = 1};
    assert_false(key_select_matches(&select, &id, ""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(label_globs),
        cmocka_unit_test(id_globs),
        cmocka_unit_test(uris_match_exactly),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(lengths),
        cmocka_unit_test(nothing_matches_an_empty_select),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
