/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures by private keys on the token, over SHA-256. */
#ifndef P11KMS_P11_SIGN_H
#define P11KMS_P11_SIGN_H

#include "p11_session.h"

enum { SIGN_SHA256 = 32, ECDSA_P256 = 64 };

/* CKM_ECDSA over a digest: r, then s, 32 bytes each. */
MUST_CHECK struct err p11_sign_ecdsa(const struct p11_session *session, unsigned long key,
                                     const uint8_t digest[static SIGN_SHA256],
                                     uint8_t ret[static ECDSA_P256]);

/* PKCS #1 v1.5 over the message, of which digest is the SHA-256: `len` bytes, which is the length
 * of the modulus. By CKM_SHA256_RSA_PKCS, or where the token has none (openCryptoki's soft token)
 * by CKM_RSA_PKCS, which gives the same bytes. */
MUST_CHECK struct err p11_sign_rsa(const struct p11_session *session, unsigned long key,
                                   struct bytes message, const uint8_t digest[static SIGN_SHA256],
                                   uint8_t *ret, size_t len);

#endif
