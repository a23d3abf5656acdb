/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_cbc.h"

#include "p11_call.h"

#include <string.h>

static bool whole_blocks(struct bytes range)
{
    return range.len > 0 && range.len % CBC_BLOCK == 0;
}

struct err p11_cbc_encrypt(const struct p11_session *s, unsigned long key,
                           const uint8_t iv[static CBC_IV], struct bytes plaintext,
                           uint8_t *ret_ciphertext)
{
    CK_MECHANISM mechanism = {CKM_AES_CBC, p11_lend(bytes_of(iv, CBC_IV)), CBC_IV};
    CK_ULONG len = plaintext.len;
    if (!whole_blocks(plaintext))
        return err_make(ERR_INTERNAL, "p11_cbc_encrypt");
    /* what the caller's memory held would pass for what the token wrote, and leave this process */
    memset(ret_ciphertext, 0, plaintext.len);
    TRY(P11_CALL(s->module, C_EncryptInit, s->handle, &mechanism, key));
    TRY(P11_CALL(s->module, C_Encrypt, s->handle, p11_lend(plaintext), plaintext.len,
                 ret_ciphertext, &len));
    if (len != plaintext.len)
        return err_make(ERR_UNSUPPORTED, "C_Encrypt gave another length");
    return p11_is_blank(ret_ciphertext, plaintext.len)
               ? p11_result(CKR_GENERAL_ERROR, "C_Encrypt gave no ciphertext")
               : ERR_OK;
}

struct err p11_cbc_decrypt(const struct p11_session *s, unsigned long key, struct bytes iv,
                           struct bytes ciphertext, uint8_t *memory)
{
    CK_MECHANISM mechanism = {CKM_AES_CBC, p11_lend(iv), iv.len};
    CK_ULONG len = ciphertext.len;
    if (iv.len != CBC_IV || !whole_blocks(ciphertext))
        return err_make(ERR_INVALID, "p11_cbc_decrypt");
    /* what an earlier call left there would pass for what this one wrote */
    memset(memory, 0, ciphertext.len);
    TRY(P11_CALL(s->module, C_DecryptInit, s->handle, &mechanism, key));
    TRY(P11_CALL(s->module, C_Decrypt, s->handle, p11_lend(ciphertext), ciphertext.len, memory,
                 &len));
    if (len != ciphertext.len)
        return err_make(ERR_AUTH, "C_Decrypt gave another length");
    return ERR_OK;
}
