/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_gcm.h"

#include "p11_call.h"

#include <string.h>

/* ulIvBits: NSS needs it, the standard is of two minds, SoftHSM does not look. */
static CK_GCM_PARAMS gcm_params(uint8_t *iv, struct bytes aad)
{
    return (CK_GCM_PARAMS){.pIv = iv,
                           .ulIvLen = GCM_IV,
                           .ulIvBits = GCM_IV * 8,
                           .pAAD = p11_lend(aad),
                           .ulAADLen = aad.len,
                           .ulTagBits = GCM_TAG * 8};
}

struct err p11_gcm_encrypt(const struct p11_session *s, unsigned long key,
                           uint8_t iv[static GCM_IV], struct bytes aad, struct bytes plaintext,
                           uint8_t *ret_ciphertext)
{
    CK_GCM_PARAMS params = gcm_params(iv, aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = plaintext.len + GCM_TAG;
    bool own_iv = quirks_have(s->quirks, QUIRK_OWN_GCM_IV);
    if (own_iv)
        memset(iv, 0, GCM_IV);
    /* what the caller's memory held would pass for what the token wrote, and leave this process */
    memset(ret_ciphertext, 0, len);
    TRY(P11_CALL(s->module, C_EncryptInit, s->handle, &mechanism, key));
    struct err e = P11_CALL(s->module, C_Encrypt, s->handle, p11_lend(plaintext), plaintext.len,
                            ret_ciphertext, &len);
    /* a token that appends its own IV (Luna in FIPS mode) is not what this scheme stores */
    if (e.native == CKR_BUFFER_TOO_SMALL)
        e.code = ERR_UNSUPPORTED;
    TRY(e);
    if (len != plaintext.len + GCM_TAG)
        return err_make(ERR_UNSUPPORTED, "C_Encrypt gave another length");
    if (p11_is_blank(ret_ciphertext, len))
        return p11_result(CKR_GENERAL_ERROR, "C_Encrypt gave no ciphertext");
    /* the same IV twice would give the key away: what it did not make itself must not be used */
    if (own_iv && p11_is_blank(iv, GCM_IV))
        return err_make(ERR_UNSUPPORTED, "C_Encrypt made no IV of its own");
    return ERR_OK;
}

/* Over memory that is filled with `fill`. */
static struct err decrypt(const struct p11_session *s, unsigned long key, struct bytes iv,
                          struct bytes aad, struct bytes ciphertext, uint8_t fill, uint8_t *memory)
{
    CK_GCM_PARAMS params = gcm_params(p11_lend(iv), aad);
    CK_MECHANISM mechanism = {CKM_AES_GCM, &params, sizeof params};
    CK_ULONG len = ciphertext.len;
    memset(memory, fill, ciphertext.len);
    TRY(P11_CALL(s->module, C_DecryptInit, s->handle, &mechanism, key));
    TRY(P11_CALL(s->module, C_Decrypt, s->handle, p11_lend(ciphertext), ciphertext.len, memory,
                 &len));
    if (len != ciphertext.len - GCM_TAG)
        return err_make(ERR_AUTH, "C_Decrypt gave another length");
    return ERR_OK;
}

/* Zeros may be the plaintext. A token that writes them does so over ones as well; one that says OK
 * and writes nothing is found out, whatever an earlier call left in memory. */
struct err p11_gcm_decrypt(const struct p11_session *s, unsigned long key, struct bytes iv,
                           struct bytes aad, struct bytes ciphertext, uint8_t *memory)
{
    if (iv.len != GCM_IV || ciphertext.len <= GCM_TAG)
        return err_make(ERR_INVALID, "p11_gcm_decrypt");
    TRY(decrypt(s, key, iv, aad, ciphertext, 0, memory));
    if (!p11_is_blank(memory, ciphertext.len - GCM_TAG))
        return ERR_OK;
    TRY(decrypt(s, key, iv, aad, ciphertext, UINT8_MAX, memory));
    return p11_is_blank(memory, ciphertext.len - GCM_TAG)
               ? ERR_OK
               : p11_result(CKR_GENERAL_ERROR, "C_Decrypt gave no plaintext");
}
