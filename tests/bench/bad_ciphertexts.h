/* SPDX-License-Identifier: Apache-2.0 */
/* Envelopes of a scheme that must not open, by what is bad about them: one row a kind in
 * bad_ciphertexts.c. */
#ifndef P11KMS_TEST_BAD_CIPHERTEXTS_H
#define P11KMS_TEST_BAD_CIPHERTEXTS_H

#include "scheme.h"

enum { BAD_KINDS_MAX = 8 };

struct bad_kind {
    enum scheme scheme;
    const char *name;
    bool keyless; /* who has seen good envelopes, and no key, can make it */
    /* One random bit of these bytes is turned: of the scheme's fields, from their end where from
     * is negative. No bytes: nothing is, and the envelope was made to be bad, with the token. */
    int from;
    unsigned bytes;
};

struct bad_ciphertexts;

/* Makes a KEK of the scheme on the token, and good envelopes of a DEK to start from. The session is
 * writable and logged in. */
MUST_CHECK struct err bad_ciphertexts_new(const struct p11_session *session, enum scheme scheme,
                                          struct bad_ciphertexts **ret);

/* Destroys the KEK. Accepts NULL. */
MUST_CHECK struct err bad_ciphertexts_free(struct bad_ciphertexts *bad);

size_t bad_kinds(const struct bad_ciphertexts *bad);
const struct bad_kind *bad_kind(const struct bad_ciphertexts *bad, size_t kind);

/* A number below n, which is small, as likely as any other. */
size_t bad_random(struct bad_ciphertexts *bad, size_t n);

/* A fresh one of the kind, always at the same address. Views of ret are good until the next. */
MUST_CHECK struct err bad_ciphertext(struct bad_ciphertexts *bad, size_t kind,
                                     struct envelope *ret);

/* The scheme's own open function, and nothing else. */
MUST_CHECK struct err bad_ciphertext_open(const struct bad_ciphertexts *bad,
                                          const struct envelope *envelope, uint8_t *memory,
                                          size_t *ret_len);

#endif
