/* SPDX-License-Identifier: Apache-2.0 */
/* A token of two keys that are known, in this process: AES-256-CBC (00..1f) and HMAC-SHA256
 * (20..3f), by OpenSSL. It asserts that it is asked for nothing else, counts, notes what memory had
 * secrets, and fails as it is told. cmocka.h comes before it; link with -Wl,--wrap=wipe. */
#ifndef P11KMS_TEST_CBC_TOKEN_H
#define P11KMS_TEST_CBC_TOKEN_H

#include "p11_call.h"
#include "p11_session.h"

enum {
    CBC_TOKEN_CIPHER_KEY = 7, /* handles */
    CBC_TOKEN_MAC_KEY = 8,
    CBC_TOKEN_IV = 16,
    CBC_TOKEN_MAC = 32,
    CBC_TOKEN_SEEN_MAX = 8
};

struct cbc_token {
    CK_RV encrypt_init, encrypt, decrypt_init, decrypt, sign_init, sign, id; /* what they answer */
    int off_by;               /* how much the length is wrong that it says of what it ciphered */
    bool fickle;              /* it never computes the same MAC twice */
    unsigned macs;            /* so far, while it is fickle */
    bool silent;              /* it says that it ciphered or deciphered, and writes nothing */
    bool flips;               /* it deciphers to something else, in the first byte */
    const char *cka_id;       /* of the cipher key */
    unsigned first_byte;      /* of the cipher key */
    uint8_t iv[CBC_TOKEN_IV]; /* of the operation that was begun */
    uint8_t maced[1024];
    size_t maced_len;
    unsigned decrypts; /* calls of C_DecryptInit and C_Decrypt */
    unsigned seen;     /* plaintexts and MACs whose memory it was given; a test sets it back to 0 */
    struct {
        const void *memory;
        size_t len;
        bool wiped;
    } secrets[CBC_TOKEN_SEEN_MAX];
};

extern struct cbc_token cbc_token;
extern const struct p11_session cbc_token_session;

/* A token that is well and has seen nothing. */
void cbc_token_reset(void);

/* How many of the secrets were not wiped where it saw them. */
unsigned cbc_token_unwiped(void);

/* What it computes, for who computes it anew. */
void cbc_token_cipher(bool encrypt, const uint8_t *iv, struct bytes from, uint8_t *to);
void cbc_token_mac(struct bytes data, uint8_t *ret);

#endif
