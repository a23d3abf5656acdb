/* SPDX-License-Identifier: Apache-2.0 */
#include "scheme.h"

static const struct scheme_ops *const schemes[] = {
    &scheme_aes_gcm, &scheme_hmac_derive, &scheme_aes_cbc_hmac, &scheme_rsa_oaep_sign, NULL,
};

const struct scheme_ops *scheme_find(enum scheme scheme)
{
    for (const struct scheme_ops *const *at = schemes; *at; at++)
        if ((*at)->scheme == scheme)
            return *at;
    return NULL;
}

struct err scheme_prepare(const struct scheme_ops *scheme, const struct p11_session *session,
                          struct key_set *keys)
{
    return scheme->prepare ? scheme->prepare(session, keys) : ERR_OK;
}

struct err scheme_seal(const struct scheme_ops *scheme, const struct p11_session *session,
                       const struct key_set *keys, struct bytes header, struct bytes plaintext,
                       struct writer *w)
{
    return scheme->seal(session, keys, header, plaintext, w);
}

struct err scheme_authenticate(const struct scheme_ops *scheme, const struct p11_session *session,
                               const struct key_set *keys, const struct envelope *envelope)
{
    return scheme->authenticate ? scheme->authenticate(session, keys, envelope) : ERR_OK;
}

struct err scheme_open(const struct scheme_ops *scheme, const struct p11_session *session,
                       const struct key_set *keys, const struct envelope *envelope, uint8_t *memory,
                       size_t *ret_len)
{
    return scheme->open(session, keys, envelope, memory, ret_len);
}

bool scheme_believes_token(const struct scheme_ops *scheme)
{
    return scheme->reseal != NULL;
}

struct err scheme_reseal(const struct scheme_ops *scheme, const struct p11_session *session,
                         const struct key_set *keys, const struct envelope *envelope,
                         struct bytes plaintext, bool *ret_same)
{
    return scheme->reseal(session, keys, envelope, plaintext, ret_same);
}
