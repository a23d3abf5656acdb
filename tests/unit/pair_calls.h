/* SPDX-License-Identifier: Apache-2.0 */
/* rsa-oaep-sign on the token of pair_token.h. cmocka.h comes before it. */
#ifndef P11KMS_TEST_PAIR_CALLS_H
#define P11KMS_TEST_PAIR_CALLS_H

#include "hex.h"
#include "p11_oaep.h"
#include "scheme.h"

/* Of an envelope. */
enum { HEADER = 44, MODULUS = 256, WRAPPED = HEADER + 3, CIPHERTEXT = WRAPPED + MODULUS, TAG = 16 };

extern const uint8_t pair_dek[32];

struct err pair_prepare(struct key_set *ret);

/* The same where it must work; the token counts anew. */
struct key_set pair_prepared(void);

struct err pair_seal(const struct key_set *keys, struct bytes plaintext, struct hex *ret);
struct hex pair_sealed_dek(const struct key_set *keys);
struct err pair_open(const struct key_set *keys, struct bytes raw, struct hex *ret);

/* What an envelope of that plaintext must be, but for what is random in it. */
void pair_check_format(const struct hex *raw, struct bytes plaintext, enum oaep_hash hash);

#endif
