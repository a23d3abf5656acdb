/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bytes.h"

#include <string.h>

static void what_is_written_reads_back(void **state)
{
    (void)state;
    uint8_t memory[64];
    struct writer w = writer_over(memory, sizeof memory);
    put_u8(&w, 0x12);
    put_u16(&w, 0x3456);
    put_u32(&w, 0x789abcde);
    put_u64(&w, 0x0123456789abcdefULL);
    put_sized(&w, bytes_of_string("hello"));
    put_bytes(&w, bytes_of_string("end"));
    assert_false(w.full);
    struct reader r = reader_over(writer_bytes(&w));
    assert_int_equal(get_u8(&r), 0x12);
    assert_int_equal(get_u16(&r), 0x3456);
    assert_int_equal(get_u32(&r), 0x789abcde);
    assert_true(get_u64(&r) == 0x0123456789abcdefULL);
    assert_true(bytes_equal(get_sized(&r), bytes_of_string("hello")));
    assert_false(reader_done(&r));
    assert_true(bytes_equal(get_bytes(&r, 3), bytes_of_string("end")));
    assert_true(reader_done(&r));
}

static void numbers_are_big_endian(void **state)
{
    (void)state;
    uint8_t memory[4];
    struct writer w = writer_over(memory, sizeof memory);
    put_u32(&w, 0x01020304);
    assert_memory_equal(memory, "\1\2\3\4", 4);
}

static void full_writer_stays_full(void **state)
{
    (void)state;
    uint8_t memory[5];
    struct writer w = writer_over(memory, sizeof memory);
    put_u32(&w, 1);
    put_u16(&w, 2);
    assert_true(w.full);
    put_u8(&w, 3); /* would fit, but the message is broken */
    assert_true(w.full);
    assert_int_equal(writer_bytes(&w).len, 4);
}

static void too_long_a_sized_field_is_refused(void **state)
{
    (void)state;
    static uint8_t memory[70000], value[65536];
    struct writer w = writer_over(memory, sizeof memory);
    put_sized(&w, bytes_of(value, sizeof value));
    assert_true(w.full);
}

static void bad_reader_stays_bad(void **state)
{
    (void)state;
    struct reader r = reader_over(bytes_of("\0\5ab", 4));
    assert_int_equal(get_sized(&r).len, 0);
    assert_true(r.bad);
    assert_int_equal(get_u8(&r), 0);
    assert_false(reader_done(&r));
}

static void equality(void **state)
{
    (void)state;
    assert_true(bytes_equal(bytes_of(NULL, 0), bytes_of("x", 0)));
    assert_false(bytes_equal(bytes_of("a", 1), bytes_of("ab", 2)));
    assert_true(bytes_equal_secret(bytes_of("same", 4), bytes_of("same", 4)));
    assert_false(bytes_equal_secret(bytes_of("same", 4), bytes_of("sama", 4)));
    assert_false(bytes_equal_secret(bytes_of("same", 4), bytes_of("same", 3)));
}

static void strings_must_fit_and_hold_no_nul(void **state)
{
    (void)state;
    char text[4] = "old";
    assert_false(bytes_to_string(bytes_of("four", 4), text, sizeof text));
    assert_false(bytes_to_string(bytes_of("a\0b", 3), text, sizeof text));
    assert_string_equal(text, "old");
    assert_true(bytes_to_string(bytes_of("new", 3), text, sizeof text));
    assert_string_equal(text, "new");
}

static void utf8(void **state)
{
    (void)state;
    static const char *const good[] = {
        "", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xef\xbf\xbf"};
    static const char *const bad[] = {
        "\x80",             /* continuation alone */
        "\xc3",             /* cut short */
        "\xc0\xaf",         /* overlong */
        "\xe0\x80\xaf",     /* overlong */
        "\xed\xa0\x80",     /* surrogate */
        "\xf4\x90\x80\x80", /* above U+10FFFF */
        "\xf8\x88\x80\x80\x80",
        "\xff",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(bytes_is_utf8(bytes_of_string(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(bytes_is_utf8(bytes_of_string(bad[i])));
    assert_false(bytes_is_utf8(bytes_of("a\0b", 3)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_reads_back),
        cmocka_unit_test(numbers_are_big_endian),
        cmocka_unit_test(full_writer_stays_full),
        cmocka_unit_test(too_long_a_sized_field_is_refused),
        cmocka_unit_test(bad_reader_stays_bad),
        cmocka_unit_test(equality),
        cmocka_unit_test(strings_must_fit_and_hold_no_nul),
        cmocka_unit_test(utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
