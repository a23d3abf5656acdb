/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module that is two key pairs, in OpenSSL, which can be made to lie. The keys are those
 * of docs/envelope.md. cmocka.h comes before it. */
#ifndef P11KMS_TEST_PAIR_TOKEN_H
#define P11KMS_TEST_PAIR_TOKEN_H

#include "p11_call.h"
#include "scheme.h"

#include <openssl/evp.h>

/* The objects' handles. */
enum { UNWRAP_KEY = 7, SIGN_KEY = 8, PUBLIC_KEY = 20 };

enum { PUBLICS = 5 }; /* of which the product looks at four */

struct pair_token {
    EVP_PKEY *unwrap, *sign;           /* the private keys */
    EVP_PKEY *unwrap_publics[PUBLICS]; /* the public objects; NULL: none */
    EVP_PKEY *sign_publics[PUBLICS];
    bool told;       /* private RSA keys tell their modulus */
    bool raw_point;  /* EC_POINT is no OCTET STRING */
    bool sha1_only;  /* its OAEP */
    bool plain_only; /* CKM_RSA_PKCS, but not CKM_SHA256_RSA_PKCS */
    CK_RV init_rv, decrypt_rv, sign_rv;
    int longer;               /* what it says of the length of its results */
    bool garbage;             /* it gives other bytes */
    bool fickle;              /* each signature is another key's, on P-256 */
    unsigned decrypts, signs; /* calls of C_Decrypt and C_Sign */
    size_t signed_len;        /* what the last C_Sign was given */
    uint8_t signed_data[128]; /* its beginning */
    const void *room;         /* where the last C_Decrypt wrote */
    unsigned room_wipes;      /* how often it was wiped there */
    uint8_t wiped_key[32];    /* the last 32 bytes that were wiped anywhere */
    unsigned key_wipes;
};

extern struct pair_token pair_token;

/* Such a session; its module is the token. */
extern const struct p11_session pair_session;

/* A well token whose public objects are there; its sign key is P-256, or RSA. */
void pair_token_reset(bool rsa);
void pair_token_free(void);

/* The key set of its two keys, not prepared. */
struct key_set pair_token_keys(void);

/* A new key of its own: RSA of that many bits, or P-256 where bits is 0. */
EVP_PKEY *pair_stranger(unsigned bits);

#endif
