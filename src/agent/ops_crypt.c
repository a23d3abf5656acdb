/* SPDX-License-Identifier: Apache-2.0 */
/* Seal, open and probe. */
#include "keys.h"
#include "open_proof.h"
#include "ops.h"
#include "p11_ckr.h"
#include "status.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

static const char canary_text[] = "p11-kms canary of ";

/* What travels through key_use to the tasks. */
struct crypt {
    enum family family;
    const struct key_id *key_id;
    struct bytes plaintext;
    const struct envelope *envelope;
    bool verify;
    struct bytes result; /* inside lane->room->work */
};

static struct err seal_envelope(struct lane *lane, const struct scheme_ops *scheme,
                                const struct key_set *keys, const struct crypt *c, uint8_t *memory,
                                struct bytes *ret)
{
    struct writer w = writer_over(memory, ENVELOPE_MAX);
    envelope_put_header(&w, scheme->scheme, c->family, c->key_id);
    TRY(scheme_seal(scheme, &lane->session, keys, writer_bytes(&w), c->plaintext, &w));
    *ret = writer_bytes(&w);
    return ERR_OK;
}

/* Failures that say nothing about the ciphertext and have a remedy of their own. */
static bool clearly_not_the_ciphertext(struct err e)
{
    enum remedy remedy = p11_ckr_find(e.native)->remedy;
    return p11_ckr_stale_handle(e.native) || remedy == REMEDY_SESSION || remedy == REMEDY_LOGIN;
}

/* Whether the key opens what it has just sealed: then the token is well. */
static struct err prove_key(struct lane *lane, const struct scheme_ops *scheme,
                            const struct key_set *keys, const struct key_id *key_id)
{
    const struct crypt c = {.family = FAMILY_CANARY,
                            .key_id = key_id,
                            .plaintext = bytes_of(canary_text, sizeof canary_text)};
    struct envelope envelope;
    struct bytes sealed;
    size_t len;
    TRY(seal_envelope(lane, scheme, keys, &c, lane->room->work, &sealed));
    TRY(envelope_parse(sealed, &envelope));
    TRY(scheme_open(scheme, &lane->session, keys, &envelope, lane->room->check, &len));
    return bytes_equal_secret(bytes_of(lane->room->check, len), c.plaintext)
               ? ERR_OK
               : err_make(ERR_INTERNAL, "canary");
}

static struct err refuse(struct advice *advice)
{
    return advise(advice, err_make(ERR_AUTH, "open"), REMEDY_CALLER,
                  "the ciphertext was not made with this key, or was altered");
}

/* The key is well. A ciphertext that still does not open is the one at fault; one that opens now
 * met a fault that has passed. */
static struct err open_again(struct lane *lane, const struct scheme_ops *scheme,
                             const struct key_set *keys, const struct envelope *envelope,
                             uint8_t *memory, size_t *ret_len, struct advice *advice)
{
    struct err e = scheme_open(scheme, &lane->session, keys, envelope, memory, ret_len);
    if (!err_is(e) || clearly_not_the_ciphertext(e))
        return e;
    TRY(p11_session_reopen(&lane->session)); /* as in judge_failure */
    return refuse(advice);
}

/* Tokens answer a bad tag with what comes to their mind (SoftHSM: ENCRYPTED_DATA_INVALID or
 * GENERAL_ERROR; NSS: stale values), the same as for an outage. So after a failure the key opens a
 * canary made on the spot: if that works, the token is well, and the ciphertext gets a second and
 * last try. What has no good MAC or signature is refused before that: it must not have the token
 * decrypt anything at all. */
static struct err judge_failure(struct lane *lane, const struct scheme_ops *scheme,
                                const struct key_set *keys, const struct envelope *envelope,
                                struct err e, uint8_t *memory, size_t *ret_len,
                                struct advice *advice)
{
    struct key_id key_id;
    bool of_token = e.kind == ERR_KIND_CKR || e.code == ERR_AUTH; /* AUTH: a wrong length */
    if (!of_token || clearly_not_the_ciphertext(e))
        return e;
    if (!bytes_to_string(envelope->key_id, key_id.text, sizeof key_id.text))
        return err_make(ERR_INVALID, "key_id");
    /* tpm2-pkcs11 leaves the failed operation open; there is no other portable way to end it */
    TRY(p11_session_reopen(&lane->session));
    TRY(key_set_check(&lane->session, keys));
    if (scheme_authenticate(scheme, &lane->session, keys, envelope).code == ERR_AUTH)
        return refuse(advice);
    struct err proof = prove_key(lane, scheme, keys, &key_id);
    if (!err_is(proof))
        return open_again(lane, scheme, keys, envelope, memory, ret_len, advice);
    if (proof.kind == ERR_KIND_CKR && clearly_not_the_ciphertext(proof))
        return proof;
    char why[96] = "";
    if (e.kind == ERR_KIND_CKR)
        (void)snprintf(why, sizeof why, ": %s (0x%lx)", p11_ckr_find(e.native)->name, e.native);
    e.code = ERR_UNAVAILABLE;
    return advise(advice, e, REMEDY_AGENT,
                  "%s%s, and the key does not open a fresh canary either; check the token", e.where,
                  why);
}

static struct err open_envelope(struct lane *lane, const struct scheme_ops *scheme,
                                const struct key_set *keys, const struct envelope *envelope,
                                uint8_t *memory, size_t *ret_len, struct advice *advice)
{
    struct err e = scheme_open(scheme, &lane->session, keys, envelope, memory, ret_len);
    return err_is(e) ? judge_failure(lane, scheme, keys, envelope, e, memory, ret_len, advice)
                     : ERR_OK;
}

/* kube-apiserver does not check: one bad ciphertext would carry every write until the next
 * rotation. */
static struct err verify_seal(struct lane *lane, const struct scheme_ops *scheme,
                              const struct key_set *keys, const struct crypt *c,
                              struct bytes sealed, struct advice *advice)
{
    struct envelope envelope;
    size_t len = 0;
    TRY(envelope_parse(sealed, &envelope));
    struct err e = scheme_open(scheme, &lane->session, keys, &envelope, lane->room->check, &len);
    if (e.kind == ERR_KIND_CKR && p11_ckr_find(e.native)->remedy != REMEDY_CALLER)
        return e;
    if (!err_is(e) && bytes_equal_secret(bytes_of(lane->room->check, len), c->plaintext))
        return ERR_OK;
    return advise(advice, err_make(ERR_INTERNAL, "verify"), REMEDY_AGENT,
                  "the token sealed something that it does not open to the same again; nothing was "
                  "answered; check the token");
}

/* The handle may be as old as this agent, and the token may have destroyed its key and given it to
 * another, with which seal and verification work as well. Read after sealing, the CKA_ID proves
 * that it was still ours: a destroyed key does not come back to its handle. Opening needs no such
 * check before it succeeds: another key opens nothing. */
static struct err seal_task(struct lane *lane, const struct scheme_ops *scheme,
                            const struct key_set *keys, void *context, struct advice *advice)
{
    struct crypt *c = context;
    struct bytes sealed;
    TRY(seal_envelope(lane, scheme, keys, c, lane->room->work, &sealed));
    if (c->verify)
        TRY(verify_seal(lane, scheme, keys, c, sealed, advice));
    TRY(key_set_check(&lane->session, keys));
    c->result = sealed;
    return ERR_OK;
}

/* What is sealed has a length that every key takes, and anything may stand in it: a token that
 * refuses it as data has a fault. Whoever probes the key finds out whether it lasts. */
static struct err not_the_callers_fault(struct err e, struct advice *advice)
{
    if (e.kind != ERR_KIND_CKR || p11_ckr_find(e.native)->remedy != REMEDY_CALLER)
        return e;
    e.code = ERR_UNAVAILABLE;
    return advise(advice, e, REMEDY_NONE, "%s: %s (0x%lx) for data that is as it must be", e.where,
                  p11_ckr_find(e.native)->name, e.native);
}

static struct err seal_by_key(struct lane *lane, enum scheme scheme, struct crypt *c,
                              struct advice *advice)
{
    struct err e = key_use(lane, scheme, bytes_of_string(c->key_id->text), seal_task, c, advice);
    return err_is(e) ? not_the_callers_fault(e, advice) : ERR_OK;
}

static struct err open_task(struct lane *lane, const struct scheme_ops *scheme,
                            const struct key_set *keys, void *context, struct advice *advice)
{
    struct crypt *c = context;
    size_t len;
    TRY(open_envelope(lane, scheme, keys, c->envelope, lane->room->work, &len, advice));
    if (c->verify)
        TRY(open_prove(lane, scheme, keys, c->envelope, bytes_of(lane->room->work, len), advice));
    c->result = bytes_of(lane->room->work, len);
    return ERR_OK;
}

static void count_operation(struct lane *lane)
{
    (void)atomic_fetch_add_explicit(&lane->agent->operations, 1, memory_order_relaxed);
}

static struct lane_wear wear(const struct lane *lane)
{
    struct rusage usage = {.ru_maxrss = 0};
    (void)getrusage(RUSAGE_SELF, &usage);
    return (struct lane_wear){
        .operations = atomic_load_explicit(&lane->agent->operations, memory_order_relaxed),
        .memory_mib = (uint32_t)(usage.ru_maxrss / 1024)};
}

static bool api_family(enum family family)
{
    return family == FAMILY_V1 || family == FAMILY_V2;
}

struct err op_seal(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                   struct advice *advice)
{
    struct crypt c = {.family = request->u.seal.family,
                      .key_id = &request->u.seal.key_id,
                      .plaintext = request->u.seal.plaintext,
                      .verify = request->u.seal.verify};
    if (!api_family(c.family) || c.plaintext.len < 1 || c.plaintext.len > PLAINTEXT_MAX)
        return err_make(ERR_INVALID, "seal");
    count_operation(lane);
    TRY(seal_by_key(lane, request->u.seal.scheme, &c, advice));
    ret->u.envelope = c.result;
    return ERR_OK;
}

struct err op_open(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                   struct advice *advice)
{
    struct envelope envelope;
    struct crypt c = {.envelope = &envelope, .verify = request->u.open.verify};
    TRY(envelope_parse(request->u.open.envelope, &envelope));
    if (!api_family(request->u.open.family) || envelope.family != request->u.open.family)
        return err_make(ERR_INVALID, "envelope of another API family");
    count_operation(lane);
    TRY(key_use(lane, envelope.scheme, envelope.key_id, open_task, &c, advice));
    ret->u.plaintext = c.result;
    return ERR_OK;
}

static struct err probe_open(struct lane *lane, const struct lane_request *request,
                             struct bytes expected, struct advice *advice)
{
    struct envelope envelope;
    struct crypt c = {.envelope = &envelope};
    TRY(envelope_parse(request->u.probe.canary, &envelope));
    if (envelope.family != FAMILY_CANARY || envelope.scheme != request->u.probe.scheme ||
        !bytes_equal(envelope.key_id, bytes_of_string(request->u.probe.key_id.text)))
        return err_make(ERR_INVALID, "canary of another key");
    TRY(key_use(lane, envelope.scheme, envelope.key_id, open_task, &c, advice));
    return bytes_equal_secret(c.result, expected) ? ERR_OK : err_make(ERR_AUTH, "canary");
}

struct err op_probe(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                    struct advice *advice)
{
    uint8_t memory[sizeof canary_text + KEY_ID_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct crypt c = {.family = FAMILY_CANARY, .key_id = &request->u.probe.key_id, .verify = true};
    put_bytes(&w, bytes_of_string(canary_text));
    put_bytes(&w, bytes_of_string(c.key_id->text));
    c.plaintext = writer_bytes(&w);
    ret->wear = wear(lane);
    if (request->u.probe.canary.len > 0)
        return probe_open(lane, request, c.plaintext, advice);
    TRY(seal_by_key(lane, request->u.probe.scheme, &c, advice));
    ret->u.envelope = c.result;
    return ERR_OK;
}
