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
    ATTR_SIGN_RECOVER,
    ATTR_COUNT,
    /* No flags, but they can be wrong like them. */
    ATTR_KEY_TYPE = ATTR_COUNT,
    ATTR_VALUE_LEN,
    ATTR_BITS
};

#define ATTR_BIT(attribute) (1U << (attribute))

/* The CKA_KEY_TYPEs that a KEK's objects may have. */
enum key_type {
    KEY_TYPE_OTHER = 0,
    KEY_TYPE_AES = 1,
    KEY_TYPE_HMAC = 2, /* CKK_GENERIC_SECRET, or CKK_SHA256_HMAC */
    KEY_TYPE_RSA = 3,
    KEY_TYPE_EC = 4, /* of curve P-256; any other curve is KEY_TYPE_OTHER */
    KEY_TYPE_LAST = KEY_TYPE_EC
};

/* The CKA_CLASSes of such objects. */
enum key_class { KEY_CLASS_SECRET, KEY_CLASS_PRIVATE };

enum key_class key_type_class(enum key_type type);

/* Whether keys of the class have the flag at all: others are not looked at. */
bool key_class_has(enum key_class of, enum key_attribute attribute);

/* As read from the token: value is meaningful where known has the bit. */
struct key_attributes {
    uint32_t known;
    uint32_t value;
    uint32_t length; /* in bytes: CKA_VALUE_LEN, of RSA the modulus, of EC the field; 0: not told */
    uint32_t excused; /* bits that this token is known never to tell (quirks.h) */
    enum key_type type;
};

/* What an object of a scheme's KEKs is, besides being guarded. */
struct key_demand {
    enum key_type type;
    uint32_t length_min, length_max; /* in bytes */
    uint32_t usages;                 /* what it must do; every other usage is excess */
};

/* What an operator may accept of an external key (ring.waive), a bit each. Whatever else is wrong
 * would let the key leave the token, or is no key for the scheme: nobody can waive it. */
enum key_waiver {
    WAIVE_LOCAL = 1, /* the key was not made on the token */
    WAIVE_USAGE = 2  /* it may do more than its scheme needs */
};

/* Of object number role of a scheme's KEKs. Some may be of one of several types: alternatives
 * number 0, which is preferred, and on. NULL past the last. */
const struct key_demand *key_demand(enum scheme scheme, size_t role, size_t alternative);

/* The class of object number role of a scheme's KEKs. */
enum key_class key_role_class(enum scheme scheme, size_t role);

/* The scheme that an external key is for, which no label says: one whose KEKs are one object. That
 * of a type that is good for none is aes-gcm, which then demands another. */
enum scheme key_type_scheme(enum key_type type);

/* A name such as "NEVER_EXTRACTABLE" or "VALUE_LEN". Never NULL. */
const char *key_attribute_name(enum key_attribute attribute);

/* Whether the token says that anybody may use the key: without the PIN, only such can be made. No
 * KEK is one; an attribute that is not told says nothing. */
bool key_attributes_public(const struct key_attributes *attributes);

/* The bits that are not as object number role of a managed KEK of this scheme must have them; an
 * attribute that the token does not tell counts as wrong, unless it is excused. 0 when the key is
 * as it must be. */
uint32_t key_attributes_wrong(enum scheme scheme, size_t role,
                              const struct key_attributes *attributes);

/* The bits that these waivers (enum key_waiver, or'ed) accept when they are wrong in an external
 * KEK, which is one object, of this scheme. */
uint32_t key_attributes_waivable(enum scheme scheme, uint32_t waivers);

/* Writes the names of the bits, such as "LOCAL,WRAP", terminated and cut to size. Returns text. */
const char *key_attributes_list(uint32_t bits, char *text, size_t size);

#endif
