/* SPDX-License-Identifier: Apache-2.0 */
#include "token_uri.h"

#include <p11-kit/uri.h>
#include <string.h>

/* RFC 7512, 2.3 and 2.4. p11-kit skips what it does not know; a misspelt attribute would then
 * match another token, so each name is checked here first. */
enum use { USE_TOKEN, USE_FILTER, USE_OBJECT };

static const struct attribute {
    const char *name;
    enum use use;
} attributes[] = {
    {"token", USE_TOKEN},
    {"serial", USE_TOKEN},
    {"model", USE_TOKEN},
    {"manufacturer", USE_TOKEN},
    {"slot-id", USE_FILTER},
    {"slot-description", USE_FILTER},
    {"slot-manufacturer", USE_FILTER},
    {"library-description", USE_FILTER},
    {"library-manufacturer", USE_FILTER},
    {"library-version", USE_FILTER},
    {"object", USE_OBJECT},
    {"id", USE_OBJECT},
    {"type", USE_OBJECT},
};

enum { N_ATTRIBUTES = sizeof attributes / sizeof attributes[0] };

static const struct {
    const char *name;
    const char *instead;
} queries[] = {
    {"pin-value", "the PIN never stands in this file; use token.pinSource"},
    {"pin-source", "use token.pinSource"},
    {"module-path", "use token.module"},
    {"module-name", "use token.module"},
};

static bool check_query(const char *query, struct complaint *complaint)
{
    size_t len = strcspn(query, "=&");
    for (size_t i = 0; i < sizeof queries / sizeof queries[0]; i++)
        if (strlen(queries[i].name) == len && memcmp(queries[i].name, query, len) == 0)
            return complain(complaint, "%s is not taken in the URI: %s", queries[i].name,
                            queries[i].instead);
    return complain(complaint, "unknown attribute after '?': none is taken there");
}

/* One path attribute, up to ';' or the end. seen has a bit for each row found so far. */
static bool check_attribute(const char *at, size_t len, unsigned *seen, struct complaint *complaint)
{
    const char *equals = memchr(at, '=', len);
    size_t name_len = equals ? (size_t)(equals - at) : len;
    for (unsigned i = 0; i < N_ATTRIBUTES; i++) {
        const char *name = attributes[i].name;
        if (strlen(name) != name_len || memcmp(name, at, name_len) != 0)
            continue;
        if (attributes[i].use == USE_OBJECT)
            return complain(complaint, "%s names an object; the URI must name a token only", name);
        if ((*seen & 1U << i) != 0)
            return complain(complaint, "%s is given twice", name);
        *seen |= 1U << i;
        return true;
    }
    return complain(complaint, "unknown attribute; the URI may have token, serial, model, "
                               "manufacturer, slot-id, slot-description, slot-manufacturer, "
                               "library-description, library-manufacturer and library-version");
}

static bool check_names(const char *path, struct complaint *complaint)
{
    unsigned seen = 0;
    while (*path && *path != '?') {
        size_t len = strcspn(path, ";?");
        if (!check_attribute(path, len, &seen, complaint))
            return false;
        path += len;
        if (*path == ';')
            path++;
    }
    for (unsigned i = 0; i < N_ATTRIBUTES && *path != '?'; i++)
        if ((seen & 1U << i) != 0 && attributes[i].use == USE_TOKEN)
            return true;
    if (*path == '?')
        return check_query(path + 1, complaint);
    return complain(complaint, "must name a token: by token, serial, model or manufacturer");
}

bool parse_token_uri(const char *text, const struct value_rule *rule, void *to, size_t size,
                     struct complaint *complaint)
{
    (void)rule;
    if (strncmp(text, "pkcs11:", 7) != 0)
        return complain(complaint, "must be a PKCS#11 URI, such as pkcs11:token=NAME");
    if (!check_names(text + 7, complaint))
        return false;
    P11KitUri *uri = p11_kit_uri_new();
    if (!uri)
        return complain(complaint, "out of memory");
    int result = p11_kit_uri_parse(text, P11_KIT_URI_FOR_TOKEN | P11_KIT_URI_FOR_MODULE, uri);
    bool known = result == P11_KIT_URI_OK && !p11_kit_uri_any_unrecognized(uri);
    p11_kit_uri_free(uri);
    if (!known)
        return complain(complaint, "not a well-formed PKCS#11 URI (RFC 7512)");
    if (strlen(text) >= size)
        return complain(complaint, "too long: at most %zu bytes", size - 1);
    memcpy(to, text, strlen(text) + 1);
    return true;
}
