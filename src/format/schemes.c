/* SPDX-License-Identifier: Apache-2.0 */
#include "schemes.h"

static const struct row {
    const char *name;
    const char *roles[KEY_ROLES_MAX]; /* of at most 6 letters; none where the KEK is one object */
    enum scheme scheme;
    bool wears_out; /* random IVs of 96 bits under the KEK itself (NIST SP 800-38D, 8.3) */
} rows[] = {
    /* in order of preference */
    {"aes-gcm", {NULL}, SCHEME_AES_GCM, true},
    {"hmac-derive", {NULL}, SCHEME_HMAC_DERIVE, false}, /* a key of its own for each message */
    {"aes-cbc-hmac", {"cipher", "mac"}, SCHEME_AES_CBC_HMAC, false},
    {"rsa-oaep-sign", {"unwrap", "sign"}, SCHEME_RSA_OAEP_SIGN, false},
};

_Static_assert(sizeof rows / sizeof *rows == SCHEMES, "one row a scheme");

static const struct row *row_of(enum scheme scheme)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (rows[i].scheme == scheme)
            return &rows[i];
    return NULL;
}

enum scheme scheme_by_preference(size_t i)
{
    return i < SCHEMES ? rows[i].scheme : SCHEME_NONE;
}

const char *scheme_name(enum scheme scheme)
{
    const struct row *row = row_of(scheme);
    return row ? row->name : NULL;
}

enum scheme scheme_from_name(struct bytes name)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (bytes_equal(bytes_of_string(rows[i].name), name))
            return rows[i].scheme;
    return SCHEME_NONE;
}

bool scheme_wears_out(enum scheme scheme)
{
    const struct row *row = row_of(scheme);
    return !row || row->wears_out;
}

size_t scheme_roles(enum scheme scheme)
{
    const struct row *row = row_of(scheme);
    size_t n = 0;
    while (row && n < KEY_ROLES_MAX && row->roles[n])
        n++;
    return n > 0 ? n : 1;
}

const char *scheme_role_name(enum scheme scheme, size_t role)
{
    const struct row *row = row_of(scheme);
    return row && role < KEY_ROLES_MAX ? row->roles[role] : NULL;
}
