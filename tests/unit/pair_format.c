/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pair_format.h"

#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <string.h>

/* The signature of any key over domain and message, appended to the message. */
void pair_append_signature(EVP_PKEY *key, struct bytes label, struct hex *raw)
{
    uint8_t message[2048], made[512];
    struct writer m = writer_over(message, sizeof message);
    size_t len = sizeof made;
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    put_bytes(&m, label);
    put_bytes(&m, bytes_of(raw->data, raw->len));
    assert_int_equal(EVP_DigestSignInit(c, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(c, made, &len, m.data, m.len), 1);
    EVP_MD_CTX_free(c);
    const uint8_t *at = made;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)len);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(pair), raw->data + raw->len, 32), 32);
    assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(pair), raw->data + raw->len + 32, 32), 32);
    ECDSA_SIG_free(pair);
    raw->len += 64;
}

bool pair_is_signed(EVP_PKEY *key, struct bytes raw, struct bytes signature)
{
    uint8_t message[2048], der[80], *at = der;
    struct writer m = writer_over(message, sizeof message);
    put_bytes(&m, bytes_of(PAIR_DOMAIN, sizeof PAIR_DOMAIN));
    put_bytes(&m, raw);
    if (EVP_PKEY_get_base_id(key) == EVP_PKEY_EC) {
        ECDSA_SIG *pair = ECDSA_SIG_new();
        (void)ECDSA_SIG_set0(pair, BN_bin2bn(signature.data, 32, NULL),
                             BN_bin2bn(signature.data + 32, 32, NULL));
        signature = bytes_of(der, (size_t)i2d_ECDSA_SIG(pair, &at));
        ECDSA_SIG_free(pair);
    }
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, key), 1);
    int good = EVP_DigestVerify(c, signature.data, signature.len, m.data, m.len);
    EVP_MD_CTX_free(c);
    return good == 1;
}

void pair_unwrap(EVP_PKEY *key, enum oaep_hash hash, const uint8_t *wrapped, uint8_t ret[static 32])
{
    const EVP_MD *md = hash == OAEP_SHA1 ? EVP_sha1() : EVP_sha256();
    EVP_PKEY_CTX *c = EVP_PKEY_CTX_new(key, NULL);
    uint8_t opened[512];
    size_t len = sizeof opened;
    assert_int_equal(EVP_PKEY_decrypt_init(c), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(c, RSA_PKCS1_OAEP_PADDING), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_oaep_md(c, md), 1); /* and MGF1's */
    assert_int_equal(EVP_PKEY_decrypt(c, opened, &len, wrapped, (size_t)EVP_PKEY_get_size(key)), 1);
    assert_int_equal(len, 32);
    memcpy(ret, opened, 32);
    EVP_PKEY_CTX_free(c);
}

/* Ciphertext and tag, from header, key and plaintext. */
void pair_compute(struct bytes header, const uint8_t *key, struct bytes plaintext, uint8_t *ret)
{
    static const char label[] = "p11-kms/envelope/v1";
    uint8_t aad[512], iv[12] = {0};
    struct writer a = writer_over(aad, sizeof aad);
    int len = 0;
    put_bytes(&a, bytes_of(label, sizeof label));
    put_bytes(&a, header);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &len, a.data, (int)a.len), 1);
    assert_int_equal(EVP_EncryptUpdate(c, ret, &len, plaintext.data, (int)plaintext.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, ret + len, &len), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, ret + plaintext.len), 1);
    EVP_CIPHER_CTX_free(c);
}
