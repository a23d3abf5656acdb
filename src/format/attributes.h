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
    ATTR_COUNT
};

#define ATTR_BIT(attribute) (1U << (attribute))

/* As read from the token: value is meaningful where known has the bit. */
struct key_attributes {
    uint32_t known;
    uint32_t value;
    uint32_t length; /* CKA_VALUE_LEN in bytes, 0 where the token does not tell */
};

/* A name such as "NEVER_EXTRACTABLE". Never NULL. */
const char *key_attribute_name(enum key_attribute attribute);

/* The bits that are not as a managed KEK of this scheme must have them; an attribute that the
 * token does not tell counts as wrong. 0 when the key is as it must be. */
uint32_t key_attributes_wrong(enum scheme scheme, const struct key_attributes *attributes);

/* Writes the names of the bits, such as "LOCAL,WRAP", terminated and cut to size. Returns text. */
const char *key_attributes_list(uint32_t bits, char *text, size_t size);

#endif
