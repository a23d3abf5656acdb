/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_hmac.h"

#include "p11_call.h"

#include <string.h>

struct err p11_hmac_sha256(const struct p11_session *s, unsigned long key, struct bytes data,
                           uint8_t ret_mac[static HMAC_SHA256])
{
    CK_MECHANISM mechanism = {CKM_SHA256_HMAC, NULL, 0};
    CK_ULONG len = HMAC_SHA256;
    memset(ret_mac, 0, HMAC_SHA256);
    TRY(P11_CALL(s->module, C_SignInit, s->handle, &mechanism, key));
    TRY(P11_CALL(s->module, C_Sign, s->handle, p11_lend(data), data.len, ret_mac, &len));
    /* a token that says OK and writes nothing would leave us with a key that everybody knows */
    if (len != HMAC_SHA256 || p11_is_blank(ret_mac, HMAC_SHA256))
        return p11_result(CKR_GENERAL_ERROR, "C_Sign gave no MAC");
    return ERR_OK;
}
