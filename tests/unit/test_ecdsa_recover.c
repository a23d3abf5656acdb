/* SPDX-License-Identifier: Apache-2.0 */
/* Points from signatures: a vector of RFC 6979, keys that OpenSSL makes, and what is no signature.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ecdsa_recover.h"
#include "hex.h"
#include "local_pk.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <string.h>

enum { KEYS = 40 };

static const uint8_t message[] = "what is signed";
static const char order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/* --- help -------------------------------------------------------------------------------- */

static void digest_of(struct bytes said, uint8_t ret[static SIGN_SHA256])
{
    assert_int_equal(EVP_Digest(said.data, said.len, ret, NULL, EVP_sha256(), NULL), 1);
}

static EVP_PKEY *new_key(uint8_t ret_point[static P256_POINT])
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    size_t len = 0;
    assert_non_null(key);
    assert_int_equal(
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, ret_point, P256_POINT, &len),
        1);
    assert_int_equal(len, P256_POINT);
    return key;
}

static void sign(EVP_PKEY *key, const uint8_t digest[static SIGN_SHA256],
                 uint8_t ret[static ECDSA_P256])
{
    uint8_t made[80];
    const uint8_t *at = made;
    size_t len = sizeof made;
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    assert_int_equal(EVP_PKEY_sign_init(c), 1);
    assert_int_equal(EVP_PKEY_sign(c, made, &len, digest, SIGN_SHA256), 1);
    EVP_PKEY_CTX_free(c);
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_non_null(pair);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), ret, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), ret + 32, 32), 32);
    ECDSA_SIG_free(pair);
}

/* How many of the candidates are this point. */
static unsigned count(const struct p11_public *publics, size_t n,
                      const uint8_t point[static P256_POINT])
{
    unsigned found = 0;
    for (size_t i = 0; i < n; i++)
        found += memcmp(publics[i].point, point, P256_POINT) == 0;
    return found;
}

static void is_refused(const uint8_t *r, const uint8_t *s)
{
    static const uint8_t digest[SIGN_SHA256] = "a digest, or as good as one";
    struct p11_public got[ECDSA_RECOVERED_MAX], untouched[ECDSA_RECOVERED_MAX];
    uint8_t signature[ECDSA_P256];
    size_t n = 77;
    memcpy(signature, r, 32);
    memcpy(signature + 32, s, 32);
    memset(got, 0x5a, sizeof got);
    memset(untouched, 0x5a, sizeof untouched);
    assert_int_equal(ecdsa_recover(digest, signature, got, &n).code, ERR_TOKEN);
    assert_int_equal(n, 77);
    assert_memory_equal(got, untouched, sizeof got);
    assert_int_equal(ERR_peek_error(), 0); /* the queue is the module's too */
}

/* --- tests ------------------------------------------------------------------------------- */

/* RFC 6979, A.2.5: P-256 with SHA-256, "sample". */
static void a_published_signature_tells_its_key(void **state)
{
    struct hex signature =
        unhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
              "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8");
    struct hex point = unhex("04"
                             "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
                             "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
    struct p11_public got[ECDSA_RECOVERED_MAX];
    uint8_t digest[SIGN_SHA256];
    size_t n = 0;
    (void)state;
    digest_of(bytes_of_string("sample"), digest);
    assert_false(err_is(ecdsa_recover(digest, signature.data, got, &n)));
    assert_int_equal(n, 2);
    assert_int_equal(count(got, n, point.data), 1);
}

/* Both candidates are keys that we use, and the signature is good under both: that it is proves
 * nothing. */
static void what_openssl_signs_tells_the_key(void **state)
{
    (void)state;
    for (int i = 0; i < KEYS; i++) {
        struct p11_public got[ECDSA_RECOVERED_MAX];
        uint8_t point[P256_POINT], digest[SIGN_SHA256], signature[ECDSA_P256];
        uint8_t der[LOCAL_PK_DER_MAX];
        size_t n = 0, len = 0;
        EVP_PKEY *key = new_key(point);
        digest_of(bytes_of(message, sizeof message), digest);
        sign(key, digest, signature);
        EVP_PKEY_free(key);
        assert_false(err_is(ecdsa_recover(digest, signature, got, &n)));
        assert_int_equal(n, 2);
        assert_int_equal(count(got, n, point), 1);
        for (size_t at = 0; at < n; at++) {
            assert_int_equal(got[at].type, KEY_TYPE_EC);
            assert_false(err_is(local_pk_encode(&got[at], der, &len)));
            assert_false(
                err_is(local_pk_verify(bytes_of(der, len), bytes_of(message, sizeof message),
                                       bytes_of(signature, sizeof signature))));
        }
    }
}

/* Digests at the ends of their range, which no message is known for. */
static void odd_digests_tell_the_key(void **state)
{
    struct hex n_itself = unhex(order);
    uint8_t digests[4][SIGN_SHA256] = {{0}, {0}};
    (void)state;
    digests[1][31] = 1;
    memset(digests[2], 0xff, SIGN_SHA256);
    memcpy(digests[3], n_itself.data, SIGN_SHA256);
    for (size_t i = 0; i < 4; i++) {
        struct p11_public got[ECDSA_RECOVERED_MAX];
        uint8_t point[P256_POINT], signature[ECDSA_P256];
        size_t n = 0;
        EVP_PKEY *key = new_key(point);
        sign(key, digests[i], signature);
        EVP_PKEY_free(key);
        assert_false(err_is(ecdsa_recover(digests[i], signature, got, &n)));
        assert_int_equal(count(got, n, point), 1);
    }
}

static void an_altered_signature_tells_another_key_or_none(void **state)
{
    uint8_t point[P256_POINT], digest[SIGN_SHA256], signature[ECDSA_P256];
    unsigned refused = 0, others = 0;
    (void)state;
    EVP_PKEY *key = new_key(point);
    digest_of(bytes_of(message, sizeof message), digest);
    sign(key, digest, signature);
    EVP_PKEY_free(key);
    for (size_t bit = 0; bit < sizeof signature * 8; bit += 3) {
        struct p11_public got[ECDSA_RECOVERED_MAX];
        size_t n = 0;
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
        struct err e = ecdsa_recover(digest, signature, got, &n);
        signature[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_true(!err_is(e) || e.code == ERR_TOKEN);
        assert_int_equal(count(got, n, point), 0);
        refused += n == 0;
        others += n > 0;
    }
    assert_true(refused > 0); /* of r every second is no x of a point */
    assert_true(others > 0);
}

static void numbers_out_of_range_are_refused(void **state)
{
    uint8_t zero[32] = {0}, one[32] = {0}, most[32], above[32];
    struct hex n = unhex(order);
    struct hex good = unhex("efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716");
    (void)state;
    one[31] = 1;
    memset(most, 0xff, sizeof most);
    memcpy(above, n.data, sizeof above);
    above[31]++;
    const uint8_t *const wrong[] = {zero, n.data, above, most};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        is_refused(wrong[i], good.data);
        is_refused(good.data, wrong[i]);
        is_refused(wrong[i], wrong[i]);
        is_refused(wrong[i], one);
    }
}

/* OpenSSL says of small numbers which are the x of a point. */
static void an_r_that_is_no_points_is_refused(void **state)
{
    static const uint8_t digest[SIGN_SHA256] = "any";
    EC_GROUP *p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    EC_POINT *r = EC_POINT_new(p256);
    BIGNUM *x = BN_new();
    unsigned points = 0, others = 0;
    (void)state;
    for (uint8_t i = 1; i < 64; i++) {
        struct p11_public got[ECDSA_RECOVERED_MAX];
        uint8_t signature[ECDSA_P256] = {[31] = i, [63] = 1};
        size_t n = 0;
        assert_int_equal(BN_set_word(x, i), 1);
        bool is = EC_POINT_set_compressed_coordinates(p256, r, x, 0, NULL) == 1;
        ERR_clear_error();
        points += is;
        others += !is;
        if (is)
            assert_false(err_is(ecdsa_recover(digest, signature, got, &n)));
        else
            is_refused(signature, signature + 32);
        assert_int_equal(n, is ? 2 : 0);
    }
    assert_true(points > 0 && others > 0);
    BN_free(x);
    EC_POINT_free(r);
    EC_GROUP_free(p256);
}

/* What the private key 0 would sign, with k = 1: r is the x of G, and s is the digest. One R gives
 * infinity, which is no key. */
static void infinity_is_no_candidate(void **state)
{
    struct hex g_x = unhex("6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296");
    uint8_t digest[SIGN_SHA256] = "12345678901234567890", signature[ECDSA_P256];
    struct p11_public got[ECDSA_RECOVERED_MAX];
    uint8_t der[LOCAL_PK_DER_MAX];
    size_t n = 0, len = 0;
    (void)state;
    memcpy(signature, g_x.data, 32);
    memcpy(signature + 32, digest, 32);
    assert_false(err_is(ecdsa_recover(digest, signature, got, &n)));
    assert_int_equal(n, 1);
    assert_false(err_is(local_pk_encode(&got[0], der, &len)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_published_signature_tells_its_key),
        cmocka_unit_test(what_openssl_signs_tells_the_key),
        cmocka_unit_test(odd_digests_tell_the_key),
        cmocka_unit_test(an_altered_signature_tells_another_key_or_none),
        cmocka_unit_test(numbers_out_of_range_are_refused),
        cmocka_unit_test(an_r_that_is_no_points_is_refused),
        cmocka_unit_test(infinity_is_no_candidate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
