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
    [ATTR_SIGN_RECOVER] = "SIGN_RECOVER",
    [ATTR_KEY_TYPE] = "KEY_TYPE",
    [ATTR_VALUE_LEN] = "VALUE_LEN",
};

enum {
    GUARDED = ATTR_BIT(ATTR_TOKEN) | ATTR_BIT(ATTR_PRIVATE) | ATTR_BIT(ATTR_SENSITIVE) |
              ATTR_BIT(ATTR_ALWAYS_SENSITIVE) | ATTR_BIT(ATTR_NEVER_EXTRACTABLE) |
              ATTR_BIT(ATTR_LOCAL),
    USAGES = ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT) | ATTR_BIT(ATTR_SIGN) |
             ATTR_BIT(ATTR_VERIFY) | ATTR_BIT(ATTR_WRAP) | ATTR_BIT(ATTR_UNWRAP) |
             ATTR_BIT(ATTR_DERIVE) | ATTR_BIT(ATTR_SIGN_RECOVER),
    ALL = ATTR_BIT(ATTR_COUNT) - 1
};

/* What PKCS#11 (2.40, 4.9 and 4.10) gives to one class of keys alone, and tokens mix up. */
enum {
    SECRET_ONLY = ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_VERIFY) | ATTR_BIT(ATTR_WRAP),
    PRIVATE_ONLY = ATTR_BIT(ATTR_SIGN_RECOVER)
};

static uint32_t class_bits(enum key_class of)
{
    return ALL & ~(uint32_t)(of == KEY_CLASS_PRIVATE ? SECRET_ONLY : PRIVATE_ONLY);
}

bool key_class_has(enum key_class of, enum key_attribute attribute)
{
    return (class_bits(of) & ATTR_BIT(attribute)) != 0;
}

static const struct {
    enum scheme scheme;
    size_t role;
    struct key_demand demand;
} demands[] = {
    {SCHEME_AES_GCM, 0, {KEY_TYPE_AES, 32, 32, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT)}},
    {SCHEME_HMAC_DERIVE, 0, {KEY_TYPE_HMAC, 32, 32, ATTR_BIT(ATTR_SIGN)}},
    {SCHEME_AES_CBC_HMAC,
     0,
     {KEY_TYPE_AES, 32, 32, ATTR_BIT(ATTR_ENCRYPT) | ATTR_BIT(ATTR_DECRYPT)}},
    {SCHEME_AES_CBC_HMAC, 1, {KEY_TYPE_HMAC, 32, 32, ATTR_BIT(ATTR_SIGN)}},
    {SCHEME_RSA_OAEP_SIGN, 0, {KEY_TYPE_RSA, 256, 384, ATTR_BIT(ATTR_DECRYPT)}},
    {SCHEME_RSA_OAEP_SIGN, 1, {KEY_TYPE_EC, 32, 32, ATTR_BIT(ATTR_SIGN)}},
    {SCHEME_RSA_OAEP_SIGN, 1, {KEY_TYPE_RSA, 256, 384, ATTR_BIT(ATTR_SIGN)}},
};

enum { DEMANDS = sizeof demands / sizeof *demands };

enum key_class key_type_class(enum key_type type)
{
    return type == KEY_TYPE_RSA || type == KEY_TYPE_EC ? KEY_CLASS_PRIVATE : KEY_CLASS_SECRET;
}

const struct key_demand *key_demand(enum scheme scheme, size_t role, size_t alternative)
{
    for (size_t i = 0; i < DEMANDS; i++)
        if (demands[i].scheme == scheme && demands[i].role == role && alternative-- == 0)
            return &demands[i].demand;
    return NULL;
}

enum key_class key_role_class(enum scheme scheme, size_t role)
{
    const struct key_demand *demand = key_demand(scheme, role, 0);
    return demand ? key_type_class(demand->type) : KEY_CLASS_SECRET;
}

enum scheme key_type_scheme(enum key_type type)
{
    for (size_t i = 0; i < DEMANDS; i++)
        if (demands[i].demand.type == type && scheme_roles(demands[i].scheme) == 1)
            return demands[i].scheme;
    return SCHEME_AES_GCM;
}

const char *key_attribute_name(enum key_attribute attribute)
{
    return (unsigned)attribute < ATTR_BITS ? names[attribute] : "unknown";
}

bool key_attributes_public(const struct key_attributes *attributes)
{
    return (attributes->known & ~attributes->value & ATTR_BIT(ATTR_PRIVATE)) != 0;
}

/* What is demanded of a key of its type, or else of the preferred one. */
static const struct key_demand *demand_for(enum scheme scheme, size_t role, enum key_type type)
{
    const struct key_demand *demand;
    for (size_t i = 0; (demand = key_demand(scheme, role, i)); i++)
        if (demand->type == type)
            return demand;
    return key_demand(scheme, role, 0);
}

uint32_t key_attributes_wrong(enum scheme scheme, size_t role,
                              const struct key_attributes *attributes)
{
    const struct key_demand *demand = demand_for(scheme, role, attributes->type);
    if (!demand)
        return ALL | ATTR_BIT(ATTR_KEY_TYPE);
    uint32_t wanted = GUARDED | demand->usages;
    uint32_t wrong = ((attributes->value ^ wanted) | ~attributes->known) & ALL;
    wrong &= class_bits(key_type_class(demand->type));
    if (attributes->type != demand->type)
        wrong |= ATTR_BIT(ATTR_KEY_TYPE);
    if (attributes->length < demand->length_min || attributes->length > demand->length_max)
        wrong |= ATTR_BIT(ATTR_VALUE_LEN);
    return wrong & ~attributes->excused;
}

uint32_t key_attributes_waivable(enum scheme scheme, uint32_t waivers)
{
    const struct key_demand *demand = key_demand(scheme, 0, 0);
    uint32_t bits = 0;
    if ((waivers & WAIVE_LOCAL) != 0)
        bits |= ATTR_BIT(ATTR_LOCAL);
    if ((waivers & WAIVE_USAGE) != 0) /* excess ones: what the scheme needs it must do */
        bits |= USAGES & class_bits(KEY_CLASS_SECRET) & ~(demand ? demand->usages : 0);
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
