/* SPDX-License-Identifier: Apache-2.0 */
/* Under memcheck (tests/lint/memcheck.sh) what is padded counts as never written: a branch or an
 * address that depends on it is an error there, so that "in constant time" is checked and not
 * measured. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "padding.h"

#include <string.h>

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(memory, len) ((void)(memory))
#define VALGRIND_MAKE_MEM_DEFINED(memory, len)   ((void)(memory))
#endif

enum { ROOM = 64 };

static size_t plaintext_of(const uint8_t *padded, size_t len)
{
    uint8_t secret[ROOM];
    memcpy(secret, padded, len);
    VALGRIND_MAKE_MEM_UNDEFINED(secret, len);
    size_t found = padding_plaintext(bytes_of(secret, len));
    VALGRIND_MAKE_MEM_DEFINED(&found, sizeof found);
    return found;
}

/* As a reader of RFC 5652 would write it down. */
static size_t plainly(const uint8_t *padded, size_t len)
{
    size_t n = padded[len - 1];
    if (n < 1 || n > 16)
        return 0;
    for (size_t i = 0; i < n; i++)
        if (padded[len - 1 - i] != n)
            return 0;
    return len - n;
}

static void what_is_put_is_found(void **state)
{
    (void)state;
    uint8_t plaintext[ROOM - 16], room[ROOM];
    memset(plaintext, 0x03, sizeof plaintext); /* which looks like a padding itself */
    for (size_t n = 1; n <= sizeof plaintext; n++) {
        struct writer w = writer_over(room, sizeof room);
        padding_put(&w, bytes_of(plaintext, n));
        assert_false(w.full);
        assert_int_equal(w.len, n + 16 - n % 16);
        assert_memory_equal(room, plaintext, n);
        for (size_t i = n; i < w.len; i++)
            assert_int_equal(room[i], w.len - n);
        assert_int_equal(plaintext_of(room, w.len), n);
    }
}

static void no_room_is_said(void **state)
{
    (void)state;
    uint8_t room[31];
    struct writer w = writer_over(room, sizeof room);
    padding_put(&w, bytes_of("sixteen bytes...", 16));
    assert_true(w.full);
}

/* Every last byte, before it every length of a run of it, broken in every place. */
static void what_is_wrong_is_refused(void **state)
{
    (void)state;
    for (unsigned last = 0; last < 256; last++) {
        for (size_t run = 1; run <= 32; run++) {
            uint8_t padded[48];
            memset(padded, (int)last ^ 0x55, sizeof padded);
            memset(padded + sizeof padded - run, (int)last, run);
            assert_int_equal(plaintext_of(padded, sizeof padded), plainly(padded, sizeof padded));
        }
    }
    for (unsigned n = 1; n <= 16; n++) {
        for (size_t at = 0; at < n; at++) {
            for (unsigned bit = 0; bit < 8; bit++) {
                uint8_t padded[32];
                memset(padded, (int)n, sizeof padded);
                padded[sizeof padded - 1 - at] ^= (uint8_t)(1U << bit);
                assert_int_equal(plaintext_of(padded, sizeof padded),
                                 plainly(padded, sizeof padded));
            }
        }
    }
}

static void nothing_but_padding_and_no_blocks_are_refused(void **state)
{
    (void)state;
    uint8_t padded[32];
    memset(padded, 16, sizeof padded);
    assert_int_equal(plaintext_of(padded, 16), 0);
    assert_int_equal(plaintext_of(padded, 32), 16);
    memset(padded, 1, sizeof padded);
    for (size_t len = 0; len < 32; len++)
        assert_int_equal(plaintext_of(padded, len), len == 16 ? 15 : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_is_found),
        cmocka_unit_test(no_room_is_said),
        cmocka_unit_test(what_is_wrong_is_refused),
        cmocka_unit_test(nothing_but_padding_and_no_blocks_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
