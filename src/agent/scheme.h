/* SPDX-License-Identifier: Apache-2.0 */
/* What a scheme is to the agent: one file of functions and one row in scheme_table.c. */
#ifndef P11KMS_SCHEME_H
#define P11KMS_SCHEME_H

#include "envelope.h"
#include "key_set.h"

struct scheme_ops {
    enum scheme scheme;

    /* Reads the public halves of key pairs and proves each against its private key; NULL where all
     * keys are secret. Once for each KEK and agent, before anything else is done with the keys. */
    struct err (*prepare)(const struct p11_session *session, struct key_set *keys);

    /* Appends the scheme's fields to an envelope whose header w already ends with. ERR_INVALID:
     * with keys of this length so long a plaintext has no room. */
    struct err (*seal)(const struct p11_session *session, const struct key_set *keys,
                       struct bytes header, struct bytes plaintext, struct writer *w);

    /* Whether a parsed envelope that did not open is authentic, as far as that can be told before
     * any of it is decrypted. ERR_AUTH: it is not, and the token is not at fault for that. NULL
     * where only opening tells. */
    struct err (*authenticate)(const struct p11_session *session, const struct key_set *keys,
                               const struct envelope *envelope);

    /* Opens a parsed envelope into memory of ENVELOPE_MAX bytes. ERR_INVALID when the fields have
     * an impossible length. A native CKR may mean that authentication failed or that the token
     * did: open_envelope() tells them apart. */
    struct err (*open)(const struct p11_session *session, const struct key_set *keys,
                       const struct envelope *envelope, uint8_t *memory, size_t *ret_len);

    /* Seals what was opened once more, with the IV of its envelope, and says whether the same
     * envelope comes out; nothing of that is answered to anybody. ERR_UNSUPPORTED: the token takes
     * no IV. NULL where open() proves its plaintext in this process; where it does not, nothing but
     * the token's word says what open() yields. */
    struct err (*reseal)(const struct p11_session *session, const struct key_set *keys,
                         const struct envelope *envelope, struct bytes plaintext, bool *ret_same);
};

/* NULL for a scheme that the agent does not have. */
const struct scheme_ops *scheme_find(enum scheme scheme);

/* The functions of a row. */
MUST_CHECK struct err scheme_prepare(const struct scheme_ops *scheme,
                                     const struct p11_session *session, struct key_set *keys);
MUST_CHECK struct err scheme_seal(const struct scheme_ops *scheme,
                                  const struct p11_session *session, const struct key_set *keys,
                                  struct bytes header, struct bytes plaintext, struct writer *w);
MUST_CHECK struct err scheme_authenticate(const struct scheme_ops *scheme,
                                          const struct p11_session *session,
                                          const struct key_set *keys,
                                          const struct envelope *envelope);
MUST_CHECK struct err scheme_open(const struct scheme_ops *scheme,
                                  const struct p11_session *session, const struct key_set *keys,
                                  const struct envelope *envelope, uint8_t *memory,
                                  size_t *ret_len);

/* Whether open() has nothing but the token's word for its plaintext; only then there is a reseal.
 */
bool scheme_believes_token(const struct scheme_ops *scheme);
MUST_CHECK struct err scheme_reseal(const struct scheme_ops *scheme,
                                    const struct p11_session *session, const struct key_set *keys,
                                    const struct envelope *envelope, struct bytes plaintext,
                                    bool *ret_same);

extern const struct scheme_ops scheme_aes_gcm;
extern const struct scheme_ops scheme_hmac_derive;
extern const struct scheme_ops scheme_aes_cbc_hmac;
extern const struct scheme_ops scheme_rsa_oaep_sign;

#endif
