/* SPDX-License-Identifier: Apache-2.0 */
#include "key_id.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

static const char label_domain[] = "p11-kms/";

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

struct err object_id_of_role(const struct object_id *first, enum scheme scheme, size_t role,
                             struct object_id *ret)
{
    static const char domain[] = "p11-kms/second/v1";
    const char *word = scheme_role_name(scheme, role);
    uint8_t input[sizeof domain + UUID_BYTES + KEY_LABEL_MAX], sum[EVP_MAX_MD_SIZE];
    struct writer w = writer_over(input, sizeof input);
    if (role == 0) {
        *ret = *first;
        return ERR_OK;
    }
    if (!word || first->len != UUID_BYTES)
        return err_make(ERR_INVALID, "object_id_of_role");
    put_bytes(&w, bytes_of(domain, sizeof domain));
    put_bytes(&w, object_id_bytes(first));
    put_bytes(&w, bytes_of_string(word));
    if (w.full || EVP_Digest(input, w.len, sum, NULL, EVP_sha256(), NULL) != 1)
        return err_make(ERR_INTERNAL, "EVP_Digest");
    uuid_at_time_of(first->data, sum);
    return object_id_from(bytes_of(sum, UUID_BYTES), ret);
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
    const char *role = scheme_role_name(label->scheme, label->role);
    if (!ring_name_valid(label->ring) || !scheme || label->role >= scheme_roles(label->scheme) ||
        (unsigned)label->state >= KEY_STATES || label->generation < 1 ||
        label->generation > GENERATION_MAX)
        return err_make(ERR_INVALID, "key_label_format");
    (void)snprintf(text, KEY_LABEL_MAX + 1, "%s%s/%u/%s%s%s/%s", label_domain, label->ring,
                   label->generation, scheme, role ? "/" : "", role ? role : "",
                   state_names[label->state]);
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

/* Reads the word of a role where the scheme has roles. */
static bool take_role(struct bytes *rest, enum scheme scheme, uint32_t *ret)
{
    struct bytes word;
    if (!scheme_role_name(scheme, 0))
        return true;
    word = next_field(rest);
    while (*ret < scheme_roles(scheme) &&
           !bytes_equal(bytes_of_string(scheme_role_name(scheme, *ret)), word))
        (*ret)++;
    return *ret < scheme_roles(scheme);
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
    if (!take_role(&rest, label.scheme, &label.role) ||
        !state_from_name(next_field(&rest), &label.state))
        return bad;
    TRY(key_label_format(&label, canonical));
    if (!bytes_equal(text, bytes_of_string(canonical)))
        return bad;
    *ret = label;
    return ERR_OK;
}
