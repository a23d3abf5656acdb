/* SPDX-License-Identifier: Apache-2.0 */
/* The vectors of aes-gcm that docs/envelope.md quotes, and AES-256-GCM under their key by OpenSSL:
 * an implementation that is not the token's. cmocka.h comes before it. */
#ifndef P11KMS_TEST_GCM_VECTORS_H
#define P11KMS_TEST_GCM_VECTORS_H

#include "hex.h"

#include <openssl/evp.h>

enum { GCM_VECTORS = 2 };

/* Key 00..1f, IV a0..ab, this key_id. */
static const char key_id_text[] = "k8s.01890101-0101-7101-8101-010101010101";

static const struct gcm_vector {
    enum family family;
    const char *plaintext; /* hex */
    const char *aad;
    const char *envelope;
} gcm_vectors[GCM_VECTORS] = {
    {FAMILY_V2, "404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f",
     "7031312d6b6d732f656e76656c6f70652f763100010102286b38732e3031383930313031"
     "2d303130312d373130312d383130312d303130313031303130313031",
     "010102286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaaba6593e6e018e44f82a2ccd984b378e91"
     "20fd0b43c6e2143bc4577cdd23f62b5e1fc937acfe6b68b63f03d217f6ab08ef"},
    {FAMILY_V1, "70696e67",
     "7031312d6b6d732f656e76656c6f70652f763100010101286b38732e3031383930313031"
     "2d303130312d373130312d383130312d303130313031303130313031",
     "010101286b38732e30313839303130312d303130312d373130312d383130312d30313031"
     "3031303130313031a0a1a2a3a4a5a6a7a8a9aaab9671124abac318f2f2f14349674de097"
     "10e70adc"},
};

/* Ciphertext and tag. */
static inline void gcm_compute(const uint8_t iv[static 12], struct bytes aad,
                               struct bytes plaintext, uint8_t *ret)
{
    uint8_t key[32];
    int len = 0;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_EncryptInit_ex(c, EVP_aes_256_gcm(), NULL, key, iv), 1);
    assert_int_equal(EVP_EncryptUpdate(c, NULL, &len, aad.data, (int)aad.len), 1);
    assert_int_equal(EVP_EncryptUpdate(c, ret, &len, plaintext.data, (int)plaintext.len), 1);
    assert_int_equal(EVP_EncryptFinal_ex(c, ret + len, &len), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, 16, ret + plaintext.len), 1);
    EVP_CIPHER_CTX_free(c);
}

#endif
