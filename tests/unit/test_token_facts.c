/* SPDX-License-Identifier: Apache-2.0 */
/* Which of a token's mechanisms a scheme needs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "token_facts.h"

#include <string.h>

/* A token that lists all and says of each that it does all. */
static void everything(struct mechanism_facts facts[static MECHANISMS])
{
    for (unsigned i = 0; i < MECHANISMS; i++)
        facts[i] = (struct mechanism_facts){.listed = true, .told = true, .uses = UINT32_MAX};
}

static void each_scheme_has_needs(void **state)
{
    struct mechanism_facts all[MECHANISMS], none[MECHANISMS] = {{.listed = false}};
    (void)state;
    everything(all);
    for (size_t i = 0; i < SCHEMES; i++) {
        enum scheme scheme = scheme_by_preference(i);
        assert_non_null(scheme_need(scheme, 0));
        assert_true(scheme_needs_are_told(scheme, false, all));
        assert_false(scheme_needs_are_told(scheme, false, none));
    }
    assert_null(scheme_need(SCHEME_NONE, 0));
    assert_false(scheme_needs_are_told(SCHEME_NONE, false, all));
}

/* Without any one of them, unless there is another in its place. */
static void each_need_counts(void **state)
{
    struct mechanism_facts facts[MECHANISMS];
    const struct scheme_need *need;
    (void)state;
    for (size_t i = 0; i < SCHEMES; i++) {
        enum scheme scheme = scheme_by_preference(i);
        for (size_t n = 0; (need = scheme_need(scheme, n)); n++) {
            everything(facts);
            facts[need->mechanism].uses = ~need->uses;
            assert_int_equal(scheme_needs_are_told(scheme, false, facts),
                             need->instead != MECHANISMS);
            facts[need->mechanism].told = false; /* it lists it and does not describe it */
            assert_true(scheme_needs_are_told(scheme, false, facts));
            facts[need->mechanism].listed = false;
            assert_int_equal(scheme_needs_are_told(scheme, false, facts),
                             need->instead != MECHANISMS);
            if (need->instead == MECHANISMS)
                continue;
            facts[need->instead].listed = false;
            assert_false(scheme_needs_are_told(scheme, false, facts));
        }
    }
}

/* An operator's tool may make the keys where PKCS#11 does not. */
static void using_needs_no_generation(void **state)
{
    struct mechanism_facts facts[MECHANISMS];
    (void)state;
    everything(facts);
    facts[MECHANISM_GENERIC_SECRET_KEY_GEN].listed = false;
    assert_false(scheme_needs_are_told(SCHEME_HMAC_DERIVE, false, facts));
    assert_true(scheme_needs_are_told(SCHEME_HMAC_DERIVE, true, facts));
    facts[MECHANISM_SHA256_HMAC].listed = false;
    assert_false(scheme_needs_are_told(SCHEME_HMAC_DERIVE, true, facts));
}

static void all_have_names(void **state)
{
    (void)state;
    for (unsigned i = 0; i < MECHANISMS; i++)
        assert_int_equal(strncmp(mechanism_name((enum mechanism)i), "CKM_", 4), 0);
    for (unsigned i = 0; i < TOKEN_FLAGS; i++) {
        assert_non_null(token_flag_name((enum token_flag)i));
        assert_null(strchr(token_flag_word((enum token_flag)i), ' '));
    }
    for (uint32_t bit = 1; bit <= USE_UNWRAP; bit <<= 1)
        assert_non_null(mechanism_use_name(bit));
    assert_null(mechanism_use_name(USE_UNWRAP << 1));
    assert_string_equal(mechanism_name(MECHANISMS), "unknown");
    assert_string_equal(token_flag_name(TOKEN_FLAGS), "unknown");
    assert_string_equal(token_flag_word(TOKEN_FLAGS), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_scheme_has_needs),
        cmocka_unit_test(each_need_counts),
        cmocka_unit_test(using_needs_no_generation),
        cmocka_unit_test(all_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
