/* SPDX-License-Identifier: Apache-2.0 */
/* CKM_AES_CBC in one call, of whole blocks. Never CKM_AES_CBC_PAD: with a wrong padding
 * openCryptoki answers OK and no length, and tpm2-pkcs11 decrypts no two blocks. */
#ifndef P11KMS_P11_CBC_H
#define P11KMS_P11_CBC_H

#include "p11_session.h"

enum { CBC_IV = 16, CBC_BLOCK = 16 };

/* Encrypts to plaintext.len bytes at ret_ciphertext; that the token wrote none is an error.
 * plaintext.len is a multiple of CBC_BLOCK. */
MUST_CHECK struct err p11_cbc_encrypt(const struct p11_session *session, unsigned long key,
                                      const uint8_t iv[static CBC_IV], struct bytes plaintext,
                                      uint8_t *ret_ciphertext);

/* Decrypts to ciphertext.len bytes at memory; zeros where the token wrote none. Nothing says here
 * whether they are what was encrypted. What memory holds after a failure must not be used; wipe
 * it. ERR_AUTH: the token gave another length. */
MUST_CHECK struct err p11_cbc_decrypt(const struct p11_session *session, unsigned long key,
                                      struct bytes iv, struct bytes ciphertext, uint8_t *memory);

#endif
