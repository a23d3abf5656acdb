/* SPDX-License-Identifier: Apache-2.0 */
/* hmac-derive: the token's HMAC-SHA256 over header and salt is the key of one AES-256-GCM in this
 * process. Fields: salt (32) | ciphertext | tag (16). docs/envelope.md says why so. */
#include "scheme.h"

#include "local_gcm.h"
#include "p11_hmac.h"
#include "secret.h"

enum { SALT = 32, INPUT_MAX = 24 + ENVELOPE_HEADER_MAX + SALT };

/* Keeps what we derive apart from anything else that is ever MACed with the KEK. */
static const char domain[] = "p11-kms/hmac-derive/v1";

_Static_assert(sizeof domain + ENVELOPE_HEADER_MAX + SALT <= INPUT_MAX, "input bound");
_Static_assert((int)HMAC_SHA256 == (int)LOCAL_GCM_KEY, "a MAC is a key");

/* Seals or opens one message, and is wiped before the function that derived it returns. */
struct message_key {
    uint8_t bytes[LOCAL_GCM_KEY];
};

static void message_key_wipe(struct message_key *key)
{
    wipe(key, sizeof *key);
}
#define AUTO_MESSAGE_KEY CLEANUP(message_key_wipe)

static struct err derive(const struct p11_session *session, unsigned long kek, struct bytes header,
                         struct bytes salt, struct message_key *ret)
{
    uint8_t memory[INPUT_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    put_bytes(&w, bytes_of(domain, sizeof domain));
    put_bytes(&w, header);
    put_bytes(&w, salt);
    if (w.full || salt.len != SALT)
        return err_make(ERR_INTERNAL, "hmac-derive input");
    return p11_hmac_sha256(session, kek, writer_bytes(&w), ret->bytes);
}

static struct err seal(const struct p11_session *session, const struct key_set *keys,
                       struct bytes header, struct bytes plaintext, struct writer *w)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX], salt[SALT], ciphertext[PLAINTEXT_MAX + LOCAL_GCM_TAG];
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    AUTO_MESSAGE_KEY struct message_key key;
    envelope_put_aad(&aad, header);
    if (aad.full || plaintext.len < 1 || plaintext.len > PLAINTEXT_MAX)
        return err_make(ERR_INTERNAL, "hmac-derive seal");
    TRY(random_fill(salt, sizeof salt)); /* at each seal: a cloned VM must not repeat one */
    TRY(derive(session, keys->handles[0], header, bytes_of(salt, sizeof salt), &key));
    TRY(local_gcm_seal(key.bytes, writer_bytes(&aad), plaintext, ciphertext));
    put_bytes(w, bytes_of(salt, sizeof salt));
    put_bytes(w, bytes_of(ciphertext, plaintext.len + LOCAL_GCM_TAG));
    return w->full ? err_make(ERR_INTERNAL, "hmac-derive seal") : ERR_OK;
}

static struct err open_fields(const struct p11_session *session, const struct key_set *keys,
                              const struct envelope *envelope, uint8_t *memory, size_t *ret_len)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX];
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    struct reader r = reader_over(envelope->fields);
    struct bytes salt = get_bytes(&r, SALT), ciphertext = r.rest;
    AUTO_MESSAGE_KEY struct message_key key;
    envelope_put_aad(&aad, envelope->header);
    if (aad.full || r.bad || ciphertext.len <= LOCAL_GCM_TAG ||
        ciphertext.len > PLAINTEXT_MAX + LOCAL_GCM_TAG)
        return err_make(ERR_INVALID, "hmac-derive fields");
    TRY(derive(session, keys->handles[0], envelope->header, salt, &key));
    TRY(local_gcm_open(key.bytes, writer_bytes(&aad), ciphertext, memory));
    *ret_len = ciphertext.len - LOCAL_GCM_TAG;
    return ERR_OK;
}

const struct scheme_ops scheme_hmac_derive = {
    .scheme = SCHEME_HMAC_DERIVE,
    .seal = seal,
    .open = open_fields,
};
