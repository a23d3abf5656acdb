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

static struct err unmake_object(const struct p11_session *session, enum key_class of,
                                const struct object_id *id, const char *label)
{
    return of == KEY_CLASS_PRIVATE ? p11_pair_unmake(session, id, label)
                                   : p11_key_unmake(session, of, id, label);
}

/* Of the first type, in order of preference, that the token makes. After an error *ret_none says
 * whether it is certain that no call has made one all the same. */
static struct err generate_role(const struct p11_session *session, struct key_set *set, size_t role,
                                const char *label, bool *ret_none)
{
    struct err e = err_make(ERR_UNSUPPORTED, "key_set_generate");
    enum key_class of = key_role_class(set->scheme, role);
    const struct key_demand *demand;
    TRY(object_id_of_role(&set->ids[0], set->scheme, role, &set->ids[role]));
    *ret_none = true;
    for (size_t i = 0; err_is(e) && *ret_none; i++) {
        if (!(demand = key_demand(set->scheme, role, i)))
            break;
        e = generate_object(session, demand, &set->ids[role], label, &set->handles[role]);
        set->types[role] = demand->type;
        if (err_is(e))
            *ret_none = !err_is(unmake_object(session, of, &set->ids[role], label));
    }
    return e;
}

struct err key_set_destroy_role(const struct p11_session *session, const struct key_set *set,
                                size_t role)
{
    if (set->handles[role]) {
        TRY(p11_key_check_id(session, set->handles[role], &set->ids[role]));
        TRY(p11_key_destroy(session, set->handles[role]));
    }
    return key_role_class(set->scheme, role) == KEY_CLASS_PRIVATE
               ? p11_pair_destroy_public(session, &set->ids[role])
               : ERR_OK;
}

struct err key_set_generate(const struct p11_session *session, struct key_set *set,
                            char labels[static KEY_ROLES_MAX][KEY_LABEL_MAX + 1])
{
    size_t n = scheme_roles(set->scheme);
    for (size_t i = n; i-- > 0;) {
        bool none = true;
        struct err e = generate_role(session, set, i, labels[i], &none);
        /* Without the others a first object would be what is left of a KEK. */
        for (size_t made = i + 1; err_is(e) && none && made < n; made++)
            (void)err_is(key_set_destroy_role(session, set, made)); /* the first error counts */
        TRY(e);
    }
    return ERR_OK;
}

struct err key_set_destroy(const struct p11_session *session, const struct key_set *set)
{
    struct err first = ERR_OK;
    for (size_t i = 0; i < scheme_roles(set->scheme); i++) {
        struct err e = key_set_destroy_role(session, set, i);
        if (!err_is(first))
            first = e;
    }
    return first;
}
