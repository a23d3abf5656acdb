/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cbc_token.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

struct cbc_token cbc_token;

void cbc_token_reset(void)
{
    memset(&cbc_token, 0, sizeof cbc_token);
    cbc_token.cka_id = "cipher";
}

static void note_secret(const void *memory, size_t len)
{
    assert_true(cbc_token.seen < CBC_TOKEN_SEEN_MAX);
    cbc_token.secrets[cbc_token.seen].memory = memory;
    cbc_token.secrets[cbc_token.seen].len = len;
    cbc_token.secrets[cbc_token.seen++].wiped = false;
}

/* In the place of wipe. */
void __real_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len);
void __wrap_wipe(void *memory, size_t len)
{
    for (unsigned i = 0; i < cbc_token.seen; i++)
        if (memory == cbc_token.secrets[i].memory && len >= cbc_token.secrets[i].len)
            cbc_token.secrets[i].wiped = true;
    __real_wipe(memory, len);
}

unsigned cbc_token_unwiped(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < cbc_token.seen; i++)
        n += !cbc_token.secrets[i].wiped;
    return n;
}

static void fill_key(uint8_t key[static 32], unsigned first)
{
    for (unsigned i = 0; i < 32; i++)
        key[i] = (uint8_t)(first + i);
}

void cbc_token_cipher(bool encrypt, const uint8_t *iv, struct bytes from, uint8_t *to)
{
    uint8_t key[32];
    int len = 0;
    fill_key(key, cbc_token.first_byte);
    EVP_CIPHER_CTX *c = EVP_CIPHER_CTX_new();
    assert_non_null(c);
    assert_int_equal(EVP_CipherInit_ex(c, EVP_aes_256_cbc(), NULL, key, iv, encrypt), 1);
    assert_int_equal(EVP_CIPHER_CTX_set_padding(c, 0), 1);
    assert_int_equal(EVP_CipherUpdate(c, to, &len, from.data, (int)from.len), 1);
    assert_int_equal(len, from.len);
    EVP_CIPHER_CTX_free(c);
}

void cbc_token_mac(struct bytes data, uint8_t *ret)
{
    uint8_t key[32];
    fill_key(key, 0x20);
    assert_non_null(HMAC(EVP_sha256(), key, sizeof key, data.data, data.len, ret, NULL));
}

static void begin_cbc(const CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    assert_int_equal(mechanism->mechanism, CKM_AES_CBC); /* and never CKM_AES_CBC_PAD */
    assert_int_equal(mechanism->ulParameterLen, CBC_TOKEN_IV);
    assert_int_equal(key, CBC_TOKEN_CIPHER_KEY);
    memcpy(cbc_token.iv, mechanism->pParameter, CBC_TOKEN_IV);
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    begin_cbc(mechanism, key);
    return cbc_token.encrypt_init;
}

static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *to,
                     CK_ULONG *to_len)
{
    (void)session;
    assert_int_equal(*to_len, len);
    note_secret(data, len);
    if (!cbc_token.silent)
        cbc_token_cipher(true, cbc_token.iv, bytes_of(data, len), to);
    *to_len = (CK_ULONG)((int)len + cbc_token.off_by);
    return cbc_token.encrypt;
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    cbc_token.decrypts++;
    begin_cbc(mechanism, key);
    return cbc_token.decrypt_init;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *to,
                     CK_ULONG *to_len)
{
    (void)session;
    cbc_token.decrypts++;
    assert_int_equal(*to_len, len);
    if (!cbc_token.silent)
        cbc_token_cipher(false, cbc_token.iv, bytes_of(data, len), to);
    if (cbc_token.flips)
        to[0] ^= 1;
    *to_len = (CK_ULONG)((int)len + cbc_token.off_by);
    return cbc_token.decrypt;
}

static CK_RV sign_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    (void)session;
    assert_int_equal(mechanism->mechanism, CKM_SHA256_HMAC);
    assert_int_equal(key, CBC_TOKEN_MAC_KEY);
    return cbc_token.sign_init;
}

static CK_RV sign(CK_SESSION_HANDLE session, CK_BYTE *data, CK_ULONG len, CK_BYTE *signature,
                  CK_ULONG *signature_len)
{
    (void)session;
    assert_int_equal(*signature_len, CBC_TOKEN_MAC);
    assert_true(len <= sizeof cbc_token.maced);
    memcpy(cbc_token.maced, data, len);
    cbc_token.maced_len = len;
    note_secret(signature, CBC_TOKEN_MAC);
    cbc_token_mac(bytes_of(data, len), signature);
    if (cbc_token.fickle)
        signature[0] ^= (CK_BYTE)++cbc_token.macs;
    return cbc_token.sign;
}

static CK_RV get_attribute_value(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object,
                                 CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    (void)session;
    assert_int_equal(object, CBC_TOKEN_CIPHER_KEY);
    assert_int_equal(count, 1);
    assert_int_equal(attributes->type, CKA_ID);
    attributes->ulValueLen = strlen(cbc_token.cka_id);
    memcpy(attributes->pValue, cbc_token.cka_id, strlen(cbc_token.cka_id));
    return cbc_token.id;
}

static CK_FUNCTION_LIST functions = {
    .C_EncryptInit = encrypt_init,
    .C_Encrypt = encrypt,
    .C_DecryptInit = decrypt_init,
    .C_Decrypt = decrypt,
    .C_SignInit = sign_init,
    .C_Sign = sign,
    .C_GetAttributeValue = get_attribute_value,
};
static struct p11_module module = {.functions = &functions};
const struct p11_session cbc_token_session = {.module = &module};
