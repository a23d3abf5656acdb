/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM in this process, for keys that seal one message alone: the IV is all zeros. */
#ifndef P11KMS_LOCAL_GCM_H
#define P11KMS_LOCAL_GCM_H

#include "bytes.h"
#include "error.h"

enum { LOCAL_GCM_KEY = 32, LOCAL_GCM_TAG = 16 };

/* Writes plaintext.len + LOCAL_GCM_TAG bytes, the tag last. Never twice with one key. */
MUST_CHECK struct err local_gcm_seal(const uint8_t key[static LOCAL_GCM_KEY], struct bytes aad,
                                     struct bytes plaintext, uint8_t *ret_ciphertext);

/* Writes ciphertext.len - LOCAL_GCM_TAG bytes. ERR_AUTH, and memory is wiped: the tag is wrong. */
MUST_CHECK struct err local_gcm_open(const uint8_t key[static LOCAL_GCM_KEY], struct bytes aad,
                                     struct bytes ciphertext, uint8_t *memory);

#endif
