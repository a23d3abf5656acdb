/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include "p11_ckr.h"
#include "ring_keys.h"

#include <string.h>

/* Whether the key is the ring's, and what it is for: a managed ring's label says it, an external
 * key's type. */
static struct err check_label(const struct agent *agent, const struct p11_key *key,
                              enum scheme *ret, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key label");
    struct key_label label;
    if (agent->config.external && !ring_selects(agent, key))
        return advise(advice, bad, REMEDY_HUMAN,
                      "the key is not among those that ring.select finds");
    if (agent->config.external) {
        *ret = key_type_scheme(key->attributes.type);
        return ERR_OK;
    }
    if (err_is(key_label_parse(bytes_of_string(key->label), &label)))
        return advise(
            advice, bad, REMEDY_HUMAN,
            "the key's label is not one of ours; label the object as it was, or remove it");
    if (strcmp(label.ring, agent->config.ring) != 0)
        return advise(advice, bad, REMEDY_HUMAN,
                      "the key is labelled as ring %s, not %s: mend its label", label.ring,
                      agent->config.ring);
    *ret = label.scheme;
    return ERR_OK;
}

/* Non-exportability is checked, not hoped for. */
static struct err check_key(const struct agent *agent, const struct p11_key *key, enum scheme *ret,
                            struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key attributes");
    enum scheme scheme;
    char names[160], label[KEY_LABEL_MAX + 1];
    TRY(check_label(agent, key, &scheme, advice));
    uint32_t wrong = key_attributes_wrong(scheme, &key->attributes) &
                     ~key_attributes_waivable(scheme, agent->config.waive);
    if (wrong != 0)
        return advise(
            advice, bad, REMEDY_HUMAN, "the key %s is refused: %s is not as a KEK must have it",
            ring_show_label(key->label, label), key_attributes_list(wrong, names, sizeof names));
    *ret = scheme;
    return ERR_OK;
}

enum scheme key_fitness(const struct agent *agent, const struct p11_key *key)
{
    struct advice unused = {.text = ""};
    enum scheme scheme;
    return err_is(check_key(agent, key, &scheme, &unused)) ? SCHEME_NONE : scheme;
}

struct err key_check_login(const struct lane *lane, struct advice *advice)
{
    bool logged_in = true;
    if (lane->agent->token.pin.login_required)
        TRY(p11_session_logged_in(&lane->session, &logged_in));
    return logged_in ? ERR_OK
                     : advise(advice, err_make(ERR_UNAVAILABLE, "login"), REMEDY_LOGIN,
                              "the token has logged this agent out while it looked for a key");
}

struct err key_find(struct lane *lane, const struct object_id *id, unsigned long *ret,
                    struct advice *advice)
{
    struct err e = p11_key_find(&lane->session, id, ret);
    if (e.code == ERR_TOKEN && e.kind == ERR_KIND_NONE)
        return advise(advice, e, REMEDY_HUMAN,
                      "two secret keys on the token have this KEK's CKA_ID: remove the one that is "
                      "not ours");
    if (e.code != ERR_NOT_FOUND)
        return e;
    TRY(key_check_login(lane, advice));
    return advise(advice, e, REMEDY_CALLER, "the token has no such KEK");
}

static struct err look_up(struct lane *lane, const struct object_id *id, struct cached_key *ret,
                          struct advice *advice)
{
    struct key_cache *cache = lane->agent->keys;
    unsigned long epoch = key_cache_epoch(cache);
    struct cached_key found;
    struct p11_key key;
    TRY(key_find(lane, id, &found.handle, advice));
    TRY(p11_key_read(&lane->session, found.handle, &key));
    TRY(check_key(lane->agent, &key, &found.scheme, advice));
    key_cache_add(cache, epoch, id, found);
    *ret = found;
    return ERR_OK;
}

/* The token's word is worth more than that of whoever asks, which in an envelope nothing has
 * authenticated yet. */
static struct err check_scheme(const struct cached_key *key, const struct scheme_ops *scheme,
                               struct advice *advice)
{
    return key->scheme == scheme->scheme
               ? ERR_OK
               : advise(advice, err_make(ERR_AUTH, "key scheme"), REMEDY_CALLER,
                        "the key is one of %s, not of %s", scheme_name(key->scheme),
                        scheme_name(scheme->scheme));
}

static struct err find_key(struct lane *lane, const struct scheme_ops *scheme,
                           const struct object_id *id, unsigned long *ret, struct advice *advice)
{
    struct cached_key key;
    if (!key_cache_find(lane->agent->keys, id, &key))
        TRY(look_up(lane, id, &key, advice));
    TRY(check_scheme(&key, scheme, advice));
    *ret = key.handle;
    return ERR_OK;
}

/* The handle was good before. A key that is gone now is no proof that it is lost: several tokens
 * answer "no objects" when their store is away. */
static struct err find_again(struct lane *lane, const struct scheme_ops *scheme,
                             const struct object_id *id, unsigned long *ret, struct advice *advice)
{
    struct cached_key key;
    (void)key_cache_drop(lane->agent->keys, id);
    struct err e = look_up(lane, id, &key, advice);
    if (!err_is(e)) {
        *ret = key.handle;
        return check_scheme(&key, scheme, advice);
    }
    if (e.code != ERR_NOT_FOUND)
        return e;
    return advise(advice, err_make(ERR_UNAVAILABLE, "key"), REMEDY_AGENT,
                  "a KEK that was in use is gone from the token: check the token's store");
}

struct err key_use(struct lane *lane, enum scheme scheme, struct bytes key_id, key_task *task,
                   void *context, struct advice *advice)
{
    const struct scheme_ops *ops = scheme_find(scheme);
    char ring[RING_NAME_MAX + 1];
    struct found_key key;
    if (!ops)
        return err_make(ERR_INVALID, "scheme");
    TRY(key_id_parse(key_id, ring, &key.id));
    if (strcmp(ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "ring"), REMEDY_CALLER,
                      "sealed by ring %s; this one is %s", ring, lane->agent->config.ring);
    TRY(find_key(lane, ops, &key.id, &key.handle, advice));
    struct err e = task(lane, ops, &key, context, advice);
    if (e.kind != ERR_KIND_CKR || !p11_ckr_stale_handle(e.native))
        return e;
    TRY(find_again(lane, ops, &key.id, &key.handle, advice));
    return task(lane, ops, &key, context, advice);
}
