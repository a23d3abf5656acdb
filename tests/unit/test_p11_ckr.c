/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "p11_ckr.h"

#include <string.h>

static void rows_are_unique_and_whole(void **state)
{
    (void)state;
    const struct p11_ckr *row, *other;
    for (size_t i = 0; (row = p11_ckr_row(i)); i++) {
        assert_int_not_equal(row->rv, 0);
        assert_int_equal(strncmp(row->name, "CKR_", 4), 0);
        assert_true(strlen(row->text) > 10 && strlen(row->text) < 120);
        assert_true(row->code > ERR_NONE && row->code < ERR_CODES);
        for (size_t k = i + 1; (other = p11_ckr_row(k)); k++)
            assert_int_not_equal(row->rv, other->rv);
    }
}

/* Authentication failures are the caller's; everything that may come back is not. */
static void codes_and_remedies_agree(void **state)
{
    (void)state;
    const struct p11_ckr *row;
    for (size_t i = 0; (row = p11_ckr_row(i)); i++) {
        if (row->code == ERR_AUTH || row->code == ERR_INVALID)
            assert_int_equal(row->remedy, REMEDY_CALLER);
        if (row->code == ERR_TOKEN || row->code == ERR_UNSUPPORTED)
            assert_int_equal(row->remedy, REMEDY_HUMAN);
    }
}

static void known_values(void **state)
{
    (void)state;
    assert_string_equal(p11_ckr_find(0x30)->name, "CKR_DEVICE_ERROR");
    assert_int_equal(p11_ckr_find(0x30)->remedy, REMEDY_AGENT);
    assert_int_equal(p11_ckr_find(0xb3)->remedy, REMEDY_SESSION);
    assert_int_equal(p11_ckr_find(0x101)->remedy, REMEDY_LOGIN);
    assert_int_equal(p11_ckr_find(0xa4)->remedy, REMEDY_HUMAN);
    assert_int_equal(p11_ckr_find(0x40)->remedy, REMEDY_CALLER);
    assert_string_equal(p11_ckr_find(0x42)->name, "CKR_AEAD_DECRYPT_FAILED");
    assert_string_equal(p11_ckr_find(0x1b6)->name, "CKR_FIPS_SELF_TEST_FAILED");
}

static void strange_values_mean_a_new_agent(void **state)
{
    (void)state;
    static const unsigned long strange[] = {0x80000001UL, 0xffffffffffffffffUL, 0x7777UL};
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(p11_ckr_find(strange[i])->remedy, REMEDY_AGENT);
        assert_int_equal(p11_ckr_find(strange[i])->code, ERR_UNAVAILABLE);
    }
}

static void refusals_of_a_pin(void **state)
{
    (void)state;
    assert_true(p11_ckr_refuses_pin(0xa0));
    assert_true(p11_ckr_refuses_pin(0xa2));
    assert_false(p11_ckr_refuses_pin(0x05));
    assert_false(p11_ckr_refuses_pin(0x30));
}

static void results_become_errors(void **state)
{
    (void)state;
    assert_false(err_is(p11_result(0, "C_Test")));
    struct err e = p11_result(0x30, "C_Test");
    assert_int_equal(e.kind, ERR_KIND_CKR);
    assert_int_equal(e.native, 0x30);
    assert_string_equal(e.where, "C_Test");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_unique_and_whole),
        cmocka_unit_test(codes_and_remedies_agree),
        cmocka_unit_test(known_values),
        cmocka_unit_test(strange_values_mean_a_new_agent),
        cmocka_unit_test(refusals_of_a_pin),
        cmocka_unit_test(results_become_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
