/* SPDX-License-Identifier: Apache-2.0 */
/* Key pairs on the token: making them, and reading public halves.
 *
 * What private keys report of themselves, made as p11_pair_generate does; measured on Debian 12's
 * SoftHSM 2.6.1 (also behind p11-kit server), NSS 3.87, openCryptoki 3.8.1, tpm2-pkcs11 1.9.0:
 *
 * - TOKEN, PRIVATE, SENSITIVE, ALWAYS_SENSITIVE and NEVER_EXTRACTABLE are true and EXTRACTABLE is
 *   false on all; LOCAL is true, but on NSS. DECRYPT, SIGN, UNWRAP, DERIVE and SIGN_RECOVER are as
 *   the template named them. What it does not name may be true: SIGN_RECOVER of RSA keys, DERIVE of
 *   NSS's EC keys.
 * - ENCRYPT, VERIFY and WRAP are usages of public keys, and a private key has no such attributes;
 *   tpm2-pkcs11's have the first two and mix them up, VERIFY of a key that decrypts is true. They
 *   say nothing. Nor is there a VALUE_LEN.
 * - MODULUS and PUBLIC_EXPONENT are told by RSA private keys on all, EC_PARAMS by EC ones. EC_POINT
 *   is told by the public object alone, a DER OCTET STRING on all, but for tpm2-pkcs11, whose
 *   private keys have it too. Where that object is lost a signature tells it (ecdsa_recover.h).
 *
 * openCryptoki's soft token has no EC keys. */
#ifndef P11KMS_P11_PAIR_H
#define P11KMS_P11_PAIR_H

#include "p11_key.h"
#include "p11_oaep.h"

enum {
    P256_POINT = 65, /* 4, x, y */
    PUBLICS_MAX = 4  /* anybody can put another object with the same CKA_ID beside it */
};

/* What a token says is the public half of a private key. Whoever can open a session, without the
 * PIN, may have put it there: prove it before it is used. */
struct p11_public {
    enum key_type type; /* KEY_TYPE_RSA or KEY_TYPE_EC */
    uint16_t modulus_len;
    uint16_t exponent_len;
    uint8_t modulus[RSA_MODULUS_MAX]; /* big-endian, without leading zeros */
    uint8_t exponent[8];
    uint8_t point[P256_POINT]; /* on P-256, or so it is said */
};

/* Makes a pair of which the private half is sensitive, not extractable, and for the usages demanded
 * (ATTR_SIGN, ATTR_DECRYPT) alone. Both halves get id and label. ret_handle is the private half's.
 *
 * After an error p11_pair_unmake is still to be called.
 *
 * RSA is as long as demanded at most where the token makes that; as short as demanded where it has
 * no ECDSA: the signature is RSA's then too, and two long ones would leave little of an envelope.
 */
MUST_CHECK struct err p11_pair_generate(const struct p11_session *session,
                                        const struct key_demand *demand, const struct object_id *id,
                                        const char *label, unsigned long *ret_handle);

/* p11_key_unmake, of both halves. */
MUST_CHECK struct err p11_pair_unmake(const struct p11_session *session, const struct object_id *id,
                                      const char *label);

/* The public half as the private key itself tells it, or where it does not all that are said to be
 * (objects with that CKA_ID): 1 to PUBLICS_MAX. ERR_TOKEN: there is none that we could use. */
MUST_CHECK struct err p11_pair_publics(const struct p11_session *session, unsigned long handle,
                                       const struct object_id *id,
                                       struct p11_public ret[static PUBLICS_MAX], size_t *ret_n);

/* Destroys the public keys with this CKA_ID, PUBLICS_MAX at most, each after its CKA_ID was read
 * back; that there is none is no error. */
MUST_CHECK struct err p11_pair_destroy_public(const struct p11_session *session,
                                              const struct object_id *id);

#endif
