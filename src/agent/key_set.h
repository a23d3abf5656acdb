/* SPDX-License-Identifier: Apache-2.0 */
/* The objects on the token that are one KEK. */
#ifndef P11KMS_KEY_SET_H
#define P11KMS_KEY_SET_H

#include "p11_key.h"

enum { PUBLIC_HALF_MAX = 512 }; /* of RSA-3072 422 bytes */

/* The public half of a key pair as a SubjectPublicKeyInfo in DER (RFC 5280, 4.1). */
struct public_half {
    uint16_t len; /* 0: none */
    uint8_t der[PUBLIC_HALF_MAX];
};

/* In the order of the scheme's roles; scheme_roles(scheme) of each array count. */
struct key_set {
    enum scheme scheme;
    unsigned long handles[KEY_ROLES_MAX];
    struct object_id ids[KEY_ROLES_MAX];       /* the first is the KEK's own */
    enum key_type types[KEY_ROLES_MAX];        /* known before the scheme's prepare() */
    struct public_half publics[KEY_ROLES_MAX]; /* proved against their private keys */
    uint8_t choice;                            /* of the scheme's prepare(), for itself */
};

/* Whether all the handles are still those of the CKA_IDs: p11_key_check_id. */
MUST_CHECK struct err key_set_check(const struct p11_session *session, const struct key_set *set);

/* Makes the objects of a KEK whose own CKA_ID is in set->ids[0], of set->scheme, with a label each.
 * The first comes last, so that a KEK is whole as soon as it can be seen. What was made before a
 * failure is destroyed again, as far as the token lets us, and also what a call made that said it
 * failed. Where that cannot be told the rest stays as well: no KEK is left with its first object
 * alone. */
MUST_CHECK struct err key_set_generate(const struct p11_session *session, struct key_set *set,
                                       char labels[static KEY_ROLES_MAX][KEY_LABEL_MAX + 1]);

/* Destroys one of the objects, of a pair both halves, if its handle is still that of its CKA_ID. A
 * handle of 0 is one that is not there; a public half may be nevertheless. */
MUST_CHECK struct err key_set_destroy_role(const struct p11_session *session,
                                           const struct key_set *set, size_t role);

/* The same for all of them, for keys that nothing was sealed with: one that stays keeps no other.
 * The first error, after all were tried. */
MUST_CHECK struct err key_set_destroy(const struct p11_session *session, const struct key_set *set);

#endif
