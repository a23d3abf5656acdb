/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_oaep.h"

#include "p11_call.h"
#include "secret.h"

#include <string.h>

/* SoftHSM and openCryptoki want room for as many bytes as the modulus has, whatever comes out. */
struct room {
    uint8_t bytes[RSA_MODULUS_MAX];
};

static void room_wipe(struct room *room)
{
    wipe(room, sizeof *room);
}

/* NSS wants CKZ_DATA_SPECIFIED for no label as well. */
static CK_RSA_PKCS_OAEP_PARAMS oaep_params(enum oaep_hash hash)
{
    bool sha1 = hash == OAEP_SHA1;
    return (CK_RSA_PKCS_OAEP_PARAMS){.hashAlg = sha1 ? CKM_SHA_1 : CKM_SHA256,
                                     .mgf = sha1 ? CKG_MGF1_SHA1 : CKG_MGF1_SHA256,
                                     .source = CKZ_DATA_SPECIFIED};
}

/* What tokens say of a hash that they do not have; SoftHSM's is ARGUMENTS_BAD. */
static bool lacks_hash(const struct err *e)
{
    return e->native == CKR_ARGUMENTS_BAD || e->native == CKR_MECHANISM_PARAM_INVALID ||
           e->native == CKR_MECHANISM_INVALID;
}

struct err p11_oaep_decrypt(const struct p11_session *s, unsigned long key, enum oaep_hash hash,
                            struct bytes wrapped, uint8_t *ret, size_t len)
{
    CLEANUP(room_wipe) struct room room = {{0}};
    CK_RSA_PKCS_OAEP_PARAMS params = oaep_params(hash);
    CK_MECHANISM mechanism = {CKM_RSA_PKCS_OAEP, &params, sizeof params};
    CK_ULONG got = wrapped.len;
    if (wrapped.len > sizeof room.bytes || len > wrapped.len)
        return err_make(ERR_INVALID, "p11_oaep_decrypt");
    struct err e = P11_CALL(s->module, C_DecryptInit, s->handle, &mechanism, key);
    if (err_is(e) && lacks_hash(&e))
        e.code = ERR_UNSUPPORTED;
    TRY(e);
    TRY(P11_CALL(s->module, C_Decrypt, s->handle, p11_lend(wrapped), wrapped.len, room.bytes,
                 &got));
    if (got != len)
        return err_make(ERR_AUTH, "C_Decrypt gave another length");
    memcpy(ret, room.bytes, len);
    return ERR_OK;
}
