/* SPDX-License-Identifier: Apache-2.0 */
#include "ecdsa_recover.h"

#include "cleanup.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <string.h>

DEFINE_CLEANUP(BIGNUM, BN_free);
DEFINE_CLEANUP(BN_CTX, BN_CTX_free);
DEFINE_CLEANUP(EC_GROUP, EC_GROUP_free);
DEFINE_CLEANUP(EC_POINT, EC_POINT_free);

enum { NUMBER = 32 };

/* Memory is all that most of these calls can lack. OpenSSL's queue of errors is shared with the
 * PKCS#11 module. */
static struct err lacks_memory(void)
{
    ERR_clear_error();
    return err_make(ERR_EXHAUSTED, "OpenSSL");
}

static struct err nobodys(void)
{
    ERR_clear_error();
    return err_make(ERR_TOKEN, "a signature that no key on P-256 makes");
}

static bool in_range(const BIGNUM *number, const BIGNUM *order)
{
    return !BN_is_zero(number) && BN_cmp(number, order) < 0;
}

/* Makes -e / r of e, and s / r of s. */
static bool divide(BIGNUM *e, BIGNUM *s, const BIGNUM *r, const BIGNUM *order, BN_CTX *context)
{
    CLEANUP(BN_free_p) BIGNUM *inverse = BN_mod_inverse(NULL, r, order, context);
    return inverse && BN_mod_mul(e, e, inverse, order, context) == 1 &&
           BN_mod_sub(e, order, e, order, context) == 1 &&
           BN_mod_mul(s, s, inverse, order, context) == 1;
}

/* What both candidates come from. */
struct recovery {
    const EC_GROUP *p256;
    BN_CTX *context;
    const BIGNUM *x;    /* of R */
    const BIGNUM *of_g; /* -e / r */
    const BIGNUM *of_r; /* s / r */
};

/* Q = (s R - e G) / r, with the R of that parity. *ret_is is false where it is infinity, which is
 * nobody's key. */
static struct err recover(const struct recovery *from, int odd, uint8_t ret[static P256_POINT],
                          bool *ret_is)
{
    CLEANUP(EC_POINT_free_p) EC_POINT *r = EC_POINT_new(from->p256);
    CLEANUP(EC_POINT_free_p) EC_POINT *q = EC_POINT_new(from->p256);
    if (!r || !q)
        return lacks_memory();
    if (EC_POINT_set_compressed_coordinates(from->p256, r, from->x, odd, from->context) != 1) {
        bool none = ERR_GET_REASON(ERR_peek_last_error()) == EC_R_INVALID_COMPRESSED_POINT;
        return none ? nobodys() : lacks_memory();
    }
    if (EC_POINT_mul(from->p256, q, from->of_g, r, from->of_r, from->context) != 1)
        return lacks_memory();
    *ret_is = EC_POINT_is_at_infinity(from->p256, q) == 0;
    if (*ret_is && EC_POINT_point2oct(from->p256, q, POINT_CONVERSION_UNCOMPRESSED, ret, P256_POINT,
                                      from->context) != P256_POINT)
        return lacks_memory();
    return ERR_OK;
}

struct err ecdsa_recover(const uint8_t digest[static SIGN_SHA256],
                         const uint8_t signature[static ECDSA_P256],
                         struct p11_public ret[static ECDSA_RECOVERED_MAX], size_t *ret_n)
{
    CLEANUP(BN_CTX_free_p) BN_CTX *context = BN_CTX_new();
    CLEANUP(EC_GROUP_free_p) EC_GROUP *p256 = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
    CLEANUP(BN_free_p) BIGNUM *e = BN_bin2bn(digest, NUMBER, NULL);
    CLEANUP(BN_free_p) BIGNUM *r = BN_bin2bn(signature, NUMBER, NULL);
    CLEANUP(BN_free_p) BIGNUM *s = BN_bin2bn(signature + NUMBER, NUMBER, NULL);
    struct p11_public made[ECDSA_RECOVERED_MAX] = {{.type = KEY_TYPE_EC}, {.type = KEY_TYPE_EC}};
    size_t n = 0;
    if (!context || !p256 || !e || !r || !s)
        return lacks_memory();
    const BIGNUM *order = EC_GROUP_get0_order(p256);
    if (!in_range(r, order) || !in_range(s, order))
        return nobodys();
    if (!divide(e, s, r, order, context))
        return lacks_memory();
    /* R's own x may also be r + order, below the field's prime: of 2^128 signatures one */
    const struct recovery from = {p256, context, r, e, s};
    for (int odd = 0; odd < 2; odd++) {
        bool is = false;
        TRY(recover(&from, odd, made[n].point, &is));
        n += is;
    }
    memcpy(ret, made, n * sizeof *ret);
    *ret_n = n;
    return ERR_OK;
}
