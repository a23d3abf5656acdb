/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "text.h"

#include <string.h>

static void text_is_cleaned_for_people(void **state)
{
    char good[] = "a\tb\x7f \xc3\xa4", cut[] = "\xc3\xa4 b \xc3";
    (void)state;
    text_clean(good);
    assert_string_equal(good, "a?b? \xc3\xa4");
    text_clean(cut);
    assert_string_equal(cut, "?? b ?");
}

static void hex_round_trip(void **state)
{
    (void)state;
    char text[9];
    uint8_t back[4];
    size_t len;
    assert_false(err_is(hex_encode(bytes_of("\x00\x7f\xab\xff", 4), text, sizeof text)));
    assert_string_equal(text, "007fabff");
    assert_false(err_is(hex_decode("007FabFF", back, sizeof back, &len)));
    assert_int_equal(len, 4);
    assert_memory_equal(back, "\x00\x7f\xab\xff", 4);
    assert_int_equal(hex_encode(bytes_of("\x00\x7f\xab\xff", 4), text, 8).code, ERR_INVALID);
}

static void bad_hex_is_invalid(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "0g", "00 0", "0x00", "0000000000"};
    uint8_t to[4];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(hex_decode(bad[i], to, sizeof to, &len).code, ERR_INVALID);
}

/* RFC 4648, 10. */
static void base64_vectors(void **state)
{
    (void)state;
    static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < 7; i++) {
        char text[16];
        uint8_t back[16];
        size_t len;
        assert_false(err_is(base64_encode(bytes_of_string(plain[i]), text, sizeof text)));
        assert_string_equal(text, coded[i]);
        assert_false(err_is(base64_decode(bytes_of_string(coded[i]), back, sizeof back, &len)));
        assert_true(bytes_equal(bytes_of(back, len), bytes_of_string(plain[i])));
    }
}

static void base64_is_strict(void **state)
{
    (void)state;
    static const char *const bad[] = {"Zg",   "Zg=",      "Zg=\n", "Z===", "====",        "Zh==",
                                      "Zm9=", "Zg==Zg==", " Zg==", "Zm-v", "Zm9vYmFyZm9v"};
    uint8_t to[8];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(base64_decode(bytes_of_string(bad[i]), to, sizeof to, &len).code,
                         ERR_INVALID);
}

static void numbers_within_range(void **state)
{
    (void)state;
    uint64_t value = 7;
    assert_false(err_is(parse_u64("18446744073709551615", 0, UINT64_MAX, &value)));
    assert_true(value == UINT64_MAX);
    static const char *const bad[] = {
        "", "-1", "+1", " 1", "1 ", "0x1", "1a", "18446744073709551616", "99999999999999999999999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(parse_u64(bad[i], 0, UINT64_MAX, &value).code, ERR_INVALID);
    assert_int_equal(parse_u64("4", 5, 6, &value).code, ERR_INVALID);
    assert_int_equal(parse_u64("7", 5, 6, &value).code, ERR_INVALID);
}

static void uuid_is_version_7_of_now(void **state)
{
    (void)state;
    uint8_t uuid[UUID_BYTES], other[UUID_BYTES];
    int64_t before = clock_wall_ms();
    assert_false(err_is(uuid_make(uuid)));
    assert_false(err_is(uuid_make(other)));
    int64_t after = clock_wall_ms();
    assert_int_equal(uuid[6] >> 4, 7);
    assert_int_equal(uuid[8] >> 6, 2);
    assert_true(uuid_time_ms(uuid) >= before && uuid_time_ms(uuid) <= after);
    assert_memory_not_equal(uuid, other, UUID_BYTES);
}

static void uuid_has_one_text_form(void **state)
{
    (void)state;
    static const char text[] = "01890a5d-ac96-774b-bcce-b302099a8057";
    uint8_t uuid[UUID_BYTES];
    char back[UUID_TEXT + 1];
    assert_false(err_is(uuid_parse(bytes_of_string(text), uuid)));
    uuid_format(uuid, back);
    assert_string_equal(back, text);
    assert_true(err_is(uuid_parse(bytes_of_string("01890A5D-ac96-774b-bcce-b302099a8057"), uuid)));
    assert_true(err_is(uuid_parse(bytes_of_string("01890a5dac96774bbcceb302099a8057"), uuid)));
    assert_true(err_is(uuid_parse(bytes_of_string("01890a5d-ac96-774b-bcce-b302099a805-"), uuid)));
    assert_true(err_is(uuid_parse(bytes_of_string("01890a5d-ac96-774b-bcceb-302099a8057"), uuid)));
}

static void random_bytes_differ(void **state)
{
    (void)state;
    uint8_t first[32], second[32];
    assert_false(err_is(random_fill(first, sizeof first)));
    assert_false(err_is(random_fill(second, sizeof second)));
    assert_memory_not_equal(first, second, sizeof first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_cleaned_for_people), cmocka_unit_test(hex_round_trip),
        cmocka_unit_test(bad_hex_is_invalid),         cmocka_unit_test(base64_vectors),
        cmocka_unit_test(base64_is_strict),           cmocka_unit_test(numbers_within_range),
        cmocka_unit_test(uuid_is_version_7_of_now),   cmocka_unit_test(uuid_has_one_text_form),
        cmocka_unit_test(random_bytes_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
