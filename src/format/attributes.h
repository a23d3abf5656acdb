/* SPDX-License-Identifier: Apache-2.0 */
/* What a token says of a key object, and what we demand: non-exportability is checked. */
#ifndef P11KMS_ATTRIBUTES_H
#define P11KMS_ATTRIBUTES_H

#include "key_id.h"

/* One bit each; names and numbers after PKCS#11 2.40, 4.4 to 4.10. */
enum key_attribute {
    ATTR_TOKEN,
    ATTR_PRIVATE,
    ATTR_SENSITIVE,
    ATTR_ALWAYS_SENSITIVE,
    ATTR_EXTRACTABLE,
    ATTR_NEVER_EXTRACTABLE,
    ATTR_LOCAL,
    ATTR_ENCRYPT,
    ATTR_DECRYPT,
    ATTR_SIGN,
    ATTR_VERIFY,
    ATTR_WRAP,
    ATTR_UNWRAP,
    ATTR_DERIVE,
    ATTR_COUNT,
    /* No flags, but they can be wrong like them. */
    ATTR_KEY_TYPE = ATTR_COUNT,
    ATTR_VALUE_LEN,
    ATTR_BITS
};

#define ATTR_BIT(attribute) (1U << (attribute))

/* The CKA_KEY_TYPEs that a KEK may have. */
enum key_type {
    KEY_TYPE_OTHER = 0,
    KEY_TYPE_AES = 1,
    KEY_TYPE_HMAC = 2 /* CKK_GENERIC_SECRET, or CKK_SHA256_HMAC */
};

/* As read from the token: value is meaningful where known has the bit. */
struct key_attributes {
    uint32_t known;
    uint32_t value;
    uint32_t length; /* CKA_VALUE_LEN in bytes, 0 where the token does not tell */
    enum key_type type;
};

/* What a KEK of a scheme is, besides being guarded. */
struct key_demand {
    enum key_type type;
    uint32_t length; /* in bytes */
    uint32_t usages; /* what it must do; every other usage is excess */
};

/* What an operator may accept of an external key (ring.waive), a bit each. Whatever else is wrong
 * would let the key leave the token, or is no key for the scheme: nobody can waive it. */
enum key_waiver {
    WAIVE_LOCAL = 1, /* the key was not made on the token */
    WAIVE_USAGE = 2  /* it may do more than its scheme needs */
};

/* Never NULL: a number that names no scheme demands what no key has. */
const struct key_demand *key_demand(enum scheme scheme);

/* The scheme that an external key is for, which no label says. That of a type that is good for none
 * is aes-gcm, which then demands another. */
enum scheme key_type_scheme(enum key_type type);

/* A name such as "NEVER_EXTRACTABLE" or "VALUE_LEN". Never NULL. */
const char *key_attribute_name(enum key_attribute attribute);

/* The bits that are not as a managed KEK of this scheme must have them; an attribute that the
 * token does not tell counts as wrong. 0 when the key is as it must be. */
uint32_t key_attributes_wrong(enum scheme scheme, const struct key_attributes *attributes);

/* The bits that these waivers (enum key_waiver, or'ed) accept when they are wrong in a KEK of this
 * scheme. */
uint32_t key_attributes_waivable(enum scheme scheme, uint32_t waivers);

/* Writes the names of the bits, such as "LOCAL,WRAP", terminated and cut to size. Returns text. */
const char *key_attributes_list(uint32_t bits, char *text, size_t size);

#endif
