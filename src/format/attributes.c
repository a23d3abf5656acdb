/* SPDX-License-Identifier: Apache-2.0 */
#include "attributes.h"

#include <stdio.h>
#include <string.h>

static const char *const names[ATTR_COUNT] = {
    [ATTR_TOKEN] = "TOKEN",
    [ATTR_PRIVATE] = "PRIVATE",
    [ATTR_SENSITIVE] = "SENSITIVE",
    [ATTR_ALWAYS_SENSITIVE] = "ALWAYS_SENSITIVE",
    [ATTR_EXTRACTABLE] = "EXTRACTABLE",
    [ATTR_NEVER_EXTRACTABLE] = "NEVER_EXTRACTABLE",
    [ATTR_LOCAL] = "LOCAL",
    [ATTR_ENCRYPT] = "ENCRYPT",
    [ATTR_DECRYPT] = "DECRYPT",
    [ATTR_SIGN] = "SIGN",
    [ATTR_VERIFY] = "VERIFY",
    [ATTR_WRAP] = "WRAP",
    [ATTR_UNWRAP] = "UNWRAP",
    [ATTR_DERIVE] = "DERIVE",
};

enum {
    GUARDED = ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) | ATTR_BIT(ATTR_SENSITIVE) |
              ATTR_BIT(ATTR_ALWAYS_SENSITIVE) | ATTR_BIT(ATTR_NEVER_EXTRACTABLE) |
              ATTR_BIT(ATTR_LOCAL),
    ALL = ATTR_BIT(ATTR_COUNT) - 1
};

/* The usages a scheme needs; every other usage is excess. */
static uint32_t usages(enum scheme scheme)
{
    switch (scheme) {
    case SCHEME_AES_GCM:
        return ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT);
    case SCHEME_NONE:
        break;
    }
    return 0;
}

const char *key_attribute_name(enum key_attribute attribute)
{
    return (unsigned)attribute < ATTR_COUNT ? names[attribute] : "unknown";
}

uint32_t key_attributes_wrong(enum scheme scheme, const struct key_attributes *attributes)
{
    uint32_t wanted = GUARDED | usages(scheme);
    return ((attributes->value ^ wanted) | ~attributes->known) & ALL;
}

const char *key_attributes_list(uint32_t bits, char *text, size_t size)
{
    size_t len = 0;
    if (size > 0)
        text[0] = '\0';
    for (unsigned i = 0; i < ATTR_COUNT && len < size; i++) {
        if ((bits & ATTR_BIT(i)) == 0)
            continue;
        int put = snprintf(text + len, size - len, "%s%s", len > 0 ? "," : "", names[i]);
        len += put > 0 ? (size_t)put : 0;
    }
    return text;
}
