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

/* Its label will say of which scheme it is, and so of which class. */
static struct err find_doomed(struct lane *lane, struct p11_key *ret, struct advice *advice)
{
    const struct object_id *id = &lane->agent->config.doomed;
    enum key_class of = KEY_CLASS_SECRET;
    unsigned long handle;
    struct err e = key_find_object(lane, of, id, &handle, advice);
    if (e.code == ERR_NOT_FOUND) {
        of = KEY_CLASS_PRIVATE;
        e = key_find_object(lane, of, id, &handle, advice);
    }
    TRY(e);
    return p11_key_read(&lane->session, of, handle, ret);
}

/* The objects besides the first, which a destruction that was interrupted may have left no more. */
static struct err find_rest(struct lane *lane, struct key_set *keys, struct advice *advice)
{
    for (size_t i = 1; i < scheme_roles(keys->scheme); i++) {
        TRY(object_id_of_role(&keys->ids[0], keys->scheme, i, &keys->ids[i]));
        struct err e = key_find_object(lane, key_role_class(keys->scheme, i), &keys->ids[i],
                                       &keys->handles[i], advice);
        if (e.code != ERR_NOT_FOUND)
            TRY(e);
    }
    return ERR_OK;
}

static struct err check_gone(struct lane *lane, const struct key_set *keys, struct advice *advice)
{
    for (size_t i = 0; i < scheme_roles(keys->scheme); i++) {
        unsigned long handle;
        struct err gone =
            key_find_object(lane, key_role_class(keys->scheme, i), &keys->ids[i], &handle, advice);
        if (!err_is(gone))
            return advise(advice, err_make(ERR_TOKEN, "destroy"), REMEDY_HUMAN,
                          "the token said that it destroyed the KEK, and still has it");
        if (gone.code != ERR_NOT_FOUND)
            return gone;
    }
    return ERR_OK;
}

struct err agent_destroy(struct lane *lane, struct advice *advice)
{
    struct p11_key key;
    struct key_label label;
    TRY(find_doomed(lane, &key, advice));
    TRY(check_doomed(lane->agent, &key, &label, advice));
    struct key_set keys = {.scheme = label.scheme, .handles = {key.handle}, .ids = {key.id}};
    TRY(find_rest(lane, &keys, advice));
    TRY(key_set_destroy(&lane->session, &keys));
    return check_gone(lane, &keys, advice);
}
