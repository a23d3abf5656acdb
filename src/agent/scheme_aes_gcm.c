/* SPDX-License-Identifier: Apache-2.0 */
/* aes-gcm: the token's own AES-256-GCM. Fields: IV (12) | ciphertext | tag (16). */
#include "scheme.h"

#include "p11_gcm.h"
#include "secret.h"

#include <string.h>

/* A wrong plaintext sealed with an IV that was used before: together with the envelope it would
 * give away both. Wiped before the function that made it returns. */
struct resealed {
    uint8_t bytes[PLAINTEXT_MAX + GCM_TAG];
};

static void resealed_wipe(struct resealed *resealed)
{
    wipe(resealed, sizeof *resealed);
}
#define AUTO_RESEALED CLEANUP(resealed_wipe)

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

static struct err reseal(const struct p11_session *session, const struct key_set *keys,
                         const struct envelope *envelope, struct bytes plaintext, bool *ret_same)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX], iv[GCM_IV];
    AUTO_RESEALED struct resealed resealed;
    struct writer aad = aad_over(aad_room, envelope->header);
    struct reader r = reader_over(envelope->fields);
    struct bytes used = get_bytes(&r, GCM_IV);
    if (aad.full || r.bad || plaintext.len > PLAINTEXT_MAX || r.rest.len != plaintext.len + GCM_TAG)
        return err_make(ERR_INTERNAL, "aes-gcm reseal");
    if (quirks_have(session->quirks, QUIRK_OWN_GCM_IV))
        return err_make(ERR_UNSUPPORTED, "aes-gcm reseal");
    memcpy(iv, used.data, sizeof iv);
    TRY(p11_gcm_encrypt(session, keys->handles[0], iv, writer_bytes(&aad), plaintext,
                        resealed.bytes));
    if (!bytes_equal(bytes_of(iv, sizeof iv), used)) /* no row of quirks.c knows this token */
        return err_make(ERR_UNSUPPORTED, "aes-gcm reseal");
    *ret_same = bytes_equal(bytes_of(resealed.bytes, r.rest.len), r.rest);
    return ERR_OK;
}

const struct scheme_ops scheme_aes_gcm = {
    .scheme = SCHEME_AES_GCM,
    .seal = seal,
    .open = open_fields,
    .reseal = reseal,
};
