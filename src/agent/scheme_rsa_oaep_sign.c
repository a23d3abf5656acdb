/* SPDX-License-Identifier: Apache-2.0 */
/* rsa-oaep-sign: a random key for one AES-256-GCM in this process, which only the token can unwrap,
 * and the token's signature over all of it: whoever knows the public half could make the rest.
 * Fields: OAEP hash (1) | length (2) | wrapped key | ciphertext | tag (16) | signature.
 * docs/envelope.md says why so. */
#include "scheme.h"

#include "ecdsa_recover.h"
#include "local_gcm.h"
#include "local_pk.h"
#include "p11_sign.h"
#include "secret.h"

enum { UNWRAP = 0, SIGN = 1 }; /* the order of a KEK's objects */

enum { CHALLENGE = 32, SIGNED_MAX = 25 + ENVELOPE_MAX };

/* Keep what is signed for one purpose apart from what is signed for another. */
static const char domain[] = "p11-kms/rsa-oaep-sign/v1";
static const char challenge_domain[] = "p11-kms/rsa-oaep-sign/challenge/v1";

_Static_assert(sizeof domain + ENVELOPE_MAX <= SIGNED_MAX, "what is signed");
_Static_assert(sizeof challenge_domain + CHALLENGE <= SIGNED_MAX, "what is signed");
_Static_assert((int)SIGN_SHA256 == (int)LOCAL_PK_SHA256, "one digest");
_Static_assert((int)LOCAL_PK_DER_MAX == (int)PUBLIC_HALF_MAX, "a public half has room");

/* Seals or opens one message, and is wiped before the function that has it returns. */
struct message_key {
    uint8_t bytes[LOCAL_GCM_KEY];
};

static void message_key_wipe(struct message_key *key)
{
    wipe(key, sizeof *key);
}
#define AUTO_MESSAGE_KEY CLEANUP(message_key_wipe)

/* What of an envelope has which length. */
struct sizes {
    size_t wrapped;
    size_t signature;
    enum key_type sign_type;
};

static struct bytes half(const struct key_set *keys, unsigned role)
{
    return bytes_of(keys->publics[role].der, keys->publics[role].len);
}

static struct err sizes_of(const struct key_set *keys, struct sizes *ret)
{
    enum key_type type;
    TRY(local_pk_size(half(keys, UNWRAP), &type, &ret->wrapped));
    TRY(local_pk_size(half(keys, SIGN), &ret->sign_type, &ret->signature));
    return type == KEY_TYPE_RSA ? ERR_OK : err_make(ERR_INTERNAL, "rsa-oaep-sign unwrap");
}

static struct err sign(const struct p11_session *session, unsigned long key, enum key_type type,
                       struct bytes message, uint8_t *ret, size_t len)
{
    uint8_t digest[SIGN_SHA256];
    TRY(local_pk_digest(message, digest));
    return type == KEY_TYPE_EC ? p11_sign_ecdsa(session, key, digest, ret)
                               : p11_sign_rsa(session, key, message, digest, ret, len);
}

/* --- seal and open ----------------------------------------------------------------------- */

/* What is signed of an envelope: all but the signature. */
static struct bytes signed_bytes(uint8_t memory[static SIGNED_MAX], struct bytes header,
                                 struct bytes fields)
{
    struct writer w = writer_over(memory, SIGNED_MAX);
    put_bytes(&w, bytes_of(domain, sizeof domain));
    put_bytes(&w, header);
    put_bytes(&w, fields);
    return writer_bytes(&w);
}

/* Appends all fields but the signature. */
static struct err put_sealed(const struct key_set *keys, const struct sizes *sizes,
                             struct bytes header, struct bytes plaintext, struct writer *w)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX], wrapped[RSA_MODULUS_MAX];
    uint8_t ciphertext[PLAINTEXT_MAX + LOCAL_GCM_TAG];
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    AUTO_MESSAGE_KEY struct message_key key;
    envelope_put_aad(&aad, header);
    if (aad.full)
        return err_make(ERR_INTERNAL, "rsa-oaep-sign header");
    TRY(random_fill(key.bytes,
                    sizeof key.bytes)); /* at each seal: a cloned VM must not repeat one */
    TRY(local_pk_wrap(half(keys, UNWRAP), (enum oaep_hash)keys->choice,
                      bytes_of(key.bytes, sizeof key.bytes), wrapped));
    TRY(local_gcm_seal(key.bytes, writer_bytes(&aad), plaintext, ciphertext));
    put_u8(w, keys->choice);
    put_sized(w, bytes_of(wrapped, sizes->wrapped));
    put_bytes(w, bytes_of(ciphertext, plaintext.len + LOCAL_GCM_TAG));
    return w->full ? err_make(ERR_INTERNAL, "rsa-oaep-sign fields") : ERR_OK;
}

static struct err seal(const struct p11_session *session, const struct key_set *keys,
                       struct bytes header, struct bytes plaintext, struct writer *w)
{
    uint8_t fields_room[ENVELOPE_MAX], message[SIGNED_MAX], signature[RSA_MODULUS_MAX];
    struct writer fields = writer_over(fields_room, sizeof fields_room);
    struct sizes sizes;
    TRY(sizes_of(keys, &sizes));
    if (plaintext.len < 1 || plaintext.len > PLAINTEXT_MAX)
        return err_make(ERR_INTERNAL, "rsa-oaep-sign seal");
    if (header.len + 3 + sizes.wrapped + plaintext.len + LOCAL_GCM_TAG + sizes.signature >
        ENVELOPE_MAX)
        return err_make(ERR_INVALID, "a plaintext too long for an envelope of rsa-oaep-sign");
    TRY(put_sealed(keys, &sizes, header, plaintext, &fields));
    TRY(sign(session, keys->handles[SIGN], sizes.sign_type,
             signed_bytes(message, header, writer_bytes(&fields)), signature, sizes.signature));
    put_bytes(w, writer_bytes(&fields));
    put_bytes(w, bytes_of(signature, sizes.signature));
    return w->full ? err_make(ERR_INTERNAL, "rsa-oaep-sign seal") : ERR_OK;
}

/* The fields of an envelope whose signature is good. */
struct sealed {
    enum oaep_hash hash;
    struct bytes wrapped;
    struct bytes ciphertext; /* and tag */
};

/* Cuts the fields apart. Nothing is authenticated yet. */
static struct err parse(const struct sizes *sizes, struct bytes fields, struct sealed *ret,
                        struct bytes *ret_signed, struct bytes *ret_signature)
{
    struct reader r = reader_over(fields);
    uint8_t hash = get_u8(&r);
    struct bytes wrapped = get_sized(&r);
    if (r.bad || (hash != OAEP_SHA1 && hash != OAEP_SHA256) || wrapped.len != sizes->wrapped ||
        r.rest.len <= LOCAL_GCM_TAG + sizes->signature ||
        r.rest.len > PLAINTEXT_MAX + LOCAL_GCM_TAG + sizes->signature)
        return err_make(ERR_INVALID, "rsa-oaep-sign fields");
    *ret = (struct sealed){.hash = (enum oaep_hash)hash,
                           .wrapped = wrapped,
                           .ciphertext = get_bytes(&r, r.rest.len - sizes->signature)};
    *ret_signed = bytes_of(fields.data, fields.len - sizes->signature);
    *ret_signature = r.rest;
    return ERR_OK;
}

/* The fields, once the signature was verified, which is done in this process: the token has no part
 * in it. */
static struct err verify(const struct key_set *keys, const struct envelope *envelope,
                         struct sealed *ret)
{
    struct sizes sizes;
    struct sealed sealed;
    struct bytes covered, signature;
    uint8_t message[SIGNED_MAX];
    TRY(sizes_of(keys, &sizes));
    TRY(parse(&sizes, envelope->fields, &sealed, &covered, &signature));
    TRY(local_pk_verify(half(keys, SIGN), signed_bytes(message, envelope->header, covered),
                        signature));
    *ret = sealed;
    return ERR_OK;
}

static struct err authenticate(const struct p11_session *session, const struct key_set *keys,
                               const struct envelope *envelope)
{
    struct sealed unused;
    (void)session;
    return verify(keys, envelope, &unused);
}

static struct err open_fields(const struct p11_session *session, const struct key_set *keys,
                              const struct envelope *envelope, uint8_t *memory, size_t *ret_len)
{
    uint8_t aad_room[ENVELOPE_AAD_MAX];
    struct writer aad = writer_over(aad_room, sizeof aad_room);
    AUTO_MESSAGE_KEY struct message_key key;
    struct sealed sealed;
    envelope_put_aad(&aad, envelope->header);
    if (aad.full)
        return err_make(ERR_INVALID, "rsa-oaep-sign header");
    /* before the token sees any of it: what OAEP says of a forged key is nobody's to know */
    TRY(verify(keys, envelope, &sealed));
    TRY(p11_oaep_decrypt(session, keys->handles[UNWRAP], sealed.hash, sealed.wrapped, key.bytes,
                         sizeof key.bytes));
    TRY(local_gcm_open(key.bytes, writer_bytes(&aad), sealed.ciphertext, memory));
    *ret_len = sealed.ciphertext.len - LOCAL_GCM_TAG;
    return ERR_OK;
}

/* --- prepare ----------------------------------------------------------------------------- */

static struct err encode(const struct p11_public *from, struct public_half *ret)
{
    size_t len;
    TRY(local_pk_encode(from, ret->der, &len));
    ret->len = (uint16_t)len;
    return ERR_OK;
}

/* Whether the private key opens what this half wraps. */
static struct err prove_unwrap(const struct p11_session *session, unsigned long key,
                               const struct public_half *half, enum oaep_hash hash)
{
    uint8_t wrapped[RSA_MODULUS_MAX];
    AUTO_MESSAGE_KEY struct message_key sent;
    AUTO_MESSAGE_KEY struct message_key back;
    struct bytes der = bytes_of(half->der, half->len);
    enum key_type type;
    size_t size;
    TRY(local_pk_size(der, &type, &size));
    if (type != KEY_TYPE_RSA)
        return err_make(ERR_TOKEN, "an unwrap key that is not RSA");
    TRY(random_fill(sent.bytes, sizeof sent.bytes));
    TRY(local_pk_wrap(der, hash, bytes_of(sent.bytes, sizeof sent.bytes), wrapped));
    TRY(p11_oaep_decrypt(session, key, hash, bytes_of(wrapped, size), back.bytes,
                         sizeof back.bytes));
    return bytes_equal_secret(bytes_of(sent.bytes, sizeof sent.bytes),
                              bytes_of(back.bytes, sizeof back.bytes))
               ? ERR_OK
               : err_make(ERR_TOKEN, "a public half that is not the private key's");
}

/* With SHA-256 where the token opens that. */
static struct err try_unwrap(const struct p11_session *session, const struct p11_public *public,
                             struct key_set *keys)
{
    struct public_half half = {0};
    enum oaep_hash hash = OAEP_SHA256;
    TRY(encode(public, &half));
    struct err e = prove_unwrap(session, keys->handles[UNWRAP], &half, hash);
    if (e.code == ERR_UNSUPPORTED) {
        hash = OAEP_SHA1;
        e = prove_unwrap(session, keys->handles[UNWRAP], &half, hash);
    }
    TRY(e);
    keys->publics[UNWRAP] = half;
    keys->choice = (uint8_t)hash;
    return ERR_OK;
}

static struct err prepare_unwrap(const struct p11_session *session, struct key_set *keys)
{
    struct p11_public publics[PUBLICS_MAX];
    struct err e = err_make(ERR_TOKEN, "rsa-oaep-sign");
    size_t n;
    TRY(p11_pair_publics(session, keys->handles[UNWRAP], &keys->ids[UNWRAP], publics, &n));
    for (size_t i = 0; i < n && err_is(e); i++)
        e = try_unwrap(session, &publics[i], keys);
    return e;
}

/* The private key's signature over a challenge that nobody saw before. */
static struct err sign_challenge(const struct p11_session *session, unsigned long key,
                                 enum key_type type, uint8_t memory[static SIGNED_MAX],
                                 struct bytes *ret_message, uint8_t *ret_signature, size_t size)
{
    uint8_t challenge[CHALLENGE];
    struct writer message = writer_over(memory, SIGNED_MAX);
    TRY(random_fill(challenge, sizeof challenge));
    put_bytes(&message, bytes_of(challenge_domain, sizeof challenge_domain));
    put_bytes(&message, bytes_of(challenge, sizeof challenge));
    TRY(sign(session, key, type, writer_bytes(&message), ret_signature, size));
    *ret_message = writer_bytes(&message);
    return ERR_OK;
}

/* Whether the private key signs what this half verifies. */
static struct err try_sign(const struct p11_session *session, const struct p11_public *public,
                           struct key_set *keys)
{
    uint8_t memory[SIGNED_MAX], signature[RSA_MODULUS_MAX];
    struct public_half half = {0};
    struct bytes message;
    enum key_type type;
    size_t size;
    TRY(encode(public, &half));
    struct bytes der = bytes_of(half.der, half.len);
    TRY(local_pk_size(der, &type, &size));
    TRY(sign_challenge(session, keys->handles[SIGN], type, memory, &message, signature, size));
    struct err e = local_pk_verify(der, message, bytes_of(signature, size));
    if (e.code == ERR_AUTH)
        return err_make(ERR_TOKEN, "a public half that is not the private key's");
    TRY(e);
    keys->publics[SIGN] = half;
    return ERR_OK;
}

static struct err try_signs(const struct p11_session *session, const struct p11_public *publics,
                            size_t n, struct key_set *keys)
{
    struct err e = err_make(ERR_TOKEN, "rsa-oaep-sign");
    for (size_t i = 0; i < n && err_is(e); i++)
        e = try_sign(session, &publics[i], keys);
    return e;
}

/* As the token tells it. */
static struct err try_told(const struct p11_session *session, struct key_set *keys)
{
    struct p11_public publics[PUBLICS_MAX];
    size_t n;
    TRY(p11_pair_publics(session, keys->handles[SIGN], &keys->ids[SIGN], publics, &n));
    return try_signs(session, publics, n, keys);
}

/* As a signature of the P-256 key tells it. */
static struct err try_recovered(const struct p11_session *session, struct key_set *keys)
{
    struct p11_public publics[ECDSA_RECOVERED_MAX];
    uint8_t memory[SIGNED_MAX], digest[SIGN_SHA256], signature[ECDSA_P256];
    struct bytes message;
    size_t n;
    TRY(sign_challenge(session, keys->handles[SIGN], KEY_TYPE_EC, memory, &message, signature,
                       sizeof signature));
    TRY(local_pk_digest(message, digest));
    TRY(ecdsa_recover(digest, signature, publics, &n));
    return try_signs(session, publics, n, keys);
}

/* Most tokens tell the point of an EC key by its public object alone, which anybody who can open a
 * session may take away or hide behind others: no ciphertext must be lost with that. RSA's private
 * keys tell their public half themselves. */
static struct err prepare_sign(const struct p11_session *session, struct key_set *keys)
{
    struct err e = try_told(session, keys);
    return err_is(e) && keys->types[SIGN] == KEY_TYPE_EC ? try_recovered(session, keys) : e;
}

static struct err prepare(const struct p11_session *session, struct key_set *keys)
{
    TRY(prepare_unwrap(session, keys));
    return prepare_sign(session, keys);
}

const struct scheme_ops scheme_rsa_oaep_sign = {
    .scheme = SCHEME_RSA_OAEP_SIGN,
    .seal = seal,
    .authenticate = authenticate,
    .open = open_fields,
    .prepare = prepare,
};
