/* SPDX-License-Identifier: Apache-2.0 */
#include "local_gcm.h"

#include "secret.h"

#include <openssl/evp.h>

static const uint8_t zero_iv[12];

DEFINE_CLEANUP(EVP_CIPHER_CTX, EVP_CIPHER_CTX_free); /* which wipes the key */

/* Memory is all that such a call can lack. */
static struct err lacks_memory(void)
{
    return err_make(ERR_EXHAUSTED, "AES-256-GCM");
}

/* The key and what is authenticated. NULL without memory. */
static EVP_CIPHER_CTX *begin(const uint8_t key[static LOCAL_GCM_KEY], struct bytes aad,
                             bool encrypt)
{
    CLEANUP(EVP_CIPHER_CTX_free_p) EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    int len;
    if (!c || EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, zero_iv, encrypt) != 1 ||
        EVP_CipherUpdate(c, NULL, &len, aad.data, (int)aad.len) != 1)
        return NULL;
    return TAKE_PTR(c);
}

struct err local_gcm_seal(const uint8_t key[static LOCAL_GCM_KEY], struct bytes aad,
                          struct bytes plaintext, uint8_t *ret_ciphertext)
{
    CLEANUP(EVP_CIPHER_CTX_free_p) EVP_CIPHER_CTX *c = begin(key, aad, true);
    uint8_t *tag = ret_ciphertext + plaintext.len;
    int len;
    if (!c || EVP_EncryptUpdate(c, ret_ciphertext, &len, plaintext.data, (int)plaintext.len) != 1 ||
        EVP_EncryptFinal_ex(c, tag, &len) != 1 ||
        EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, LOCAL_GCM_TAG, tag) != 1)
        return lacks_memory();
    return ERR_OK;
}

struct err local_gcm_open(const uint8_t key[static LOCAL_GCM_KEY], struct bytes aad,
                          struct bytes ciphertext, uint8_t *memory)
{
    if (ciphertext.len < LOCAL_GCM_TAG)
        return err_make(ERR_INVALID, "local_gcm_open");
    CLEANUP(EVP_CIPHER_CTX_free_p) EVP_CIPHER_CTX *c = begin(key, aad, false);
    size_t plain = ciphertext.len - LOCAL_GCM_TAG;
    uint8_t *tag = (uint8_t *)(uintptr_t)(ciphertext.data + plain); /* which OpenSSL only reads */
    int len;
    if (!c || EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, LOCAL_GCM_TAG, tag) != 1 ||
        EVP_DecryptUpdate(c, memory, &len, ciphertext.data, (int)plain) != 1)
        return lacks_memory();
    if (EVP_DecryptFinal_ex(c, memory + plain, &len) == 1)
        return ERR_OK;
    wipe(memory, plain);
    return err_make(ERR_AUTH, "AES-256-GCM tag");
}
