/* SPDX-License-Identifier: Apache-2.0 */
/* From a key_id to a key that may be used: found, checked once per agent, remembered. */
#ifndef P11KMS_KEYS_H
#define P11KMS_KEYS_H

#include "agent.h"
#include "scheme.h"

/* What is done with the key once it is found. The error of a stale handle says that the handle may
 * be another key's by now: nothing that was done with it may be used. */
typedef struct err key_task(struct lane *lane, const struct scheme_ops *scheme,
                            const struct key_set *keys, void *context, struct advice *advice);

/* Finds the key and runs task with it; a handle that went stale is looked up again, once.
 * ERR_INVALID: the key_id is malformed or of another ring. ERR_NOT_FOUND: no such key.
 * ERR_UNAVAILABLE: it was here before and is gone. ERR_TOKEN: its label, type or attributes are
 * not as a KEK must have them (advice names them), or two objects share its id. ERR_AUTH: it is a
 * KEK of another scheme. */
MUST_CHECK struct err key_use(struct lane *lane, enum scheme scheme, struct bytes key_id,
                              key_task *task, void *context, struct advice *advice);

/* A token that has logged us out shows no private keys: that one is not there says nothing then.
 * ERR_UNAVAILABLE: it has. */
MUST_CHECK struct err key_check_login(const struct lane *lane, struct advice *advice);

/* Searches the token, and no cache, for the one key of the class with this CKA_ID. ERR_NOT_FOUND,
 * or ERR_TOKEN when there are two; advice says it. */
MUST_CHECK struct err key_find_object(struct lane *lane, enum key_class of,
                                      const struct object_id *id, unsigned long *ret,
                                      struct advice *advice);

/* The same for all the objects of the KEK whose CKA_ID is in keys->ids[0], of
 * keys->scheme; fills in their CKA_IDs and handles. */
MUST_CHECK struct err key_find(struct lane *lane, struct key_set *keys, struct advice *advice);

/* The scheme and role of an object that may be used; SCHEME_NONE: it must not. */
struct key_fitness {
    enum scheme scheme;
    size_t role;
};
struct key_fitness key_fitness(const struct agent *agent, const struct p11_key *key);

#endif
