/* SPDX-License-Identifier: Apache-2.0 */
#include "local_pk.h"

#include "cleanup.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>

DEFINE_CLEANUP(BIGNUM, BN_free);
DEFINE_CLEANUP(ECDSA_SIG, ECDSA_SIG_free);
DEFINE_CLEANUP(EVP_MD_CTX, EVP_MD_CTX_free);
DEFINE_CLEANUP(EVP_PKEY, EVP_PKEY_free);
DEFINE_CLEANUP(EVP_PKEY_CTX, EVP_PKEY_CTX_free);
DEFINE_CLEANUP(OSSL_PARAM, OSSL_PARAM_free);
DEFINE_CLEANUP(OSSL_PARAM_BLD, OSSL_PARAM_BLD_free);

enum { HALF = 32, DER_SIGNATURE_MAX = 80, EXPONENT_LEAST = 65537 };

/* The error of a call of OpenSSL that failed. Its queue is shared with the PKCS#11 module. */
static struct err failed(enum err_code code, const char *where)
{
    ERR_clear_error();
    return err_make(code, where);
}

/* Memory is all that such a call can lack. */
static struct err lacks_memory(void)
{
    return failed(ERR_EXHAUSTED, "OpenSSL");
}

/* --- keys -------------------------------------------------------------------------------- */

static EVP_PKEY *decode(struct bytes der)
{
    const unsigned char *at = der.data;
    return d2i_PUBKEY(NULL, &at, (long)der.len);
}

/* Such an exponent is what generation makes, and what SP 800-56B, 6.2, allows. */
static bool usable_rsa(const struct p11_public *from)
{
    uint64_t e = 0;
    if (from->modulus_len < RSA_MODULUS_MIN || from->modulus_len > RSA_MODULUS_MAX ||
        from->exponent_len < 1 || from->exponent_len > sizeof from->exponent)
        return false;
    for (unsigned i = 0; i < from->exponent_len; i++)
        e = e << 8 | from->exponent[i];
    return (from->modulus[0] & 0x80) != 0 && (from->modulus[from->modulus_len - 1] & 1) != 0 &&
           e >= EXPONENT_LEAST && (e & 1) != 0;
}

/* NULL without memory. */
static OSSL_PARAM *rsa_params(const struct p11_public *from)
{
    CLEANUP(BN_free_p) BIGNUM *n = BN_bin2bn(from->modulus, from->modulus_len, NULL);
    CLEANUP(BN_free_p) BIGNUM *e = BN_bin2bn(from->exponent, from->exponent_len, NULL);
    CLEANUP(OSSL_PARAM_BLD_free_p) OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    if (!n || !e || !build || OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1)
        return NULL;
    return OSSL_PARAM_BLD_to_param(build);
}

static struct err encode_rsa(const struct p11_public *from, uint8_t *ret_der, size_t *ret_len)
{
    if (!usable_rsa(from))
        return err_make(ERR_REFUSED, "an RSA key that is not of 2048 to 3072 bits");
    CLEANUP(OSSL_PARAM_free_p) OSSL_PARAM *params = rsa_params(from);
    CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *c = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = NULL;
    if (!params || !c || EVP_PKEY_fromdata_init(c) != 1 ||
        EVP_PKEY_fromdata(c, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
        return lacks_memory();
    int len = i2d_PUBKEY(key, NULL);
    if (len <= 0 || len > LOCAL_PK_DER_MAX)
        return lacks_memory();
    *ret_len = (size_t)i2d_PUBKEY(key, &ret_der);
    return ERR_OK;
}

/* All of it but the point is the same for every key on P-256. */
static struct err encode_ec(const struct p11_public *from, uint8_t *ret_der, size_t *ret_len)
{
    static const uint8_t prefix[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48,
                                     0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
    struct writer w = writer_over(ret_der, LOCAL_PK_DER_MAX);
    put_bytes(&w, bytes_of(prefix, sizeof prefix));
    put_bytes(&w, bytes_of(from->point, sizeof from->point));
    CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = decode(writer_bytes(&w)); /* no point off the curve */
    if (!key)
        return failed(ERR_REFUSED, "an EC key that is not on P-256");
    *ret_len = w.len;
    return ERR_OK;
}

struct err local_pk_encode(const struct p11_public *from, uint8_t ret_der[static LOCAL_PK_DER_MAX],
                           size_t *ret_len)
{
    return from->type == KEY_TYPE_RSA ? encode_rsa(from, ret_der, ret_len)
                                      : encode_ec(from, ret_der, ret_len);
}

struct err local_pk_size(struct bytes der, enum key_type *ret_type, size_t *ret_size)
{
    CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = decode(der);
    if (!key)
        return failed(ERR_INTERNAL, "a public half that was not proved");
    bool ec = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC;
    *ret_type = ec ? KEY_TYPE_EC : KEY_TYPE_RSA;
    *ret_size = ec ? 2 * HALF : (size_t)EVP_PKEY_get_size(key);
    return ERR_OK;
}

/* --- what they are for ------------------------------------------------------------------- */

struct err local_pk_wrap(struct bytes der, enum oaep_hash hash, struct bytes plaintext,
                         uint8_t *ret)
{
    const EVP_MD *md = hash == OAEP_SHA1 ? EVP_sha1() : EVP_sha256();
    CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = decode(der);
    CLEANUP(EVP_PKEY_CTX_free_p) EVP_PKEY_CTX *c = key ? EVP_PKEY_CTX_new(key, NULL) : NULL;
    size_t len = RSA_MODULUS_MAX;
    if (!c || EVP_PKEY_encrypt_init(c) != 1 ||
        EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(c, md) != 1 || EVP_PKEY_CTX_set_rsa_mgf1_md(c, md) != 1 ||
        EVP_PKEY_encrypt(c, NULL, &len, plaintext.data, plaintext.len) != 1 ||
        len > RSA_MODULUS_MAX || EVP_PKEY_encrypt(c, ret, &len, plaintext.data, plaintext.len) != 1)
        return lacks_memory();
    return ERR_OK;
}

struct err local_pk_digest(struct bytes message, uint8_t ret[static LOCAL_PK_SHA256])
{
    return EVP_Digest(message.data, message.len, ret, NULL, EVP_sha256(), NULL) == 1
               ? ERR_OK
               : lacks_memory();
}

/* r and s as OpenSSL wants them. */
static struct err signature_der(struct bytes signature, uint8_t *ret, size_t *ret_len)
{
    CLEANUP(ECDSA_SIG_free_p) ECDSA_SIG *pair = ECDSA_SIG_new();
    CLEANUP(BN_free_p) BIGNUM *r = BN_bin2bn(signature.data, HALF, NULL);
    CLEANUP(BN_free_p) BIGNUM *s = BN_bin2bn(signature.data + HALF, HALF, NULL);
    if (!pair || !r || !s || ECDSA_SIG_set0(pair, r, s) != 1)
        return lacks_memory();
    (void)TAKE_PTR(r);
    (void)TAKE_PTR(s);
    int len = i2d_ECDSA_SIG(pair, NULL);
    if (len <= 0 || len > DER_SIGNATURE_MAX)
        return lacks_memory();
    *ret_len = (size_t)i2d_ECDSA_SIG(pair, &ret);
    return ERR_OK;
}

struct err local_pk_verify(struct bytes der, struct bytes message, struct bytes signature)
{
    uint8_t converted[DER_SIGNATURE_MAX];
    enum key_type type;
    size_t size;
    TRY(local_pk_size(der, &type, &size));
    if (signature.len != size)
        return err_make(ERR_AUTH, "length of a signature");
    if (type == KEY_TYPE_EC) {
        TRY(signature_der(signature, converted, &size));
        signature = bytes_of(converted, size);
    }
    CLEANUP(EVP_PKEY_free_p) EVP_PKEY *key = decode(der);
    CLEANUP(EVP_MD_CTX_free_p) EVP_MD_CTX *c = EVP_MD_CTX_new();
    if (!key || !c || EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key) != 1)
        return lacks_memory();
    if (EVP_DigestVerify(c, signature.data, signature.len, message.data, message.len) != 1)
        return failed(ERR_AUTH, "signature");
    return ERR_OK;
}
