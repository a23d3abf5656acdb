/* SPDX-License-Identifier: Apache-2.0 */
#include "attributes.h"

#include <stdio.h>
#include <string.h>

static const char *const names[ATTR_BITS] = {
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
    [ATTR_KEY_TYPE] = "KEY_TYPE",
    [ATTR_VALUE_LEN] = "VALUE_LEN",
};

enum {
    GUARDED = ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) | ATTR_BIT(ATTR_SENSITIVE) |
              ATTR_BIT(ATTR_ALWAYS_SENSITIVE) | ATTR_BIT(ATTR_NEVER_EXTRACTABLE) |
              ATTR_BIT(ATTR_LOCAL),
    USAGES = ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT) | ATTR_BIT(ATTR_SIGN) |
             ATTR_BIT(ATTR_VERIFY) | ATTR_BIT(ATTR_WRAP) | ATTR_BIT(ATTR_UNWRAP) |
             ATTR_BIT(ATTR_DERIVE),
    ALL = ATTR_BIT(ATTR_COUNT) - 1
};

static const struct {
    enum scheme scheme;
    struct key_demand demand;
} demands[] = {
    {SCHEME_AES_GCM, {KEY_TYPE_AES, 32, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT)}},
    {SCHEME_HMAC_DERIVE, {KEY_TYPE_HMAC, 32, ATTR_BIT(ATTR_SIGN)}},
};

enum { DEMANDS = sizeof demands / sizeof *demands };

const struct key_demand *key_demand(enum scheme scheme)
{
    static const struct key_demand nothing = {KEY_TYPE_OTHER, 0, 0};
    for (size_t i = 0; i < DEMANDS; i++)
        if (demands[i].scheme == scheme)
            return &demands[i].demand;
    return &nothing;
}

enum scheme key_type_scheme(enum key_type type)
{
    for (size_t i = 0; i < DEMANDS; i++)
        if (demands[i].demand.type == type)
            return demands[i].scheme;
    return SCHEME_AES_GCM;
}

const char *key_attribute_name(enum key_attribute attribute)
{
    return (unsigned)attribute < ATTR_BITS ? names[attribute] : "unknown";
}

uint32_t key_attributes_wrong(enum scheme scheme, const struct key_attributes *attributes)
{
    const struct key_demand *demand = key_demand(scheme);
    uint32_t wanted = GUARDED | demand->usages;
    uint32_t wrong = ((attributes->value ^ wanted) | ~attributes->known) & ALL;
    if (attributes->type != demand->type || attributes->type == KEY_TYPE_OTHER)
        wrong |= ATTR_BIT(ATTR_KEY_TYPE);
    if (attributes->length != demand->length)
        wrong |= ATTR_BIT(ATTR_VALUE_LEN);
    return wrong;
}

uint32_t key_attributes_waivable(enum scheme scheme, uint32_t waivers)
{
    uint32_t bits = 0;
    if ((waivers & WAIVE_LOCAL) != 0)
        bits |= ATTR_BIT(ATTR_LOCAL);
    if ((waivers & WAIVE_USAGE) != 0) /* excess ones: what the scheme needs it must do */
        bits |= USAGES & ~key_demand(scheme)->usages;
    return bits;
}

const char *key_attributes_list(uint32_t bits, char *text, size_t size)
{
    size_t len = 0;
    if (size > 0)
        text[0] = '\0';
    for (unsigned i = 0; i < ATTR_BITS && len < size; i++) {
        if ((bits & ATTR_BIT(i)) == 0)
            continue;
        int put = snprintf(text + len, size - len, "%s%s", len > 0 ? "," : "", names[i]);
        len += put > 0 ? (size_t)put : 0;
    }
    return text;
}
