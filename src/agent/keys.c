/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include "p11_ckr.h"
#include "ring_keys.h"

#include <string.h>

static struct err check_label(const struct agent *agent, enum scheme scheme,
                              const struct p11_key *key, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key label");
    struct key_label label;
    if (agent->config.external)
        return ring_selects(agent, key)
                   ? ERR_OK
                   : advise(advice, bad, REMEDY_HUMAN,
                            "the key is not among those that ring.select finds");
    if (err_is(key_label_parse(bytes_of_string(key->label), &label)))
        return advise(
            advice, bad, REMEDY_HUMAN,
            "the key's label is not one of ours; label the object as it was, or remove it");
    if (strcmp(label.ring, agent->config.ring) != 0)
        return advise(advice, bad, REMEDY_HUMAN,
                      "the key is labelled as ring %s, not %s: mend its label", label.ring,
                      agent->config.ring);
    if (label.scheme != scheme)
        return advise(advice, bad, REMEDY_HUMAN,
                      "the key %s is labelled for another scheme than %s", key->label,
                      scheme_name(scheme));
    return ERR_OK;
}

/* Non-exportability is checked, not hoped for. */
static struct err check_key(const struct agent *agent, const struct scheme_ops *scheme,
                            const struct p11_key *key, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key attributes");
    uint32_t wrong = key_attributes_wrong(scheme->scheme, &key->attributes) &
                     ~key_attributes_waivable(scheme->scheme, agent->config.waive);
    char names[160], label[KEY_LABEL_MAX + 1];
    TRY(check_label(agent, scheme->scheme, key, advice));
    if (wrong != 0)
        return advise(
            advice, bad, REMEDY_HUMAN, "the key %s is refused: %s is not as a KEK must have it",
            ring_show_label(key->label, label), key_attributes_list(wrong, names, sizeof names));
    return ERR_OK;
}

enum scheme key_fitness(const struct agent *agent, const struct p11_key *key)
{
    struct advice unused = {.text = ""};
    struct key_label label = {.scheme = SCHEME_AES_GCM}; /* of an external ring */
    if (!agent->config.external && err_is(key_label_parse(bytes_of_string(key->label), &label)))
        return SCHEME_NONE;
    const struct scheme_ops *scheme = scheme_find(label.scheme);
    return scheme && !err_is(check_key(agent, scheme, key, &unused)) ? label.scheme : SCHEME_NONE;
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

static struct err look_up(struct lane *lane, const struct scheme_ops *scheme,
                          const struct object_id *id, unsigned long *ret, struct advice *advice)
{
    struct key_cache *cache = lane->agent->keys;
    unsigned long epoch = key_cache_epoch(cache), handle;
    struct p11_key key;
    TRY(key_find(lane, id, &handle, advice));
    TRY(p11_key_read(&lane->session, handle, &key));
    TRY(check_key(lane->agent, scheme, &key, advice));
    key_cache_add(cache, epoch, id, (struct cached_key){handle, scheme->scheme});
    *ret = handle;
    return ERR_OK;
}

static struct err find_key(struct lane *lane, const struct scheme_ops *scheme,
                           const struct object_id *id, unsigned long *ret, struct advice *advice)
{
    struct cached_key known;
    if (!key_cache_find(lane->agent->keys, id, &known))
        return look_up(lane, scheme, id, ret, advice);
    if (known.scheme != scheme->scheme)
        return advise(advice, err_make(ERR_TOKEN, "key scheme"), REMEDY_HUMAN,
                      "the key is labelled for another scheme than %s",
                      scheme_name(scheme->scheme));
    *ret = known.handle;
    return ERR_OK;
}

/* The handle was good before. A key that is gone now is no proof that it is lost: several tokens
 * answer "no objects" when their store is away. */
static struct err find_again(struct lane *lane, const struct scheme_ops *scheme,
                             const struct object_id *id, unsigned long *ret, struct advice *advice)
{
    (void)key_cache_drop(lane->agent->keys, id);
    struct err e = look_up(lane, scheme, id, ret, advice);
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
