/* SPDX-License-Identifier: Apache-2.0 */
/* Destroying is never a request: an agent that does it was started for one key. */
#include "keys.h"
#include "p11_key.h"

#include <string.h>

/* Whoever started us has checked far more; what can be read from the object itself is checked here
 * again, right before it goes. */
static struct err check_doomed(const struct agent *agent, const struct p11_key *key,
                               struct key_label *ret, struct advice *advice)
{
    struct err no = err_make(ERR_REFUSED, "destroy");
    struct key_label label;
    if (!object_id_equal(&key->id, &agent->config.doomed))
        return advise(advice, no, REMEDY_HUMAN,
                      "the token found another key than was asked for: nothing was destroyed");
    if (err_is(key_label_parse(bytes_of_string(key->label), &label)) ||
        strcmp(label.ring, agent->config.ring) != 0 || label.role != 0)
        return advise(advice, no, REMEDY_HUMAN, "the object is no key of ring %s",
                      agent->config.ring);
    if (label.state < KEY_DEACTIVATED)
        return advise(advice, no, REMEDY_HUMAN, "the KEK is labelled %s: deactivate it first",
                      key_state_name(label.state));
    *ret = label;
    return ERR_OK;
}

/* A public object is not the KEK's, whatever its CKA_ID and label: anybody can make one. It is
 * found only where the KEK's own is not, which may be hidden from whoever is not logged in. */
static struct err find_own(struct lane *lane, enum key_class of, const struct object_id *id,
                           struct p11_key *ret, struct advice *advice)
{
    unsigned long handle;
    struct p11_key key;
    TRY(key_find_object(lane, of, id, &handle, advice));
    TRY(p11_key_read(&lane->session, of, handle, &key));
    if (key_attributes_public(&key.attributes)) {
        TRY(key_check_login(lane, advice));
        return err_make(ERR_NOT_FOUND, "CKA_ID");
    }
    *ret = key;
    return ERR_OK;
}

/* Not there is an answer here, and no reason to be told with what fails later. */
static struct err find_object(struct lane *lane, enum key_class of, const struct object_id *id,
                              struct p11_key *ret, struct advice *advice)
{
    struct err e = find_own(lane, of, id, ret, advice);
    if (e.code == ERR_NOT_FOUND)
        advice->text[0] = '\0';
    return e;
}

/* Its label will say of which scheme it is, and so of which class. */
static struct err find_doomed(struct lane *lane, struct p11_key *ret, struct advice *advice)
{
    const struct object_id *id = &lane->agent->config.doomed;
    struct err e = find_object(lane, KEY_CLASS_SECRET, id, ret, advice);
    return e.code == ERR_NOT_FOUND ? find_object(lane, KEY_CLASS_PRIVATE, id, ret, advice) : e;
}

/* Another object of the KEK has its CKA_ID from the first one's, and its label says so too. Where
 * the first one is gone, nothing else tells the state. */
static struct err check_rest(const struct agent *agent, const struct key_set *keys, size_t role,
                             const struct p11_key *key, struct advice *advice)
{
    struct err no = err_make(ERR_REFUSED, "destroy");
    const char *name = scheme_role_name(keys->scheme, role);
    struct key_label label;
    bool ours = object_id_equal(&key->id, &keys->ids[role]) &&
                !err_is(key_label_parse(bytes_of_string(key->label), &label)) &&
                strcmp(label.ring, agent->config.ring) == 0 && label.scheme == keys->scheme &&
                label.role == role;
    if (!ours)
        return advise(advice, no, REMEDY_HUMAN,
                      "what has the CKA_ID of the KEK's %s object is not labelled as that: it was "
                      "not destroyed",
                      name);
    if (keys->handles[0] == 0 && label.state < KEY_DEACTIVATED)
        return advise(advice, no, REMEDY_HUMAN,
                      "of the KEK its %s object alone is left, labelled %s: remove it with the "
                      "token's own tools",
                      name, key_state_name(label.state));
    return ERR_OK;
}

/* The objects besides the first, which a destruction that was cut short may have left no more. */
static struct err find_rest(struct lane *lane, struct key_set *keys, struct advice *advice)
{
    for (size_t i = 1; i < scheme_roles(keys->scheme); i++) {
        enum key_class of = key_role_class(keys->scheme, i);
        struct p11_key key;
        TRY(object_id_of_role(&keys->ids[0], keys->scheme, i, &keys->ids[i]));
        struct err e = find_object(lane, of, &keys->ids[i], &key, advice);
        if (e.code == ERR_NOT_FOUND)
            continue;
        TRY(e);
        keys->handles[i] = key.handle;
        TRY(check_rest(lane->agent, keys, i, &key, advice));
    }
    return ERR_OK;
}

static struct err check_gone(struct lane *lane, const struct key_set *keys, size_t role,
                             struct advice *advice)
{
    struct p11_key key;
    struct err gone =
        find_object(lane, key_role_class(keys->scheme, role), &keys->ids[role], &key, advice);
    if (!err_is(gone))
        return advise(advice, err_make(ERR_TOKEN, "destroy"), REMEDY_HUMAN,
                      "the token said that it destroyed the KEK, and still has it");
    return gone.code == ERR_NOT_FOUND ? ERR_OK : gone;
}

/* As long as the first object is there, so is the rest: the KEK is whole then, and whoever looks
 * next sees that it was not destroyed. */
static struct err destroy_in_order(struct lane *lane, const struct key_set *keys,
                                   struct advice *advice)
{
    for (size_t i = 0; i < scheme_roles(keys->scheme); i++) {
        TRY(key_set_destroy_role(&lane->session, keys, i));
        TRY(check_gone(lane, keys, i, advice));
    }
    return ERR_OK;
}

/* What is left of a KEK without its first object, which said of which scheme it was. Nobody takes
 * it for a KEK, and so nobody else would ever find it. */
static struct err destroy_leftovers(struct lane *lane, struct advice *advice)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        struct key_set keys = {.scheme = scheme_by_preference(i),
                               .ids = {lane->agent->config.doomed}};
        TRY(find_rest(lane, &keys, advice));
        TRY(destroy_in_order(lane, &keys, advice));
    }
    return ERR_OK;
}

struct err agent_destroy(struct lane *lane, struct advice *advice)
{
    struct p11_key key;
    struct key_label label;
    struct err e = find_doomed(lane, &key, advice);
    if (e.code == ERR_NOT_FOUND)
        return destroy_leftovers(lane, advice);
    TRY(e);
    TRY(check_doomed(lane->agent, &key, &label, advice));
    struct key_set keys = {.scheme = label.scheme, .handles = {key.handle}, .ids = {key.id}};
    TRY(find_rest(lane, &keys, advice));
    return destroy_in_order(lane, &keys, advice);
}
