/* SPDX-License-Identifier: Apache-2.0 */
/* The public halves of rsa-oaep-sign: where they come from, that none is believed, and that a KEK
 * needs no public object. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair_calls.h"
#include "pair_token.h"

#include "cleanup.h"

#include <openssl/x509.h>
#include <string.h>

static int ec(void **state)
{
    (void)state;
    pair_token_reset(false);
    return 0;
}

static int end(void **state)
{
    (void)state;
    pair_token_free();
    return 0;
}

static void public_halves_are_found_wherever_tokens_have_them(void **state)
{
    struct hex opened;
    (void)state;
    for (int kind = 0; kind < 8; kind++) {
        pair_token_reset((kind & 1) != 0);
        pair_token.told = (kind & 2) != 0;
        pair_token.raw_point = (kind & 4) != 0;
        struct key_set keys = pair_prepared();
        struct hex raw = pair_sealed_dek(&keys);
        assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
        assert_int_equal(keys.choice, OAEP_SHA256);
    }
}

static void swap(EVP_PKEY **at, EVP_PKEY *by)
{
    EVP_PKEY_free(*at);
    *at = by;
}

/* Nobody needs a PIN to put his own in its place. */
static void a_swapped_public_half_is_noticed(void **state)
{
    struct key_set keys;
    (void)state;
    for (int rsa = 0; rsa < 2; rsa++) {
        pair_token_reset(rsa != 0);
        pair_token.told = false;
        swap(&pair_token.unwrap_publics[0], pair_stranger(MODULUS * 8));
        assert_true(err_is(pair_prepare(&keys)));
        assert_int_equal(keys.publics[0].len, 0);
    }
    pair_token_reset(true);
    pair_token.told = false;
    swap(&pair_token.sign_publics[0], pair_stranger(MODULUS * 8));
    assert_int_equal(pair_prepare(&keys).code, ERR_TOKEN);
}

/* --- without public objects --------------------------------------------------------------- */

/* What anybody can do without the PIN. */
enum mischief { DESTROYED, SWAPPED, OF_ANOTHER_TYPE, HIDDEN, MISCHIEFS };

static void do_to(EVP_PKEY **publics, enum mischief what)
{
    EVP_PKEY *right = publics[0];
    publics[0] = NULL;
    if (what == SWAPPED)
        publics[0] = pair_stranger(0);
    if (what == OF_ANOTHER_TYPE)
        publics[0] = EVP_PKEY_dup(pair_token.unwrap);
    for (size_t i = 0; what == HIDDEN && i < PUBLICS - 1; i++)
        publics[i] = pair_stranger(0);
    if (what == HIDDEN) /* one too far to be found */
        publics[PUBLICS - 1] = TAKE_PTR(right);
    EVP_PKEY_free(right);
}

/* Whether what was proved is the sign key's own. */
static void has_the_point(const struct key_set *keys)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(pair_token.sign, &der);
    assert_int_equal(len, keys->publics[1].len);
    assert_memory_equal(keys->publics[1].der, der, (size_t)len);
    OPENSSL_free(der);
}

static void what_was_sealed_opens_without_public_objects(void **state)
{
    (void)state;
    for (enum mischief what = 0; what < MISCHIEFS; what++) {
        struct hex opened, again;
        pair_token_reset(false);
        struct key_set keys = pair_prepared();
        struct hex raw = pair_sealed_dek(&keys);
        do_to(pair_token.sign_publics, what);
        do_to(pair_token.unwrap_publics, DESTROYED);
        keys = pair_prepared();
        has_the_point(&keys);
        assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
        assert_true(bytes_equal(of(&opened), bytes_of(pair_dek, sizeof pair_dek)));
        again = pair_sealed_dek(&keys);
        pair_check_format(&again, bytes_of(pair_dek, sizeof pair_dek), OAEP_SHA256);
    }
}

/* Private RSA keys tell their own. */
static void rsa_needs_no_public_objects(void **state)
{
    struct hex opened;
    (void)state;
    for (enum mischief what = 0; what < MISCHIEFS; what++) {
        pair_token_reset(true);
        struct key_set keys = pair_prepared();
        struct hex raw = pair_sealed_dek(&keys);
        do_to(pair_token.sign_publics, what);
        do_to(pair_token.unwrap_publics, what);
        keys = pair_prepared();
        has_the_point(&keys);
        assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
    }
    pair_token.told = false; /* nor are signatures of use then */
    do_to(pair_token.sign_publics, DESTROYED);
    struct key_set keys;
    assert_true(err_is(pair_prepare(&keys)));
}

/* Under what is computed from a signature that signature is always good. */
static void what_is_recovered_is_proved_by_another_signature(void **state)
{
    struct key_set keys;
    (void)state;
    do_to(pair_token.sign_publics, DESTROYED);
    pair_token.fickle = true;
    assert_int_equal(pair_prepare(&keys).code, ERR_TOKEN);
    assert_int_equal(keys.publics[1].len, 0);
    assert_int_equal(pair_token.signs, 3); /* one tells two points, each is tried */
    pair_token.fickle = false;
    pair_token.sign_rv = CKR_DEVICE_ERROR;
    struct err e = pair_prepare(&keys);
    assert_true(e.kind == ERR_KIND_CKR && e.code == ERR_UNAVAILABLE);
    assert_int_equal(keys.publics[1].len, 0);
    pair_token.sign_rv = CKR_OK;
    assert_false(err_is(pair_prepare(&keys)));
}

/* Each challenge is another: whoever sees one signed can show nothing with it. */
static void challenges_differ(void **state)
{
    uint8_t first[32];
    struct key_set keys;
    (void)state;
    assert_false(err_is(pair_prepare(&keys)));
    assert_int_equal(pair_token.signed_len, sizeof first);
    memcpy(first, pair_token.signed_data, sizeof first);
    assert_false(err_is(pair_prepare(&keys)));
    assert_memory_not_equal(first, pair_token.signed_data, sizeof first);
}

/* --- strangers ---------------------------------------------------------------------------- */

static void a_stranger_beside_the_right_one_does_no_harm(void **state)
{
    struct hex opened;
    (void)state;
    pair_token.told = false;
    pair_token.unwrap_publics[2] = pair_token.unwrap_publics[0];
    pair_token.unwrap_publics[0] = pair_stranger(1024);
    pair_token.unwrap_publics[1] = pair_stranger(MODULUS * 8);
    pair_token.sign_publics[1] = pair_token.sign_publics[0];
    pair_token.sign_publics[0] = pair_stranger(0);
    struct key_set keys = pair_prepared();
    struct hex raw = pair_sealed_dek(&keys);
    assert_false(err_is(pair_open(&keys, of(&raw), &opened)));
    pair_check_format(&raw, bytes_of(pair_dek, sizeof pair_dek), OAEP_SHA256);
}

/* A private key that is another by now, for which it takes the PIN, fits no public half that was
 * proved. What it signs tells its own, under which nothing opens that was sealed before. */
static void another_private_key_opens_nothing(void **state)
{
    struct key_set keys = pair_prepared();
    struct hex raw = pair_sealed_dek(&keys), opened;
    (void)state;
    swap(&pair_token.sign, pair_stranger(0));
    keys = pair_prepared();
    has_the_point(&keys);
    assert_int_equal(pair_open(&keys, of(&raw), &opened).code, ERR_AUTH);
    pair_token_reset(true);
    pair_token.told = false;
    swap(&pair_token.sign, pair_stranger(MODULUS * 8));
    assert_int_equal(pair_prepare(&keys).code, ERR_TOKEN);
    pair_token_reset(false);
    pair_token.told = false;
    swap(&pair_token.unwrap, pair_stranger(MODULUS * 8));
    assert_true(err_is(pair_prepare(&keys)));
}

static void keys_of_other_sizes_are_refused(void **state)
{
    static const unsigned sizes[] = {1024, 2040, 4096};
    struct key_set keys;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        pair_token_reset(false);
        swap(&pair_token.unwrap, pair_stranger(sizes[i]));
        swap(&pair_token.unwrap_publics[0], EVP_PKEY_dup(pair_token.unwrap));
        struct err e = pair_prepare(&keys);
        assert_true(e.code == ERR_REFUSED || e.code == ERR_TOKEN);
        assert_int_equal(pair_token.decrypts, 0);
    }
    pair_token_reset(false);
    swap(&pair_token.unwrap, pair_stranger(3072));
    keys = pair_prepared();
    assert_int_equal(pair_sealed_dek(&keys).len, HEADER + 3 + 384 + sizeof pair_dek + TAG + 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define ROW(test) cmocka_unit_test_setup_teardown(test, ec, end)
        ROW(public_halves_are_found_wherever_tokens_have_them),
        ROW(a_swapped_public_half_is_noticed),
        ROW(what_was_sealed_opens_without_public_objects),
        ROW(rsa_needs_no_public_objects),
        ROW(what_is_recovered_is_proved_by_another_signature),
        ROW(challenges_differ),
        ROW(a_stranger_beside_the_right_one_does_no_harm),
        ROW(another_private_key_opens_nothing),
        ROW(keys_of_other_sizes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
