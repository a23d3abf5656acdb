/* SPDX-License-Identifier: Apache-2.0 */
#include "bad_ciphertexts.h"

#include "cleanup.h"
#include "p11_cbc.h"
#include "p11_hmac.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

enum { POOL = 64, DEK_LEN = 32 };

static const struct bad_kind kinds[] = {
    {SCHEME_AES_GCM, "IV", true, 0, 12},
    {SCHEME_AES_GCM, "ciphertext", true, 12, DEK_LEN},
    {SCHEME_AES_GCM, "tag", true, -16, 16},

    {SCHEME_HMAC_DERIVE, "salt", true, 0, 32},
    {SCHEME_HMAC_DERIVE, "ciphertext", true, 32, DEK_LEN},
    {SCHEME_HMAC_DERIVE, "tag", true, -16, 16},

    {SCHEME_AES_CBC_HMAC, "IV", true, 0, 16},
    {SCHEME_AES_CBC_HMAC, "first block", true, 16, 16},
    {SCHEME_AES_CBC_HMAC, "last block", true, -48, 16},
    {SCHEME_AES_CBC_HMAC, "first byte of the MAC", true, -32, 1},
    {SCHEME_AES_CBC_HMAC, "last byte of the MAC", true, -1, 1},
    {SCHEME_AES_CBC_HMAC, "padding, under a good MAC", false, 0, 0},

    /* with RSA of 3072 bits and P-256, as SoftHSM makes them */
    {SCHEME_RSA_OAEP_SIGN, "wrapped key", true, 3, 384},
    {SCHEME_RSA_OAEP_SIGN, "ciphertext", true, 3 + 384, DEK_LEN},
    {SCHEME_RSA_OAEP_SIGN, "tag", true, -80, 16},
    {SCHEME_RSA_OAEP_SIGN, "signature, r", true, -64, 32},
    {SCHEME_RSA_OAEP_SIGN, "signature, s", true, -32, 32},
};

struct pooled {
    uint8_t bytes[ENVELOPE_MAX];
    size_t len;
};

struct bad_ciphertexts {
    const struct p11_session *session;
    const struct scheme_ops *scheme;
    struct key_set keys;
    struct key_id key_id;
    struct pooled good[POOL];
    struct pooled made[POOL]; /* bad with the token's help */
    struct pooled turned, now;
    uint64_t random;
    size_t first, n; /* of kinds */
    bool has_keys;
};

/* xorshift64*: fast, and all that is asked of it is to foresee nothing of the timings. */
static uint64_t next_random(struct bad_ciphertexts *b)
{
    b->random ^= b->random >> 12;
    b->random ^= b->random << 25;
    b->random ^= b->random >> 27;
    return (b->random * UINT64_C(2685821657736338717)) >> 32;
}

size_t bad_random(struct bad_ciphertexts *b, size_t n)
{
    return (size_t)(next_random(b) * n >> 32);
}

size_t bad_kinds(const struct bad_ciphertexts *b)
{
    return b->n;
}

const struct bad_kind *bad_kind(const struct bad_ciphertexts *b, size_t kind)
{
    return &kinds[b->first + kind];
}

/* --- making them ------------------------------------------------------------------------- */

static struct writer begin(struct bad_ciphertexts *b, struct pooled *p)
{
    struct writer w = writer_over(p->bytes, sizeof p->bytes);
    envelope_put_header(&w, b->scheme->scheme, FAMILY_V2, &b->key_id);
    return w;
}

static struct err seal(struct bad_ciphertexts *b, struct pooled *ret)
{
    uint8_t dek[DEK_LEN];
    struct writer w = begin(b, ret);
    TRY(random_fill(dek, sizeof dek));
    TRY(scheme_seal(b->scheme, b->session, &b->keys, writer_bytes(&w), bytes_of(dek, sizeof dek),
                    &w));
    ret->len = w.len;
    return ERR_OK;
}

/* aes-cbc-hmac as docs/envelope.md has it, but for the padding: the last byte of it is out of its
 * range, and all before it are random. */
static struct err seal_padded_wrongly(struct bad_ciphertexts *b, struct pooled *ret)
{
    static const char domain[] = "p11-kms/aes-cbc-hmac/v1";
    uint8_t padded[DEK_LEN + CBC_BLOCK], iv[CBC_IV], sealed[sizeof padded], mac[HMAC_SHA256];
    uint8_t maced[ENVELOPE_MAX];
    struct writer w = begin(b, ret), m = writer_over(maced, sizeof maced);
    TRY(random_fill(padded, sizeof padded));
    TRY(random_fill(iv, sizeof iv));
    padded[sizeof padded - 1] |= 0x80;
    TRY(p11_cbc_encrypt(b->session, b->keys.handles[0], iv, bytes_of(padded, sizeof padded),
                        sealed));
    put_bytes(&w, bytes_of(iv, sizeof iv));
    put_bytes(&w, bytes_of(sealed, sizeof sealed));
    put_bytes(&m, bytes_of(domain, sizeof domain));
    put_bytes(&m, writer_bytes(&w));
    TRY(p11_hmac_sha256(b->session, b->keys.handles[1], writer_bytes(&m), mac));
    put_bytes(&w, bytes_of(mac, sizeof mac));
    ret->len = w.len;
    return w.full || m.full ? err_make(ERR_INTERNAL, "seal_padded_wrongly") : ERR_OK;
}

static struct err fill_pools(struct bad_ciphertexts *b)
{
    for (size_t i = 0; i < POOL; i++) {
        TRY(seal(b, &b->good[i]));
        if (b->scheme->scheme == SCHEME_AES_CBC_HMAC)
            TRY(seal_padded_wrongly(b, &b->made[i]));
    }
    return ERR_OK;
}

static struct err make_keys(struct bad_ciphertexts *b)
{
    char labels[KEY_ROLES_MAX][KEY_LABEL_MAX + 1];
    uint8_t uuid[UUID_BYTES];
    for (size_t i = 0; i < KEY_ROLES_MAX; i++)
        (void)snprintf(labels[i], sizeof labels[i], "bench-timing/%zu", i);
    TRY(uuid_make(uuid));
    TRY(object_id_from(bytes_of(uuid, sizeof uuid), &b->keys.ids[0]));
    TRY(key_id_make("k8s", &b->keys.ids[0], &b->key_id));
    TRY(key_set_generate(b->session, &b->keys, labels));
    b->has_keys = true;
    return scheme_prepare(b->scheme, b->session, &b->keys);
}

static struct err set_up(struct bad_ciphertexts *b)
{
    for (size_t i = sizeof kinds / sizeof *kinds; i-- > 0;) {
        if (kinds[i].scheme != b->scheme->scheme)
            continue;
        b->first = i;
        b->n++;
    }
    if (b->n < 2 || b->n > BAD_KINDS_MAX)
        return err_make(ERR_UNSUPPORTED, "no kinds of bad ciphertext for this scheme");
    TRY(random_fill(&b->random, sizeof b->random));
    b->random |= 1;
    TRY(make_keys(b));
    return fill_pools(b);
}

struct err bad_ciphertexts_new(const struct p11_session *session, enum scheme scheme,
                               struct bad_ciphertexts **ret)
{
    struct bad_ciphertexts *b = calloc(1, sizeof *b);
    if (!b)
        return err_make(ERR_EXHAUSTED, "bad_ciphertexts_new");
    b->session = session;
    b->scheme = scheme_find(scheme);
    b->keys.scheme = scheme;
    struct err e = b->scheme ? set_up(b) : err_make(ERR_UNSUPPORTED, "scheme");
    if (err_is(e)) {
        (void)err_is(bad_ciphertexts_free(b)); /* the first error is what counts */
        return e;
    }
    *ret = b;
    return ERR_OK;
}

struct err bad_ciphertexts_free(struct bad_ciphertexts *b)
{
    struct err e = b && b->has_keys ? key_set_destroy(b->session, &b->keys) : ERR_OK;
    free(b);
    return e;
}

/* --- handing them out ---------------------------------------------------------------------- */

/* The same steps for all kinds, so that each finds the caches alike. The byte that is turned is not
 * left where the scheme reads it: a single byte that was just written makes a wide read of it wait,
 * some nanoseconds that would tell where it is. The copy is whole and written before the clock
 * starts. */
struct err bad_ciphertext(struct bad_ciphertexts *b, size_t number, struct envelope *ret)
{
    const struct bad_kind *kind = bad_kind(b, number);
    size_t at = bad_random(b, POOL), bit = bad_random(b, 8);
    struct pooled *p = &b->turned;
    *p = kind->bytes > 0 ? b->good[at] : b->made[at];
    TRY(envelope_parse(bytes_of(p->bytes, p->len), ret));
    size_t byte = bad_random(b, kind->bytes > 0 ? kind->bytes : 1);
    size_t fields = kind->from < 0 ? p->len : p->len - ret->fields.len;
    if (kind->bytes > 0)
        p->bytes[(size_t)((long)fields + kind->from) + byte] ^= (uint8_t)(1U << bit);
    atomic_thread_fence(memory_order_seq_cst);
    b->now = *p;
    atomic_thread_fence(memory_order_seq_cst);
    return envelope_parse(bytes_of(b->now.bytes, b->now.len), ret);
}

struct err bad_ciphertext_open(const struct bad_ciphertexts *b, const struct envelope *envelope,
                               uint8_t *memory, size_t *ret_len)
{
    return scheme_open(b->scheme, b->session, &b->keys, envelope, memory, ret_len);
}
