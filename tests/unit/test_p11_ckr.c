/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "p11_ckr.h"

#include <string.h>

/* Every return value of PKCS#11 3.0 but CKR_OK, as in OASIS' pkcs11t.h. */
static const struct {
    unsigned long rv;
    const char *name;
} all_of_3_0[] = {
    {0x1, "CKR_CANCEL"},
    {0x2, "CKR_HOST_MEMORY"},
    {0x3, "CKR_SLOT_ID_INVALID"},
    {0x5, "CKR_GENERAL_ERROR"},
    {0x6, "CKR_FUNCTION_FAILED"},
    {0x7, "CKR_ARGUMENTS_BAD"},
    {0x8, "CKR_NO_EVENT"},
    {0x9, "CKR_NEED_TO_CREATE_THREADS"},
    {0xa, "CKR_CANT_LOCK"},
    {0x10, "CKR_ATTRIBUTE_READ_ONLY"},
    {0x11, "CKR_ATTRIBUTE_SENSITIVE"},
    {0x12, "CKR_ATTRIBUTE_TYPE_INVALID"},
    {0x13, "CKR_ATTRIBUTE_VALUE_INVALID"},
    {0x1b, "CKR_ACTION_PROHIBITED"},
    {0x20, "CKR_DATA_INVALID"},
    {0x21, "CKR_DATA_LEN_RANGE"},
    {0x30, "CKR_DEVICE_ERROR"},
    {0x31, "CKR_DEVICE_MEMORY"},
    {0x32, "CKR_DEVICE_REMOVED"},
    {0x40, "CKR_ENCRYPTED_DATA_INVALID"},
    {0x41, "CKR_ENCRYPTED_DATA_LEN_RANGE"},
    {0x42, "CKR_AEAD_DECRYPT_FAILED"},
    {0x50, "CKR_FUNCTION_CANCELED"},
    {0x51, "CKR_FUNCTION_NOT_PARALLEL"},
    {0x54, "CKR_FUNCTION_NOT_SUPPORTED"},
    {0x60, "CKR_KEY_HANDLE_INVALID"},
    {0x62, "CKR_KEY_SIZE_RANGE"},
    {0x63, "CKR_KEY_TYPE_INCONSISTENT"},
    {0x64, "CKR_KEY_NOT_NEEDED"},
    {0x65, "CKR_KEY_CHANGED"},
    {0x66, "CKR_KEY_NEEDED"},
    {0x67, "CKR_KEY_INDIGESTIBLE"},
    {0x68, "CKR_KEY_FUNCTION_NOT_PERMITTED"},
    {0x69, "CKR_KEY_NOT_WRAPPABLE"},
    {0x6a, "CKR_KEY_UNEXTRACTABLE"},
    {0x70, "CKR_MECHANISM_INVALID"},
    {0x71, "CKR_MECHANISM_PARAM_INVALID"},
    {0x82, "CKR_OBJECT_HANDLE_INVALID"},
    {0x90, "CKR_OPERATION_ACTIVE"},
    {0x91, "CKR_OPERATION_NOT_INITIALIZED"},
    {0xa0, "CKR_PIN_INCORRECT"},
    {0xa1, "CKR_PIN_INVALID"},
    {0xa2, "CKR_PIN_LEN_RANGE"},
    {0xa3, "CKR_PIN_EXPIRED"},
    {0xa4, "CKR_PIN_LOCKED"},
    {0xb0, "CKR_SESSION_CLOSED"},
    {0xb1, "CKR_SESSION_COUNT"},
    {0xb3, "CKR_SESSION_HANDLE_INVALID"},
    {0xb4, "CKR_SESSION_PARALLEL_NOT_SUPPORTED"},
    {0xb5, "CKR_SESSION_READ_ONLY"},
    {0xb6, "CKR_SESSION_EXISTS"},
    {0xb7, "CKR_SESSION_READ_ONLY_EXISTS"},
    {0xb8, "CKR_SESSION_READ_WRITE_SO_EXISTS"},
    {0xc0, "CKR_SIGNATURE_INVALID"},
    {0xc1, "CKR_SIGNATURE_LEN_RANGE"},
    {0xd0, "CKR_TEMPLATE_INCOMPLETE"},
    {0xd1, "CKR_TEMPLATE_INCONSISTENT"},
    {0xe0, "CKR_TOKEN_NOT_PRESENT"},
    {0xe1, "CKR_TOKEN_NOT_RECOGNIZED"},
    {0xe2, "CKR_TOKEN_WRITE_PROTECTED"},
    {0xf0, "CKR_UNWRAPPING_KEY_HANDLE_INVALID"},
    {0xf1, "CKR_UNWRAPPING_KEY_SIZE_RANGE"},
    {0xf2, "CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT"},
    {0x100, "CKR_USER_ALREADY_LOGGED_IN"},
    {0x101, "CKR_USER_NOT_LOGGED_IN"},
    {0x102, "CKR_USER_PIN_NOT_INITIALIZED"},
    {0x103, "CKR_USER_TYPE_INVALID"},
    {0x104, "CKR_USER_ANOTHER_ALREADY_LOGGED_IN"},
    {0x105, "CKR_USER_TOO_MANY_TYPES"},
    {0x110, "CKR_WRAPPED_KEY_INVALID"},
    {0x112, "CKR_WRAPPED_KEY_LEN_RANGE"},
    {0x113, "CKR_WRAPPING_KEY_HANDLE_INVALID"},
    {0x114, "CKR_WRAPPING_KEY_SIZE_RANGE"},
    {0x115, "CKR_WRAPPING_KEY_TYPE_INCONSISTENT"},
    {0x120, "CKR_RANDOM_SEED_NOT_SUPPORTED"},
    {0x121, "CKR_RANDOM_NO_RNG"},
    {0x130, "CKR_DOMAIN_PARAMS_INVALID"},
    {0x140, "CKR_CURVE_NOT_SUPPORTED"},
    {0x150, "CKR_BUFFER_TOO_SMALL"},
    {0x160, "CKR_SAVED_STATE_INVALID"},
    {0x170, "CKR_INFORMATION_SENSITIVE"},
    {0x180, "CKR_STATE_UNSAVEABLE"},
    {0x190, "CKR_CRYPTOKI_NOT_INITIALIZED"},
    {0x191, "CKR_CRYPTOKI_ALREADY_INITIALIZED"},
    {0x1a0, "CKR_MUTEX_BAD"},
    {0x1a1, "CKR_MUTEX_NOT_LOCKED"},
    {0x1b0, "CKR_NEW_PIN_MODE"},
    {0x1b1, "CKR_NEXT_OTP"},
    {0x1b5, "CKR_EXCEEDED_MAX_ITERATIONS"},
    {0x1b6, "CKR_FIPS_SELF_TEST_FAILED"},
    {0x1b7, "CKR_LIBRARY_LOAD_FAILED"},
    {0x1b8, "CKR_PIN_TOO_WEAK"},
    {0x1b9, "CKR_PUBLIC_KEY_INVALID"},
    {0x200, "CKR_FUNCTION_REJECTED"},
    {0x201, "CKR_TOKEN_RESOURCE_EXCEEDED"},
    {0x202, "CKR_OPERATION_CANCEL_FAILED"},
    {0x80000000, "CKR_VENDOR_DEFINED"},
};

enum { ALL_OF_3_0 = sizeof all_of_3_0 / sizeof *all_of_3_0, LATER = 2 /* of 3.1 and 3.2 */ };

static void every_value_has_a_row_of_its_own(void **state)
{
    (void)state;
    size_t rows = 0;
    assert_int_equal(ALL_OF_3_0, 97);
    for (size_t i = 0; i < ALL_OF_3_0; i++) {
        const struct p11_ckr *row = p11_ckr_find(all_of_3_0[i].rv);
        assert_string_equal(row->name, all_of_3_0[i].name);
        assert_int_equal(row->rv, all_of_3_0[i].rv);
    }
    while (p11_ckr_row(rows))
        rows++;
    assert_int_equal(rows, ALL_OF_3_0 + LATER);
    assert_string_equal(p11_ckr_find(0x203)->name, "CKR_KEY_EXHAUSTED");
    assert_string_equal(p11_ckr_find(0x208)->name, "CKR_TOKEN_NOT_INITIALIZED");
}

static void rows_are_unique_and_whole(void **state)
{
    (void)state;
    const struct p11_ckr *row, *other;
    for (size_t i = 0; (row = p11_ckr_row(i)); i++) {
        assert_int_not_equal(row->rv, 0);
        assert_int_equal(strncmp(row->name, "CKR_", 4), 0);
        assert_true(strlen(row->text) > 10 && strlen(row->text) < 120);
        assert_true(row->code > ERR_NONE && row->code < ERR_CODES);
        assert_in_range(row->remedy, REMEDY_CALLER, REMEDY_HUMAN);
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
    assert_string_equal(p11_ckr_find(0x80000001UL)->name, "CKR_VENDOR_DEFINED");
    assert_string_equal(p11_ckr_find(0x7777UL)->name, "unknown CKR");
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
        cmocka_unit_test(every_value_has_a_row_of_its_own),
        cmocka_unit_test(rows_are_unique_and_whole),
        cmocka_unit_test(codes_and_remedies_agree),
        cmocka_unit_test(known_values),
        cmocka_unit_test(strange_values_mean_a_new_agent),
        cmocka_unit_test(refusals_of_a_pin),
        cmocka_unit_test(results_become_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
