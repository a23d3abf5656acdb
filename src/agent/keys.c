/* SPDX-License-Identifier: Apache-2.0 */
#include "keys.h"

#include "p11_ckr.h"
#include "ring_keys.h"

#include <string.h>

/* Whether the key is the ring's, and what it is for: a managed ring's label says it, an external
 * key's type. */
static struct err check_label(const struct agent *agent, const struct p11_key *key,
                              struct key_fitness *ret, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key label");
    struct key_label label;
    if (agent->config.external && !ring_selects(agent, key))
        return advise(advice, bad, REMEDY_HUMAN,
                      "the key is not among those that ring.select finds");
    if (agent->config.external) {
        *ret = (struct key_fitness){key_type_scheme(key->attributes.type), 0};
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
    *ret = (struct key_fitness){label.scheme, label.role};
    return ERR_OK;
}

/* Non-exportability is checked, not hoped for. */
static struct err check_key(const struct agent *agent, const struct p11_key *key,
                            struct key_fitness *ret, struct advice *advice)
{
    struct err bad = err_make(ERR_TOKEN, "key attributes");
    struct key_fitness fit;
    char names[160], label[KEY_LABEL_MAX + 1];
    TRY(check_label(agent, key, &fit, advice));
    uint32_t wrong = key_attributes_wrong(fit.scheme, fit.role, &key->attributes) &
                     ~key_attributes_waivable(fit.scheme, agent->config.waive);
    if (wrong != 0)
        return advise(
            advice, bad, REMEDY_HUMAN, "the key %s is refused: %s is not as a KEK must have it",
            ring_show_label(key->label, label), key_attributes_list(wrong, names, sizeof names));
    *ret = fit;
    return ERR_OK;
}

struct key_fitness key_fitness(const struct agent *agent, const struct p11_key *key)
{
    struct advice unused = {.text = ""};
    struct key_fitness fit = {SCHEME_NONE, 0};
    (void)err_is(check_key(agent, key, &fit, &unused));
    return fit;
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

struct err key_find_object(struct lane *lane, enum key_class of, const struct object_id *id,
                           unsigned long *ret, struct advice *advice)
{
    struct err e = p11_key_find(&lane->session, of, id, ret);
    if (e.code == ERR_TOKEN && e.kind == ERR_KIND_NONE)
        return advise(advice, e, REMEDY_HUMAN,
                      "two %s keys on the token have this KEK's CKA_ID: remove the one that is not "
                      "ours",
                      of == KEY_CLASS_PRIVATE ? "private" : "secret");
    if (e.code != ERR_NOT_FOUND)
        return e;
    TRY(key_check_login(lane, advice));
    return advise(advice, e, REMEDY_CALLER, "the token has no such KEK");
}

struct err key_find(struct lane *lane, struct key_set *keys, struct advice *advice)
{
    for (size_t i = 0; i < scheme_roles(keys->scheme); i++) {
        TRY(object_id_of_role(&keys->ids[0], keys->scheme, i, &keys->ids[i]));
        struct err e = key_find_object(lane, key_role_class(keys->scheme, i), &keys->ids[i],
                                       &keys->handles[i], advice);
        if (e.code == ERR_NOT_FOUND && i > 0)
            return advise(advice, e, REMEDY_CALLER, "the token has no %s object for this KEK",
                          scheme_role_name(keys->scheme, i));
        TRY(e);
    }
    return ERR_OK;
}

/* The token's word is worth more than that of whoever asks, which in an envelope nothing has
 * authenticated yet. */
static struct err check_scheme(enum scheme scheme, const struct scheme_ops *asked,
                               struct advice *advice)
{
    return scheme == asked->scheme ? ERR_OK
                                   : advise(advice, err_make(ERR_AUTH, "key scheme"), REMEDY_CALLER,
                                            "the key is one of %s, not of %s", scheme_name(scheme),
                                            scheme_name(asked->scheme));
}

static struct err check_object(struct lane *lane, const struct scheme_ops *scheme, size_t role,
                               struct key_set *keys, struct advice *advice)
{
    struct key_fitness fit;
    struct p11_key key;
    TRY(p11_key_read(&lane->session, key_role_class(scheme->scheme, role), keys->handles[role],
                     &key));
    if (key_attributes_public(&key.attributes)) /* the KEK itself may only be hidden */
        TRY(key_check_login(lane, advice));
    TRY(check_key(lane->agent, &key, &fit, advice));
    TRY(check_scheme(fit.scheme, scheme, advice));
    keys->types[role] = key.attributes.type;
    if (fit.role == role)
        return ERR_OK;
    return advise(advice, err_make(ERR_TOKEN, "key role"), REMEDY_HUMAN,
                  "the %s object of the KEK is labelled as its %s: mend its label",
                  scheme_role_name(scheme->scheme, role),
                  scheme_role_name(scheme->scheme, fit.role));
}

/* A KEK that is whole and fit, for the cache. */
static struct err look_up(struct lane *lane, const struct scheme_ops *scheme,
                          const struct object_id *id, struct key_set *ret, struct advice *advice)
{
    struct key_cache *cache = lane->agent->keys;
    unsigned long epoch = key_cache_epoch(cache);
    *ret = (struct key_set){.scheme = scheme->scheme, .ids = {*id}};
    TRY(key_find(lane, ret, advice));
    for (size_t i = 0; i < scheme_roles(scheme->scheme); i++)
        TRY(check_object(lane, scheme, i, ret, advice));
    TRY(scheme_prepare(scheme, &lane->session, ret));
    key_cache_add(cache, epoch, ret);
    return ERR_OK;
}

static struct err find_keys(struct lane *lane, const struct scheme_ops *scheme,
                            const struct object_id *id, struct key_set *ret, struct advice *advice)
{
    if (!key_cache_find(lane->agent->keys, id, ret))
        return look_up(lane, scheme, id, ret, advice);
    return check_scheme(ret->scheme, scheme, advice);
}

/* The handles were good before. A key that is gone now is no proof that it is lost: several tokens
 * answer "no objects" when their store is away. */
static struct err find_again(struct lane *lane, const struct scheme_ops *scheme,
                             const struct object_id *id, struct key_set *ret, struct advice *advice)
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
    struct object_id id;
    struct key_set keys;
    if (!ops)
        return err_make(ERR_INVALID, "scheme");
    TRY(key_id_parse(key_id, ring, &id));
    if (strcmp(ring, lane->agent->config.ring) != 0)
        return advise(advice, err_make(ERR_INVALID, "ring"), REMEDY_CALLER,
                      "sealed by ring %s; this one is %s", ring, lane->agent->config.ring);
    TRY(find_keys(lane, ops, &id, &keys, advice));
    struct err e = task(lane, ops, &keys, context, advice);
    if (e.kind != ERR_KIND_CKR || !p11_ckr_stale_handle(e.native))
        return e;
    TRY(find_again(lane, ops, &id, &keys, advice));
    return task(lane, ops, &keys, context, advice);
}
