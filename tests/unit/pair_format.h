/* SPDX-License-Identifier: Apache-2.0 */
/* The format of rsa-oaep-sign, by OpenSSL alone: none of the product's own code for it. cmocka.h
 * comes before it. */
#ifndef P11KMS_TEST_PAIR_FORMAT_H
#define P11KMS_TEST_PAIR_FORMAT_H

#include "hex.h"
#include "p11_oaep.h"

#include <openssl/evp.h>

/* With its NUL, what comes before a signed envelope. */
#define PAIR_DOMAIN "p11-kms/rsa-oaep-sign/v1"

/* Appends the signature of a P-256 key over label and what raw has. */
void pair_append_signature(EVP_PKEY *key, struct bytes label, struct hex *raw);

/* Whether the signature, as in an envelope, is the key's over domain and raw. */
bool pair_is_signed(EVP_PKEY *key, struct bytes raw, struct bytes signature);

/* The message key that was wrapped, of 32 bytes as it must be. */
void pair_unwrap(EVP_PKEY *key, enum oaep_hash hash, const uint8_t *wrapped,
                 uint8_t ret[static 32]);

/* Ciphertext and tag, from header, key and plaintext. */
void pair_compute(struct bytes header, const uint8_t *key, struct bytes plaintext, uint8_t *ret);

#endif
