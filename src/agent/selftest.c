/* SPDX-License-Identifier: Apache-2.0 */
/* Proves on the live token all that a ring of a scheme needs, with a key that is gone after. */
#include "ops.h"
#include "p11_key.h"
#include "scheme.h"

#include <stdio.h>
#include <string.h>

static const char label_prefix[] = "p11-kms-selftest/";

/* Another host's self-test may be running; no generateTimeout is this long. */
enum { LEFTOVER_AGE_MS = 10 * 60 * 1000 };

struct trial {
    const struct p11_session *session;
    const struct scheme_ops *scheme;
    struct object_id id;
    char label[KEY_LABEL_MAX + 1];
    unsigned long key;
    struct advice *advice;
};

static struct err fails(struct trial *t, const char *what)
{
    return advise(t->advice, err_make(ERR_UNSUPPORTED, "self-test"), REMEDY_HUMAN,
                  "self-test of %s: the token %s", scheme_name(t->scheme->scheme), what);
}

static bool is_leftover(const struct p11_key *key)
{
    return strncmp(key->label, label_prefix, strlen(label_prefix)) == 0 &&
           key->id.len == UUID_BYTES &&
           clock_wall_ms() - uuid_time_ms(key->id.data) > LEFTOVER_AGE_MS;
}

static struct err remove_leftovers(const struct p11_session *session)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t n = 0;
    TRY(p11_key_find_all(session, &handles, &n));
    for (size_t i = 0; i < n; i++) {
        struct p11_key key;
        TRY(p11_key_read(session, handles[i], &key));
        if (is_leftover(&key))
            TRY(p11_key_destroy(session, handles[i]));
    }
    return ERR_OK;
}

/* A label of exactly the length that we promise to need, ending in one letter. */
static void make_label(struct trial *t, char last)
{
    char uuid[UUID_TEXT + 1];
    uuid_format(t->id.data, uuid);
    memset(t->label, last, KEY_LABEL_MAX);
    t->label[KEY_LABEL_MAX] = '\0';
    memcpy(t->label, label_prefix, strlen(label_prefix));
    memcpy(t->label + strlen(label_prefix), uuid, UUID_TEXT);
}

static struct err make_key(struct trial *t)
{
    uint8_t uuid[UUID_BYTES];
    TRY(uuid_make(uuid));
    TRY(object_id_from(bytes_of(uuid, sizeof uuid), &t->id));
    make_label(t, 'a');
    return scheme_generate(t->scheme, t->session, &t->id, t->label, &t->key);
}

static struct err check_attributes(struct trial *t)
{
    struct p11_key key;
    unsigned long found;
    char names[128], what[192];
    TRY(p11_key_find(t->session, &t->id, &found));
    TRY(p11_key_read(t->session, found, &key));
    if (!object_id_equal(&key.id, &t->id))
        return fails(t, "does not keep a CKA_ID of 16 bytes");
    if (strcmp(key.label, t->label) != 0)
        return fails(t, "does not keep a label of 64 bytes");
    uint32_t wrong = key_attributes_wrong(t->scheme->scheme, &key.attributes);
    if (wrong == 0)
        return ERR_OK;
    (void)snprintf(what, sizeof what, "made a key with the wrong %s",
                   key_attributes_list(wrong, names, sizeof names));
    return fails(t, what);
}

static struct err check_relabel(struct trial *t)
{
    struct p11_key key;
    make_label(t, 'b');
    TRY(p11_key_relabel(t->session, t->key, t->label));
    TRY(p11_key_read(t->session, t->key, &key));
    return strcmp(key.label, t->label) == 0 ? ERR_OK : fails(t, "does not keep a new label");
}

/* Opens what was sealed, then the same with one bit of its last byte turned. */
static struct err check_open(struct trial *t, uint8_t *raw, size_t raw_len, struct bytes expected)
{
    uint8_t opened[ENVELOPE_MAX];
    struct envelope envelope;
    size_t len;
    TRY(envelope_parse(bytes_of(raw, raw_len), &envelope));
    TRY(scheme_open(t->scheme, t->session, t->key, &envelope, opened, &len));
    if (!bytes_equal(bytes_of(opened, len), expected))
        return fails(t, "does not open what it sealed to the same");
    raw[raw_len - 1] ^= 1;
    if (!err_is(scheme_open(t->scheme, t->session, t->key, &envelope, opened, &len)))
        return fails(t, "opens a ciphertext that was altered");
    return ERR_OK;
}

static struct err check_crypt(struct trial *t)
{
    static const uint8_t known[PLAINTEXT_MAX] = "p11-kms self-test";
    uint8_t raw[ENVELOPE_MAX];
    struct key_id key_id;
    TRY(key_id_make("selftest", &t->id, &key_id));
    for (size_t len = 1; len <= sizeof known; len = len * 2 + 30) {
        struct writer w = writer_over(raw, sizeof raw);
        envelope_put_header(&w, t->scheme->scheme, FAMILY_CANARY, &key_id);
        TRY(scheme_seal(t->scheme, t->session, t->key, writer_bytes(&w), bytes_of(known, len), &w));
        TRY(check_open(t, raw, w.len, bytes_of(known, len)));
    }
    return ERR_OK;
}

static struct err run_checks(struct lane *lane, struct trial *t)
{
    TRY(check_attributes(t));
    TRY(check_relabel(t));
    struct err e = check_crypt(t);
    /* some tokens leave the refused operation open */
    struct err reopened = p11_session_reopen(&lane->session);
    return err_is(e) ? e : reopened;
}

struct err op_selftest(struct lane *lane, const struct lane_request *request,
                       struct lane_reply *ret, struct advice *advice)
{
    struct trial t = {.session = &lane->session,
                      .scheme = scheme_find(request->u.selftest.scheme),
                      .advice = advice};
    (void)ret;
    if (!t.scheme)
        return err_make(ERR_INVALID, "scheme");
    TRY(remove_leftovers(&lane->session));
    TRY(make_key(&t));
    struct err e = run_checks(lane, &t);
    struct err gone = p11_key_destroy(&lane->session, t.key);
    return err_is(e) ? e : gone;
}
