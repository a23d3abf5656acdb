/* SPDX-License-Identifier: Apache-2.0 */
/* aes-cbc-hmac: the token's own AES-256-CBC, and its HMAC-SHA256 by a second key over all that was
 * written. Fields: IV (16) | ciphertext (whole blocks) | MAC (32). docs/envelope.md says why so. */
#include "scheme.h"

#include "p11_cbc.h"
#include "p11_hmac.h"
#include "padding.h"
#include "secret.h"

/* The objects of a KEK. */
enum { CIPHER = 0, MAC = 1 };

enum {
    PADDED_MAX = PLAINTEXT_MAX + CBC_BLOCK,
    INPUT_MAX = 24 + ENVELOPE_HEADER_MAX + CBC_IV + PADDED_MAX
};

/* Keeps our MACs apart from anything else that is ever MACed with the key. */
static const char domain[] = "p11-kms/aes-cbc-hmac/v1";

_Static_assert(sizeof domain + ENVELOPE_HEADER_MAX + CBC_IV + PADDED_MAX <= INPUT_MAX, "bound");
_Static_assert((int)CBC_BLOCK == (int)PADDING_BLOCK, "one block");
_Static_assert(ENVELOPE_HEADER_MAX + CBC_IV + PADDED_MAX + HMAC_SHA256 <= ENVELOPE_MAX, "fits");

/* A plaintext with its padding, wiped before the function that made it returns. */
struct padded {
    uint8_t bytes[PADDED_MAX];
};

static void padded_wipe(struct padded *padded)
{
    wipe(padded, sizeof *padded);
}
#define AUTO_PADDED CLEANUP(padded_wipe)

/* The right MAC of a forged envelope is worth as much as a key for it. */
struct mac {
    uint8_t bytes[HMAC_SHA256];
};

static void mac_wipe(struct mac *mac)
{
    wipe(mac, sizeof *mac);
}
#define AUTO_MAC CLEANUP(mac_wipe)

/* sealed: IV and ciphertext. */
static struct err compute_mac(const struct p11_session *session, const struct key_set *keys,
                              struct bytes header, struct bytes sealed, struct mac *ret)
{
    uint8_t memory[INPUT_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    put_bytes(&w, bytes_of(domain, sizeof domain));
    put_bytes(&w, header);
    put_bytes(&w, sealed);
    if (w.full)
        return err_make(ERR_INTERNAL, "aes-cbc-hmac input");
    return p11_hmac_sha256(session, keys->handles[MAC], writer_bytes(&w), ret->bytes);
}

static struct err encrypt(const struct p11_session *session, const struct key_set *keys,
                          struct bytes plaintext, struct writer *w)
{
    uint8_t iv[CBC_IV], ciphertext[PADDED_MAX];
    AUTO_PADDED struct padded padded;
    struct writer p = writer_over(padded.bytes, sizeof padded.bytes);
    padding_put(&p, plaintext);
    if (p.full || plaintext.len < 1 || plaintext.len > PLAINTEXT_MAX)
        return err_make(ERR_INTERNAL, "aes-cbc-hmac seal");
    TRY(random_fill(iv, sizeof iv)); /* at each seal: a cloned VM must not repeat one */
    TRY(p11_cbc_encrypt(session, keys->handles[CIPHER], iv, writer_bytes(&p), ciphertext));
    put_bytes(w, bytes_of(iv, sizeof iv));
    put_bytes(w, bytes_of(ciphertext, p.len));
    return ERR_OK;
}

static struct err seal(const struct p11_session *session, const struct key_set *keys,
                       struct bytes header, struct bytes plaintext, struct writer *w)
{
    size_t fields = w->len;
    AUTO_MAC struct mac mac;
    TRY(encrypt(session, keys, plaintext, w));
    if (w->full)
        return err_make(ERR_INTERNAL, "aes-cbc-hmac seal");
    TRY(compute_mac(session, keys, header, bytes_of(w->data + fields, w->len - fields), &mac));
    put_bytes(w, bytes_of(mac.bytes, sizeof mac.bytes));
    return w->full ? err_make(ERR_INTERNAL, "aes-cbc-hmac seal") : ERR_OK;
}

static struct err check_mac(const struct p11_session *session, const struct key_set *keys,
                            struct bytes header, struct bytes sealed, struct bytes claimed)
{
    AUTO_MAC struct mac mac;
    TRY(compute_mac(session, keys, header, sealed, &mac));
    return bytes_equal_secret(bytes_of(mac.bytes, sizeof mac.bytes), claimed)
               ? ERR_OK
               : err_make(ERR_AUTH, "aes-cbc-hmac MAC");
}

/* IV and ciphertext, and the MAC that the envelope claims. */
static struct err split(struct bytes fields, struct bytes *ret_sealed, struct bytes *ret_claimed)
{
    if (fields.len < CBC_IV + CBC_BLOCK + HMAC_SHA256 ||
        fields.len > CBC_IV + PADDED_MAX + HMAC_SHA256 ||
        (fields.len - CBC_IV - HMAC_SHA256) % CBC_BLOCK != 0)
        return err_make(ERR_INVALID, "aes-cbc-hmac fields");
    struct reader r = reader_over(fields);
    *ret_sealed = get_bytes(&r, fields.len - HMAC_SHA256);
    *ret_claimed = r.rest;
    return ERR_OK;
}

/* A token whose two answers differ is at fault itself. */
static struct err authenticate(const struct p11_session *session, const struct key_set *keys,
                               const struct envelope *envelope)
{
    struct bytes sealed, claimed;
    AUTO_MAC struct mac first;
    AUTO_MAC struct mac second;
    TRY(split(envelope->fields, &sealed, &claimed));
    TRY(compute_mac(session, keys, envelope->header, sealed, &first));
    TRY(compute_mac(session, keys, envelope->header, sealed, &second));
    struct bytes mac = bytes_of(first.bytes, sizeof first.bytes);
    if (!bytes_equal_secret(mac, bytes_of(second.bytes, sizeof second.bytes)))
        return err_make(ERR_TOKEN, "aes-cbc-hmac MAC");
    return bytes_equal_secret(mac, claimed) ? ERR_OK : err_make(ERR_AUTH, "aes-cbc-hmac MAC");
}

/* The MAC was right, so that only the token can be at fault here. Another AES key that has come to
 * the same handle decrypts as well, to what passes for padded once in 256: the CKA_ID is read once
 * it has decrypted. */
static struct err decrypt(const struct p11_session *session, const struct key_set *keys,
                          struct bytes iv, struct bytes ciphertext, uint8_t *memory,
                          size_t *ret_len)
{
    TRY(p11_cbc_decrypt(session, keys->handles[CIPHER], iv, ciphertext, memory));
    TRY(p11_key_check_id(session, keys->handles[CIPHER], &keys->ids[CIPHER]));
    size_t len = padding_plaintext(bytes_of(memory, ciphertext.len));
    if (len == 0 || len > PLAINTEXT_MAX)
        return err_make(ERR_AUTH, "aes-cbc-hmac padding");
    *ret_len = len;
    return ERR_OK;
}

static struct err open_fields(const struct p11_session *session, const struct key_set *keys,
                              const struct envelope *envelope, uint8_t *memory, size_t *ret_len)
{
    struct bytes sealed, claimed;
    TRY(split(envelope->fields, &sealed, &claimed));
    struct reader s = reader_over(sealed);
    struct bytes iv = get_bytes(&s, CBC_IV), ciphertext = s.rest;
    TRY(check_mac(session, keys, envelope->header, sealed, claimed)); /* before anything else */
    struct err e = decrypt(session, keys, iv, ciphertext, memory, ret_len);
    if (err_is(e))
        wipe(memory, ciphertext.len);
    return e;
}

/* The MAC was right, so that only IV and ciphertext are compared. */
static struct err reseal(const struct p11_session *session, const struct key_set *keys,
                         const struct envelope *envelope, struct bytes plaintext, bool *ret_same)
{
    struct bytes sealed, claimed;
    AUTO_PADDED struct padded padded;
    AUTO_PADDED struct padded resealed; /* tells of the plaintext where that is wrong */
    struct writer p = writer_over(padded.bytes, sizeof padded.bytes);
    TRY(split(envelope->fields, &sealed, &claimed));
    struct reader s = reader_over(sealed);
    struct bytes iv = get_bytes(&s, CBC_IV), ciphertext = s.rest;
    padding_put(&p, plaintext);
    if (p.full || s.bad)
        return err_make(ERR_INTERNAL, "aes-cbc-hmac reseal");
    TRY(p11_cbc_encrypt(session, keys->handles[CIPHER], iv.data, writer_bytes(&p), resealed.bytes));
    *ret_same = bytes_equal(bytes_of(resealed.bytes, p.len), ciphertext);
    return ERR_OK;
}

const struct scheme_ops scheme_aes_cbc_hmac = {
    .scheme = SCHEME_AES_CBC_HMAC,
    .seal = seal,
    .authenticate = authenticate,
    .open = open_fields,
    .reseal = reseal,
};
