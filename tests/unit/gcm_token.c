/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gcm_token.h"

#include <openssl/evp.h>
#include <string.h>

enum { IV = GCM_TOKEN_IV, TAG = GCM_TOKEN_TAG };

struct gcm_token gcm_token;

static EVP_CIPHER_CTX *begin_cipher(bool encrypt)
{
    uint8_t key[32];
    int len;
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_CipherInit_ex(c, EVP_aes_256_gcm(), NULL, key, gcm_token.iv, encrypt), 1);
    assert_int_equal(EVP_CipherUpdate(c, NULL, &len, gcm_token.aad, (int)gcm_token.aad_len), 1);
    return c;
}

static void gcm_encrypt(const CK_BYTE *from, CK_ULONG len, CK_BYTE *to)
{
    int n;
    EVP_CIPHER_CTX *c = begin_cipher(true);
    assert_int_equal(EVP_CipherUpdate(c, to, &n, from, (int)len), 1);
    assert_int_equal(EVP_CipherFinal_ex(c, to + len, &n), 1);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_GET_TAG, TAG, to + len), 1);
    EVP_CIPHER_CTX_free(c);
}

static bool gcm_decrypt(CK_BYTE *from, CK_ULONG len, CK_BYTE *to)
{
    int n;
    EVP_CIPHER_CTX *c = begin_cipher(false);
    assert_int_equal(EVP_CIPHER_CTX_ctrl(c, EVP_CTRL_GCM_SET_TAG, TAG, from + len - TAG), 1);
    assert_int_equal(EVP_CipherUpdate(c, to, &n, from, (int)(len - TAG)), 1);
    bool good = EVP_CipherFinal_ex(c, to + n, &n) == 1;
    EVP_CIPHER_CTX_free(c);
    return good;
}

static void begin_operation(const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    const CK_GCM_PARAMS *params = mechanism->pParameter;
    assert_int_equal(mechanism->mechanism, CKM_AES_GCM);
    assert_int_equal(mechanism->ulParameterLen, sizeof *params);
    assert_int_equal(key, GCM_TOKEN_KEY);
    assert_int_equal(params->ulIvLen, IV);
    assert_int_equal(params->ulTagBits, TAG * 8);
    assert_true(params->ulAADLen <= sizeof gcm_token.aad);
    memcpy(gcm_token.iv, params->pIv, IV);
    memcpy(gcm_token.aad, params->pAAD, params->ulAADLen);
    gcm_token.aad_len = params->ulAADLen;
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    begin_operation(mechanism, key);
    if (gcm_token.own_iv) {
        memset(gcm_token.iv, 0x77, IV);
        memcpy(((const CK_GCM_PARAMS *)mechanism->pParameter)->pIv, gcm_token.iv, IV);
    }
    return gcm_token.encrypt_init;
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *to,
                     CK_ULONG *to_len)
{
    (void)session;
    assert_int_equal(*to_len, len + TAG);
    gcm_token.encrypts++;
    if (!gcm_token.silent)
        gcm_encrypt(data, len, to);
    return gcm_token.encrypt;
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    begin_operation(mechanism, key);
    return gcm_token.decrypt_init;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *to,
                     CK_ULONG *to_len)
{
    (void)session;
    assert_true(*to_len >= len - TAG);
    gcm_token.decrypts++;
    *to_len = len - TAG;
    if (gcm_token.silent)
        return CKR_OK;
    if (!gcm_decrypt(data, len, to))
        return CKR_ENCRYPTED_DATA_INVALID;
    if (gcm_token.flips && gcm_token.decrypts > gcm_token.right)
        to[0] ^= 1;
    return gcm_token.decrypt;
}

static CK_FUNCTION_LIST functions = {
    .C_EncryptInit = encrypt_init,
    .C_Encrypt = encrypt,
    .C_DecryptInit = decrypt_init,
    .C_Decrypt = decrypt,
};
static struct p11_module module = {.functions = &functions};
struct p11_session gcm_token_session = {.module = &module};

void gcm_token_reset(void)
{
    memset(&gcm_token, 0, sizeof gcm_token);
    gcm_token_session.quirks = 0;
}
