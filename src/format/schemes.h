/* SPDX-License-Identifier: Apache-2.0 */
/* The schemes by which a KEK seals, as they are stored and named: one row each in schemes.c. */
#ifndef P11KMS_SCHEMES_H
#define P11KMS_SCHEMES_H

#include "bytes.h"

/* Envelope byte and label word of each scheme; a scheme's number is never given to another. */
enum scheme {
    SCHEME_NONE = 0,
    SCHEME_AES_GCM = 1,
    SCHEME_HMAC_DERIVE = 2,
    SCHEME_AES_CBC_HMAC = 3,
    SCHEME_RSA_OAEP_SIGN = 4
};

enum {
    SCHEMES = 4,
    KEY_ROLES_MAX = 2 /* objects of one KEK */
};

/* Number i of those that a token may be tried for, the best first; SCHEME_NONE past the end. */
enum scheme scheme_by_preference(size_t i);

/* NULL for a number that names no scheme. */
const char *scheme_name(enum scheme scheme);

/* SCHEME_NONE for a word that names none. */
enum scheme scheme_from_name(struct bytes name);

/* Whether a KEK of the scheme must go before 2^32 seals. */
bool scheme_wears_out(enum scheme scheme);

/* How many objects on the token are one KEK of the scheme: 1 to KEY_ROLES_MAX. */
size_t scheme_roles(enum scheme scheme);

/* The word in the label of object number role, from 0, such as "mac". NULL where the KEK is one
 * object, and past the last. */
const char *scheme_role_name(enum scheme scheme, size_t role);

#endif
