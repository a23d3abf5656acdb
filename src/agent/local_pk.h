/* SPDX-License-Identifier: Apache-2.0 */
/* Public halves of key pairs in this process: RSA-OAEP and signatures over SHA-256. A half is a
 * SubjectPublicKeyInfo (RFC 5280), in DER. */
#ifndef P11KMS_LOCAL_PK_H
#define P11KMS_LOCAL_PK_H

#include "p11_oaep.h"
#include "p11_pair.h"

/* Of RSA with 3072 bits the DER has 422 bytes. */
enum { LOCAL_PK_DER_MAX = 512, LOCAL_PK_SHA256 = 32 };

/* ERR_REFUSED: no key that we use. That is RSA with 2048 to 3072 bits (a multiple of 8) and an odd
 * exponent of 65537 or more, or a point on P-256. */
MUST_CHECK struct err local_pk_encode(const struct p11_public *from,
                                      uint8_t ret_der[static LOCAL_PK_DER_MAX], size_t *ret_len);

/* What the half gives: of RSA what is wrapped or signed has the length of the modulus, of P-256 a
 * signature has 64 bytes. ERR_INTERNAL: it is not one that local_pk_encode gave. */
MUST_CHECK struct err local_pk_size(struct bytes der, enum key_type *ret_type, size_t *ret_size);

/* Writes local_pk_size() bytes. */
MUST_CHECK struct err local_pk_wrap(struct bytes der, enum oaep_hash hash, struct bytes plaintext,
                                    uint8_t *ret);

MUST_CHECK struct err local_pk_digest(struct bytes message, uint8_t ret[static LOCAL_PK_SHA256]);

/* ERR_AUTH: the signature, PKCS #1 v1.5 or r and s of ECDSA, is not the key's. */
MUST_CHECK struct err local_pk_verify(struct bytes der, struct bytes message,
                                      struct bytes signature);

#endif
