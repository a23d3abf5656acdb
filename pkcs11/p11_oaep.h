/* SPDX-License-Identifier: Apache-2.0 */
/* CKM_RSA_PKCS_OAEP in one call. */
#ifndef P11KMS_P11_OAEP_H
#define P11KMS_P11_OAEP_H

#include "p11_session.h"

/* That of OAEP and of its MGF1; the numbers are those of docs/envelope.md. */
enum oaep_hash { OAEP_SHA1 = 1, OAEP_SHA256 = 2 };

/* RSA moduli that we use, in bytes. */
enum { RSA_MODULUS_MIN = 256, RSA_MODULUS_MAX = 384 };

/* Opens what was wrapped without a label. ret has room for the len bytes that must come out, and is
 * the caller's to wipe, on failure too. ERR_UNSUPPORTED: the token has no OAEP with that hash.
 * ERR_AUTH: something of another length came out. */
MUST_CHECK struct err p11_oaep_decrypt(const struct p11_session *session, unsigned long key,
                                       enum oaep_hash hash, struct bytes wrapped, uint8_t *ret,
                                       size_t len);

#endif
