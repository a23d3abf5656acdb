/* SPDX-License-Identifier: Apache-2.0 */
/* CKM_AES_GCM in one call: 96-bit IV, 128-bit tag. */
#ifndef P11KMS_P11_GCM_H
#define P11KMS_P11_GCM_H

#include "p11_session.h"

enum { GCM_IV = 12, GCM_TAG = 16 };

/* Encrypts to plaintext.len + GCM_TAG bytes at ret_ciphertext, the tag last; that the token wrote
 * none is an error. iv is offered to the
 * token, and holds what it used: one that insists on its own (QUIRK_OWN_GCM_IV) is offered zeros,
 * and must have written over them. */
MUST_CHECK struct err p11_gcm_encrypt(const struct p11_session *session, unsigned long key,
                                      uint8_t iv[static GCM_IV], struct bytes aad,
                                      struct bytes plaintext, uint8_t *ret_ciphertext);

/* Decrypts to ciphertext.len - GCM_TAG bytes. memory has room for ciphertext.len: SoftHSM wants
 * that much. That the token wrote nothing is an error here too. What it holds after a failure must
 * not be used; wipe it. */
MUST_CHECK struct err p11_gcm_decrypt(const struct p11_session *session, unsigned long key,
                                      struct bytes iv, struct bytes aad, struct bytes ciphertext,
                                      uint8_t *memory);

#endif
