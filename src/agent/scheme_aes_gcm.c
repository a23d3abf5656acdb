/* SPDX-License-Identifier: Apache-2.0 */
/* aes-gcm: the token's own AES-256-GCM. Fields: IV (12) | ciphertext | tag (16). */
#include "scheme.h"

#include "p11_gcm.h"

static struct writer aad_over(uint8_t *memory, struct bytes header)
{
    struct writer w = writer_over(memory, ENVELOPE_AAD_MAX);
    envelope_put_aad(&w, header);
    return w;
}

static struct err seal(const struct p11_session *session, const struct key_set *keys,
                       struct bytes header, struct bytes plaintext, struct writer *w)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX], iv[GCM_IV], ciphertext[PLAINTEXT_MAX + GCM_TAG];
    struct writer aad = aad_over(aad_room, header);
    if (aad.full || plaintext.len < 1 || plaintext.len > PLAINTEXT_MAX)
        return err_make(ERR_INTERNAL, "aes-gcm seal");
    TRY(random_fill(iv, sizeof iv)); /* at each seal: a cloned VM must not repeat one */
    TRY(p11_gcm_encrypt(session, keys->handles[0], iv, writer_bytes(&aad), plaintext, ciphertext));
    put_bytes(w, bytes_of(iv, sizeof iv));
    put_bytes(w, bytes_of(ciphertext, plaintext.len + GCM_TAG));
    return w->full ? err_make(ERR_INTERNAL, "aes-gcm seal") : ERR_OK;
}

static struct err open_fields(const struct p11_session *session, const struct key_set *keys,
                              const struct envelope *envelope, uint8_t *memory, size_t *ret_len)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX];
    struct writer aad = aad_over(aad_room, envelope->header);
    struct reader r = reader_over(envelope->fields);
    struct bytes iv = get_bytes(&r, GCM_IV);
    struct bytes ciphertext = r.rest;
    if (aad.full || r.bad || ciphertext.len <= GCM_TAG || ciphertext.len > PLAINTEXT_MAX + GCM_TAG)
        return err_make(ERR_INVALID, "aes-gcm fields");
    TRY(p11_gcm_decrypt(session, keys->handles[0], iv, writer_bytes(&aad), ciphertext, memory));
    *ret_len = ciphertext.len - GCM_TAG;
    return ERR_OK;
}

const struct scheme_ops scheme_aes_gcm = {
    .scheme = SCHEME_AES_GCM,
    .seal = seal,
    .open = open_fields,
};
