/* SPDX-License-Identifier: Apache-2.0 */
/* Proves on the live token all that a ring of a scheme needs, with a key that is gone after. */
#include "ops.h"
#include "p11_ckr.h"
#include "p11_pair.h"
#include "scheme.h"

#include <stdio.h>
#include <string.h>

static const char label_prefix[] = SELFTEST_LABEL;

/* Another host's self-test may be running; no generateTimeout is this long. */
enum { LEFTOVER_AGE_MS = 10 * 60 * 1000 };

/* What kube-apiserver sends: a DEK or the seed of one, of 32 bytes. */
enum { DEK_MAX = 64 };

struct trial {
    struct lane *lane;
    const struct p11_session *session; /* the lane's */
    const struct scheme_ops *scheme;
    struct key_set keys;
    char labels[KEY_ROLES_MAX][KEY_LABEL_MAX + 1];
    struct advice *advice;
};

static struct err fails(struct trial *t, const char *what)
{
    return advise(t->advice, err_make(ERR_UNSUPPORTED, "self-test"), REMEDY_HUMAN,
                  "self-test of %s: the token %s", scheme_name(t->scheme->scheme), what);
}

/* A lie about what matters most is not for a test to find out. */
static struct err check_keeps_keys(struct trial *t)
{
    return quirks_have(t->session->quirks, QUIRK_KEYS_CAN_LEAVE)
               ? advise(t->advice, err_make(ERR_UNSUPPORTED, "self-test"), REMEDY_HUMAN,
                        "the token %s", quirk_text(QUIRK_KEYS_CAN_LEAVE))
               : ERR_OK;
}

typedef bool key_filter(const struct trial *t, const struct p11_key *key);

static bool is_leftover(const struct trial *t, const struct p11_key *key)
{
    (void)t;
    return strncmp(key->label, label_prefix, strlen(label_prefix)) == 0 &&
           key->id.len == UUID_BYTES &&
           clock_wall_ms() - uuid_time_ms(key->id.data) > LEFTOVER_AGE_MS;
}

static bool is_own(const struct trial *t, const struct p11_key *key)
{
    return strncmp(key->label, t->labels[0], strlen(label_prefix) + UUID_TEXT) == 0;
}

/* Public halves go by their CKA_IDs: where the token does not keep ours, they may be anybody's. */
static struct err remove_keys(const struct trial *t, enum key_class of, key_filter *filter)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t n = 0;
    TRY(p11_key_find_all(t->session, of, &handles, &n));
    for (size_t i = 0; i < n; i++) {
        struct p11_key key;
        TRY(p11_key_read(t->session, of, handles[i], &key));
        if (!filter(t, &key))
            continue;
        struct err e = p11_key_destroy(t->session, handles[i]);
        if (key_attributes_public(&key.attributes)) /* it may be anybody's, who has it stay */
            continue;
        TRY(e);
        if (of == KEY_CLASS_PRIVATE && key.id.len == UUID_BYTES)
            TRY(p11_pair_destroy_public(t->session, &key.id));
    }
    return ERR_OK;
}

static struct err remove_all(const struct trial *t, key_filter *filter)
{
    TRY(remove_keys(t, KEY_CLASS_SECRET, filter));
    return remove_keys(t, KEY_CLASS_PRIVATE, filter);
}

/* Where the handles are not those of our CKA_IDs, the labels tell: the token may keep no CKA_ID. */
static struct err destroy_own(const struct trial *t)
{
    struct err e = key_set_destroy(t->session, &t->keys);
    if (e.kind == ERR_KIND_CKR && p11_ckr_stale_handle(e.native))
        TRY(remove_all(t, is_own));
    return e;
}

/* Labels of exactly the length that we promise to need, ending in one letter. */
static void make_labels(struct trial *t, char last)
{
    char uuid[UUID_TEXT + 1];
    uuid_format(t->keys.ids[0].data, uuid);
    for (size_t i = 0; i < KEY_ROLES_MAX; i++) {
        memset(t->labels[i], last, KEY_LABEL_MAX);
        t->labels[i][KEY_LABEL_MAX] = '\0';
        memcpy(t->labels[i], label_prefix, strlen(label_prefix));
        memcpy(t->labels[i] + strlen(label_prefix), uuid, UUID_TEXT);
    }
}

static struct err make_keys(struct trial *t)
{
    uint8_t uuid[UUID_BYTES];
    TRY(uuid_make(uuid));
    t->keys.scheme = t->scheme->scheme;
    if (t->keys.ids[0].len == 0)
        TRY(object_id_from(bytes_of(uuid, sizeof uuid), &t->keys.ids[0]));
    make_labels(t, 'a');
    struct err e = key_set_generate(t->session, &t->keys, t->labels);
    return explain_forbidden(t->lane, e, "makes no key", t->advice);
}

static struct err check_attributes(struct trial *t, size_t role)
{
    enum key_class of = key_role_class(t->scheme->scheme, role);
    struct p11_key key;
    unsigned long found;
    char names[128], what[192];
    TRY(p11_key_find(t->session, of, &t->keys.ids[role], &found));
    TRY(p11_key_read(t->session, of, found, &key));
    if (!object_id_equal(&key.id, &t->keys.ids[role]))
        return fails(t, "does not keep a CKA_ID of 16 bytes");
    if (strcmp(key.label, t->labels[role]) != 0)
        return fails(t, "does not keep a label of 64 bytes");
    uint32_t wrong = key_attributes_wrong(t->scheme->scheme, role, &key.attributes);
    if (wrong == 0)
        return ERR_OK;
    (void)snprintf(what, sizeof what, "made a key with the wrong %s",
                   key_attributes_list(wrong, names, sizeof names));
    return fails(t, what);
}

/* Without it no managed ring: a KEK's state is in its label. */
static struct err relabel(struct trial *t, size_t role)
{
    struct err e = p11_key_relabel(t->session, t->keys.handles[role], t->labels[role]);
    if (e.code == ERR_UNSUPPORTED)
        return advise(t->advice, e, REMEDY_HUMAN,
                      "the token changes no label (%s: %s): see ring.mode external", e.where,
                      p11_ckr_find(e.native)->name);
    return explain_forbidden(t->lane, e, "changes no label", t->advice);
}

static struct err check_relabel(struct trial *t, size_t role)
{
    struct p11_key key;
    TRY(relabel(t, role));
    TRY(p11_key_read(t->session, key_role_class(t->scheme->scheme, role), t->keys.handles[role],
                     &key));
    return strcmp(key.label, t->labels[role]) == 0 ? ERR_OK : fails(t, "does not keep a new label");
}

static struct err check_objects(struct trial *t)
{
    for (size_t i = 0; i < scheme_roles(t->scheme->scheme); i++)
        TRY(check_attributes(t, i));
    make_labels(t, 'b');
    for (size_t i = 0; i < scheme_roles(t->scheme->scheme); i++)
        TRY(check_relabel(t, i));
    return ERR_OK;
}

static struct err seal(struct trial *t, struct bytes plaintext, struct writer *w)
{
    struct key_id key_id;
    TRY(key_id_make("selftest", &t->keys.ids[0], &key_id));
    envelope_put_header(w, t->scheme->scheme, FAMILY_CANARY, &key_id);
    return scheme_seal(t->scheme, t->session, &t->keys, writer_bytes(w), plaintext, w);
}

static struct err check_open(struct trial *t, const struct envelope *envelope,
                             struct bytes expected)
{
    uint8_t opened[ENVELOPE_MAX];
    size_t len;
    TRY(scheme_open(t->scheme, t->session, &t->keys, envelope, opened, &len));
    return bytes_equal(bytes_of(opened, len), expected)
               ? ERR_OK
               : fails(t, "does not open what it sealed to the same");
}

static struct err check_lengths(struct trial *t)
{
    static const uint8_t known[PLAINTEXT_MAX] = "p11-kms self-test";
    uint8_t raw[ENVELOPE_MAX];
    struct envelope envelope;
    for (size_t len = 1; len <= sizeof known; len = len * 2 + 30) {
        struct writer w = writer_over(raw, sizeof raw);
        struct err e = seal(t, bytes_of(known, len), &w);
        if (e.code == ERR_INVALID && len > DEK_MAX)
            break;
        TRY(e);
        TRY(envelope_parse(writer_bytes(&w), &envelope));
        TRY(check_open(t, &envelope, bytes_of(known, len)));
    }
    return ERR_OK;
}

/* Some tokens leave a refused operation open, and a new session ends it. Only then: where sessions
 * are few, it may cost the login. */
static struct err check_open_still(struct trial *t, const struct envelope *envelope,
                                   struct bytes expected)
{
    struct err e = check_open(t, envelope, expected);
    if (e.kind != ERR_KIND_CKR || p11_ckr_find(e.native)->remedy != REMEDY_SESSION)
        return e;
    TRY(p11_session_reopen(&t->lane->session));
    return check_open(t, envelope, expected);
}

/* One byte turned must be enough to be refused, and for that reason alone: after each the original
 * opens still. */
static struct err check_altered(struct trial *t)
{
    static const uint8_t known[32] = "p11-kms self-test of a DEK";
    uint8_t raw[ENVELOPE_MAX], opened[ENVELOPE_MAX];
    struct writer w = writer_over(raw, sizeof raw);
    struct envelope envelope;
    size_t len;
    TRY(seal(t, bytes_of(known, sizeof known), &w));
    TRY(envelope_parse(writer_bytes(&w), &envelope));
    /* in the header, the first of the scheme's fields (an IV, a salt) and the last (a tag) */
    const size_t places[] = {envelope.header.len - 1, envelope.header.len, w.len - 1};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        raw[places[i]] ^= 1;
        if (!err_is(scheme_open(t->scheme, t->session, &t->keys, &envelope, opened, &len)))
            return fails(t, "opens a ciphertext that was altered");
        raw[places[i]] ^= 1;
        TRY(check_open_still(t, &envelope, bytes_of(known, sizeof known)));
    }
    return ERR_OK;
}

static struct err check_keys(struct trial *t)
{
    TRY(check_objects(t));
    TRY(scheme_prepare(t->scheme, t->session, &t->keys));
    TRY(check_lengths(t));
    return check_altered(t);
}

static struct err run_checks(struct trial *t)
{
    struct err e = check_keys(t);
    if (err_is(e)) /* which may have left an operation open */
        (void)err_is(p11_session_reopen(&t->lane->session));
    return e;
}

struct err op_selftest(struct lane *lane, const struct lane_request *request,
                       struct lane_reply *ret, struct advice *advice)
{
    struct trial t = {.lane = lane,
                      .session = &lane->session,
                      .scheme = scheme_find(request->u.selftest.scheme),
                      .keys.ids = {request->u.selftest.trial},
                      .advice = advice};
    (void)ret;
    if (!t.scheme)
        return err_make(ERR_INVALID, "scheme");
    TRY(check_keeps_keys(&t));
    TRY(remove_all(&t, is_leftover));
    TRY(make_keys(&t));
    struct err e = run_checks(&t);
    struct err gone = destroy_own(&t);
    return err_is(e) ? e : gone;
}
