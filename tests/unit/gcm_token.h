/* SPDX-License-Identifier: Apache-2.0 */
/* A token of one key that is known, in this process: AES-256-GCM (00..1f), by OpenSSL. It asserts
 * that it is asked for nothing else, counts, and fails as it is told. cmocka.h comes before it. */
#ifndef P11KMS_TEST_GCM_TOKEN_H
#define P11KMS_TEST_GCM_TOKEN_H

#include "p11_call.h"
#include "p11_session.h"

enum { GCM_TOKEN_KEY = 7, GCM_TOKEN_IV = 12, GCM_TOKEN_TAG = 16, GCM_TOKEN_AAD_MAX = 256 };

struct gcm_token {
    CK_RV encrypt_init, encrypt, decrypt_init, decrypt; /* what they answer */
    bool silent;                                        /* it says OK, and writes nothing */
    bool flips;                                         /* it opens to something else */
    unsigned right;                                     /* before it flips, so many opens are not */
    bool own_iv;              /* it seals with an IV that nobody gave it */
    uint8_t iv[GCM_TOKEN_IV]; /* of the operation that was begun */
    uint8_t aad[GCM_TOKEN_AAD_MAX];
    size_t aad_len;
    unsigned encrypts, decrypts; /* calls of C_Encrypt and of C_Decrypt */
};

extern struct gcm_token gcm_token;
extern struct p11_session gcm_token_session;

/* A token that is well and has seen nothing. */
void gcm_token_reset(void);

#endif
