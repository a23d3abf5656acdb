/* SPDX-License-Identifier: Apache-2.0 */
#include "key_id.h"

#include <stdio.h>
#include <string.h>

static const char label_domain[] = "p11-kms/";

static const struct {
    enum scheme scheme;
    const char *name;
    bool wears_out; /* random IVs of 96 bits under the KEK itself (NIST SP 800-38D, 8.3) */
} schemes[] = {
    /* in order of preference */
    {SCHEME_AES_GCM, "aes-gcm", true},
    {SCHEME_HMAC_DERIVE, "hmac-derive", false}, /* a key of its own for each message */
};

_Static_assert(sizeof schemes / sizeof *schemes == SCHEMES, "one row a scheme");

static const char *const state_names[] = {
    [KEY_PRE_ACTIVE] = "pre-active",
    [KEY_ACTIVE] = "active",
    [KEY_DEACTIVATED] = "deactivated",
    [KEY_COMPROMISED] = "compromised",
};

enum { KEY_STATES = sizeof state_names / sizeof *state_names };

struct err object_id_from(struct bytes raw, struct object_id *ret)
{
    if (raw.len == 0 || raw.len > OBJECT_ID_MAX)
        return err_make(ERR_INVALID, "CKA_ID length");
    *ret = (struct object_id){.len = (uint8_t)raw.len};
    memcpy(ret->data, raw.data, raw.len);
    return ERR_OK;
}

struct bytes object_id_bytes(const struct object_id *id)
{
    return bytes_of(id->data, id->len);
}

bool object_id_equal(const struct object_id *a, const struct object_id *b)
{
    return bytes_equal(object_id_bytes(a), object_id_bytes(b));
}

bool ring_name_valid(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len >= 1 && len <= RING_NAME_MAX && name[len] == '\0';
}

struct err key_id_make(const char *ring, const struct object_id *id, struct key_id *ret)
{
    char uuid[UUID_TEXT + 1];
    if (!ring_name_valid(ring) || id->len != UUID_BYTES)
        return err_make(ERR_INVALID, "key_id_make");
    uuid_format(id->data, uuid);
    (void)snprintf(ret->text, sizeof ret->text, "%s.%s", ring, uuid);
    return ERR_OK;
}

struct err key_id_make_external(const char *ring, const struct object_id *id, struct key_id *ret)
{
    char hex[2 * OBJECT_ID_MAX + 1];
    if (!ring_name_valid(ring) || id->len == 0 ||
        err_is(hex_encode(object_id_bytes(id), hex, sizeof hex)))
        return err_make(ERR_INVALID, "key_id_make_external");
    (void)snprintf(ret->text, sizeof ret->text, "%s.%s", ring, hex);
    return ERR_OK;
}

/* Lower-case hex alone: one key has one name. */
static bool parse_hex(struct bytes text, struct object_id *ret)
{
    char hex[2 * OBJECT_ID_MAX + 1];
    uint8_t raw[OBJECT_ID_MAX];
    size_t len;
    return bytes_to_string(text, hex, sizeof hex) && hex[strspn(hex, "0123456789abcdef")] == '\0' &&
           !err_is(hex_decode(hex, raw, sizeof raw, &len)) &&
           !err_is(object_id_from(bytes_of(raw, len), ret));
}

struct err key_id_parse(struct bytes text, char ret_ring[static RING_NAME_MAX + 1],
                        struct object_id *ret_id)
{
    struct err bad = err_make(ERR_INVALID, "key_id");
    char ring[RING_NAME_MAX + 1];
    uint8_t uuid[UUID_BYTES];
    struct object_id id;
    const uint8_t *dot = text.len > 0 ? memchr(text.data, '.', text.len) : NULL;
    if (!dot)
        return bad;
    size_t ring_len = (size_t)(dot - text.data);
    if (!bytes_to_string(bytes_of(text.data, ring_len), ring, sizeof ring) ||
        !ring_name_valid(ring))
        return bad;
    struct bytes name = bytes_of(dot + 1, text.len - ring_len - 1);
    if (!err_is(uuid_parse(name, uuid)))
        TRY(object_id_from(bytes_of(uuid, sizeof uuid), &id));
    else if (!parse_hex(name, &id))
        return bad;
    memcpy(ret_ring, ring, sizeof ring);
    *ret_id = id;
    return ERR_OK;
}

enum scheme scheme_by_preference(size_t i)
{
    return i < SCHEMES ? schemes[i].scheme : SCHEME_NONE;
}

const char *scheme_name(enum scheme scheme)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (schemes[i].scheme == scheme)
            return schemes[i].name;
    return NULL;
}

enum scheme scheme_from_name(struct bytes name)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (bytes_equal(bytes_of_string(schemes[i].name), name))
            return schemes[i].scheme;
    return SCHEME_NONE;
}

bool scheme_wears_out(enum scheme scheme)
{
    for (size_t i = 0; i < SCHEMES; i++)
        if (schemes[i].scheme == scheme)
            return schemes[i].wears_out;
    return true;
}

const char *key_state_name(enum key_state state)
{
    return (unsigned)state < KEY_STATES ? state_names[state] : "unknown";
}

struct err key_label_prefix(const char *ring, char *ret, size_t size)
{
    if (!ring_name_valid(ring) || size < sizeof label_domain + strlen(ring) + 1)
        return err_make(ERR_INVALID, "key_label_prefix");
    (void)snprintf(ret, size, "%s%s/", label_domain, ring);
    return ERR_OK;
}

struct err key_label_format(const struct key_label *label, char text[static KEY_LABEL_MAX + 1])
{
    const char *scheme = scheme_name(label->scheme);
    if (!ring_name_valid(label->ring) || !scheme || (unsigned)label->state >= KEY_STATES ||
        label->generation < 1 || label->generation > GENERATION_MAX)
        return err_make(ERR_INVALID, "key_label_format");
    (void)snprintf(text, KEY_LABEL_MAX + 1, "%s%s/%u/%s/%s", label_domain, label->ring,
                   label->generation, scheme, state_names[label->state]);
    return ERR_OK;
}

/* Cuts the next field off, up to a slash or the end. */
static struct bytes next_field(struct bytes *rest)
{
    const uint8_t *slash = rest->len > 0 ? memchr(rest->data, '/', rest->len) : NULL;
    size_t len = slash ? (size_t)(slash - rest->data) : rest->len;
    struct bytes field = bytes_of(rest->data, len);
    size_t used = slash ? len + 1 : len;
    if (used > 0)
        *rest = bytes_of(rest->data + used, rest->len - used);
    return field;
}

static bool state_from_name(struct bytes name, enum key_state *ret)
{
    for (unsigned i = 0; i < KEY_STATES; i++) {
        if (bytes_equal(bytes_of_string(state_names[i]), name)) {
            *ret = (enum key_state)i;
            return true;
        }
    }
    return false;
}

struct err key_label_parse(struct bytes text, struct key_label *ret)
{
    struct err bad = err_make(ERR_INVALID, "key label");
    struct key_label label = {.generation = 0};
    char number[8], canonical[KEY_LABEL_MAX + 1];
    uint64_t generation;
    struct bytes rest = text;
    (void)next_field(&rest); /* the domain: checked with everything else, at the end */
    if (!bytes_to_string(next_field(&rest), label.ring, sizeof label.ring) ||
        !bytes_to_string(next_field(&rest), number, sizeof number) ||
        err_is(parse_u64(number, 1, GENERATION_MAX, &generation)))
        return bad;
    label.generation = (uint32_t)generation;
    label.scheme = scheme_from_name(next_field(&rest));
    if (!state_from_name(next_field(&rest), &label.state))
        return bad;
    TRY(key_label_format(&label, canonical));
    if (!bytes_equal(text, bytes_of_string(canonical)))
        return bad;
    *ret = label;
    return ERR_OK;
}
