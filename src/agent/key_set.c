/* SPDX-License-Identifier: Apache-2.0 */
#include "key_set.h"

#include "p11_pair.h"

struct err key_set_check(const struct p11_session *session, const struct key_set *set)
{
    for (size_t i = 0; i < scheme_roles(set->scheme); i++)
        TRY(p11_key_check_id(session, set->handles[i], &set->ids[i]));
    return ERR_OK;
}

static struct err generate_object(const struct p11_session *session,
                                  const struct key_demand *demand, const struct object_id *id,
                                  const char *label, unsigned long *ret_handle)
{
    return key_type_class(demand->type) == KEY_CLASS_PRIVATE
               ? p11_pair_generate(session, demand, id, label, ret_handle)
               : p11_key_generate(session, demand, id, label, ret_handle);
}

/* Of the first type, in order of preference, that the token makes. */
static struct err generate_role(const struct p11_session *session, struct key_set *set, size_t role,
                                const char *label)
{
    struct err e = err_make(ERR_UNSUPPORTED, "key_set_generate");
    const struct key_demand *demand;
    TRY(object_id_of_role(&set->ids[0], set->scheme, role, &set->ids[role]));
    for (size_t i = 0; err_is(e) && (demand = key_demand(set->scheme, role, i)); i++) {
        e = generate_object(session, demand, &set->ids[role], label, &set->handles[role]);
        set->types[role] = demand->type;
    }
    return e;
}

static struct err destroy_role(const struct p11_session *session, const struct key_set *set,
                               size_t role)
{
    TRY(p11_key_destroy(session, set->handles[role]));
    return key_role_class(set->scheme, role) == KEY_CLASS_PRIVATE
               ? p11_pair_destroy_public(session, &set->ids[role])
               : ERR_OK;
}

struct err key_set_generate(const struct p11_session *session, struct key_set *set,
                            char labels[static KEY_ROLES_MAX][KEY_LABEL_MAX + 1])
{
    size_t n = scheme_roles(set->scheme);
    for (size_t i = n; i-- > 0;) {
        struct err e = generate_role(session, set, i, labels[i]);
        for (size_t made = i + 1; err_is(e) && made < n; made++)
            (void)err_is(destroy_role(session, set, made)); /* the first error is what counts */
        TRY(e);
    }
    return ERR_OK;
}

struct err key_set_destroy(const struct p11_session *session, const struct key_set *set)
{
    struct err first = ERR_OK;
    for (size_t i = 0; i < scheme_roles(set->scheme); i++) {
        struct err e = set->handles[i] ? destroy_role(session, set, i) : ERR_OK;
        if (!err_is(first))
            first = e;
    }
    return first;
}
