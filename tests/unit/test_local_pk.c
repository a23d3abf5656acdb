/* SPDX-License-Identifier: Apache-2.0 */
/* Which public halves are used at all, and what signatures verify. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "local_pk.h"
#include "made_rsa.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <string.h>

static const uint8_t message[] = "what is signed";

static struct p11_public rsa_of(EVP_PKEY *key)
{
    struct p11_public public = {.type = KEY_TYPE_RSA, .exponent_len = 3, .exponent = {1, 0, 1}};
    BIGNUM *n = NULL;
    assert_int_equal(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n), 1);
    public.modulus_len = (uint16_t)BN_num_bytes(n);
    if (public.modulus_len <= sizeof public.modulus)
        (void)BN_bn2bin(n, public.modulus);
    BN_free(n);
    return public;
}

static struct p11_public new_rsa(unsigned bits)
{
    EVP_PKEY *key = made_rsa(bits);
    struct p11_public public = rsa_of(key);
    EVP_PKEY_free(key);
    return public;
}

static EVP_PKEY *new_ec(struct p11_public *ret)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    size_t len = 0;
    *ret = (struct p11_public){.type = KEY_TYPE_EC};
    assert_int_equal(EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, ret->point,
                                                     sizeof ret->point, &len),
                     1);
    assert_int_equal(len, sizeof ret->point);
    return key;
}

static enum err_code encode(const struct p11_public *public)
{
    uint8_t der[LOCAL_PK_DER_MAX];
    size_t len;
    return local_pk_encode(public, der, &len).code;
}

static void rsa_keys_that_are_used(void **state)
{
    struct p11_public good = new_rsa(2048);
    uint8_t der[LOCAL_PK_DER_MAX];
    enum key_type type;
    size_t len = 0, size = 0;
    (void)state;
    assert_false(err_is(local_pk_encode(&good, der, &len)));
    assert_false(err_is(local_pk_size(bytes_of(der, len), &type, &size)));
    assert_int_equal(type, KEY_TYPE_RSA);
    assert_int_equal(size, 256);
    static const struct {
        uint8_t data[8];
        uint16_t len;
        enum err_code code;
    } exponents[] = {
        {{1, 0, 1}, 3, ERR_NONE},
        {{1, 0, 3}, 3, ERR_NONE},
        {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 8, ERR_NONE},
        {{1}, 1, ERR_REFUSED}, /* what is wrapped would be no secret */
        {{3}, 1, ERR_REFUSED},
        {{0xff, 0xff}, 2, ERR_REFUSED},
        {{1, 0, 2}, 3, ERR_REFUSED},
        {{0}, 0, ERR_REFUSED},
    };
    for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++) {
        struct p11_public public = good;
        memcpy(public.exponent, exponents[i].data, sizeof public.exponent);
        public.exponent_len = exponents[i].len;
        assert_int_equal(encode(&public), exponents[i].code);
    }
    struct p11_public even = good, short_one = good;
    even.modulus[255] &= 0xfe;
    assert_int_equal(encode(&even), ERR_REFUSED);
    short_one.modulus[0] &= 0x7f; /* 2047 bits in 256 bytes */
    assert_int_equal(encode(&short_one), ERR_REFUSED);
    short_one.modulus_len = 0;
    assert_int_equal(encode(&short_one), ERR_REFUSED);
}

static void rsa_keys_of_each_size(void **state)
{
    static const struct {
        unsigned bits;
        enum err_code code;
    } sizes[] = {{1024, ERR_REFUSED}, {2040, ERR_REFUSED}, {2056, ERR_NONE}, {3072, ERR_NONE}};
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct p11_public public = new_rsa(sizes[i].bits);
        assert_int_equal(encode(&public), sizes[i].code);
    }
}

static void ec_keys_that_are_used(void **state)
{
    struct p11_public public;
    uint8_t der[LOCAL_PK_DER_MAX];
    enum key_type type;
    size_t len = 0, size = 0;
    (void)state;
    EVP_PKEY_free(new_ec(&public));
    assert_false(err_is(local_pk_encode(&public, der, &len)));
    assert_false(err_is(local_pk_size(bytes_of(der, len), &type, &size)));
    assert_int_equal(type, KEY_TYPE_EC);
    assert_int_equal(size, 64);
    public.point[64] ^= 1; /* not on the curve */
    assert_int_equal(encode(&public), ERR_REFUSED);
    public.point[64] ^= 1;
    public.point[0] = 2;
    assert_int_equal(encode(&public), ERR_REFUSED);
    memset(public.point + 1, 0, sizeof public.point - 1);
    assert_int_equal(encode(&public), ERR_REFUSED);
}

static void what_is_no_half_is_refused(void **state)
{
    static const uint8_t nonsense[] = "no DER";
    enum key_type type;
    size_t size;
    (void)state;
    assert_int_equal(local_pk_size(bytes_of(nonsense, sizeof nonsense), &type, &size).code,
                     ERR_INTERNAL);
    assert_int_equal(local_pk_size(bytes_of(NULL, 0), &type, &size).code, ERR_INTERNAL);
}

/* r and s of a signature over the message. */
static void sign(EVP_PKEY *key, uint8_t ret[static 64])
{
    uint8_t made[80];
    const uint8_t *at = made;
    size_t len = sizeof made;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(c, made, &len, message, sizeof message), 1);
    EVP_MD_CTX_free(c);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret + 32, 32), 32);
    ECDSA_SIG_free(pair);
}

static void signatures_verify_or_do_not(void **state)
{
    struct p11_public public;
    uint8_t der_room[LOCAL_PK_DER_MAX], signature[65] = {0}, zero[64] = {0}, ones[64];
    size_t len = 0;
    (void)state;
    EVP_PKEY *key = new_ec(&public);
    assert_false(err_is(local_pk_encode(&public, der_room, &len)));
    struct bytes der = bytes_of(der_room, len), said = bytes_of(message, sizeof message);
    sign(key, signature);
    EVP_PKEY_free(key);
    assert_false(err_is(local_pk_verify(der, said, bytes_of(signature, 64))));
    assert_int_equal(
        local_pk_verify(der, bytes_of(message, sizeof message - 1), bytes_of(signature, 64)).code,
        ERR_AUTH);
    assert_int_equal(local_pk_verify(der, said, bytes_of(signature, 63)).code, ERR_AUTH);
    assert_int_equal(local_pk_verify(der, said, bytes_of(signature, 65)).code, ERR_AUTH);
    assert_int_equal(local_pk_verify(der, said, bytes_of(NULL, 0)).code, ERR_AUTH);
    assert_int_equal(local_pk_verify(der, said, bytes_of(zero, 64)).code, ERR_AUTH);
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(local_pk_verify(der, said, bytes_of(ones, 64)).code, ERR_AUTH);
    for (size_t bit = 0; bit < 512; bit++) {
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(local_pk_verify(der, said, bytes_of(signature, 64)).code, ERR_AUTH);
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rsa_keys_that_are_used),      cmocka_unit_test(rsa_keys_of_each_size),
        cmocka_unit_test(ec_keys_that_are_used),       cmocka_unit_test(what_is_no_half_is_refused),
        cmocka_unit_test(signatures_verify_or_do_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
