/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_sign.h"

#include "p11_call.h"

#include <string.h>

/* DigestInfo of SHA-256 without the digest itself (RFC 8017, 9.2). */
static const uint8_t digest_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

static struct err begin(const struct p11_session *s, unsigned long key, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM mechanism = {type, NULL, 0};
    return P11_CALL(s->module, C_SignInit, s->handle, &mechanism, key);
}

static struct err finish(const struct p11_session *s, struct bytes data, uint8_t *ret, size_t len)
{
    CK_ULONG got = len;
    memset(ret, 0, len);
    TRY(P11_CALL(s->module, C_Sign, s->handle, p11_lend(data), data.len, ret, &got));
    return got == len ? ERR_OK : p11_result(CKR_GENERAL_ERROR, "C_Sign gave no signature");
}

struct err p11_sign_ecdsa(const struct p11_session *s, unsigned long key,
                          const uint8_t digest[static SIGN_SHA256], uint8_t ret[static ECDSA_P256])
{
    TRY(begin(s, key, CKM_ECDSA));
    return finish(s, bytes_of(digest, SIGN_SHA256), ret, ECDSA_P256);
}

static struct err sign_digest_info(const struct p11_session *s, unsigned long key,
                                   const uint8_t digest[static SIGN_SHA256], uint8_t *ret,
                                   size_t len)
{
    uint8_t data[sizeof digest_info + SIGN_SHA256];
    memcpy(data, digest_info, sizeof digest_info);
    memcpy(data + sizeof digest_info, digest, SIGN_SHA256);
    TRY(begin(s, key, CKM_RSA_PKCS));
    return finish(s, bytes_of(data, sizeof data), ret, len);
}

struct err p11_sign_rsa(const struct p11_session *s, unsigned long key, struct bytes message,
                        const uint8_t digest[static SIGN_SHA256], uint8_t *ret, size_t len)
{
    struct err e = begin(s, key, CKM_SHA256_RSA_PKCS);
    if (err_is(e) && e.native == CKR_MECHANISM_INVALID)
        return sign_digest_info(s, key, digest, ret, len);
    TRY(e);
    return finish(s, message, ret, len);
}
