/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_key.h"

#include "cleanup.h"
#include "p11_attribute.h"

#include <string.h>

/* Handles fetched by one C_FindObjects. */
enum { FIND_BATCH = 256 };

/* The longest RSA modulus that is told from a longer one, in bytes. */
enum { MODULUS_MAX = 1024 };

static struct err end_find(const struct p11_session *s, struct err e)
{
    struct err ended = P11_CALL(s->module, C_FindObjectsFinal, s->handle);
    return err_is(e) ? e : ended;
}

static CK_OBJECT_CLASS class_of(enum key_class of)
{
    return of == KEY_CLASS_PRIVATE ? CKO_PRIVATE_KEY : CKO_SECRET_KEY;
}

static struct err collect(const struct p11_session *s, unsigned long **handles, size_t *count)
{
    CK_ULONG got;
    do {
        unsigned long *larger = reallocarray(*handles, *count + FIND_BATCH, sizeof **handles);
        if (!larger)
            return err_make(ERR_EXHAUSTED, "p11_key_find_all");
        *handles = larger;
        got = 0;
        memset(larger + *count, 0, FIND_BATCH * sizeof *larger); /* for one that says more */
        TRY(P11_CALL(s->module, C_FindObjects, s->handle, larger + *count, FIND_BATCH, &got));
        if (got > FIND_BATCH)
            return p11_result(CKR_GENERAL_ERROR, "C_FindObjects");
        *count += got;
    } while (got > 0);
    return ERR_OK;
}

/* Handles of all objects that have these attributes, in memory that the caller frees. */
static struct err find_handles(const struct p11_session *s, CK_ATTRIBUTE *wanted, CK_ULONG n,
                               unsigned long **ret_handles, size_t *ret_count)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t count = 0;
    TRY(P11_CALL(s->module, C_FindObjectsInit, s->handle, wanted, n));
    TRY(end_find(s, collect(s, &handles, &count)));
    *ret_handles = TAKE_PTR(handles);
    *ret_count = count;
    return ERR_OK;
}

/* A token that does not tell it says nothing against the key. */
static struct err read_public(const struct p11_session *s, CK_OBJECT_HANDLE handle, bool *ret)
{
    CK_BBOOL private = CK_TRUE;
    CK_ATTRIBUTE a = {CKA_PRIVATE, &private, sizeof private};
    TRY(p11_attribute_read(s, handle, &a));
    *ret = a.ulValueLen == sizeof private && private == CK_FALSE;
    return ERR_OK;
}

/* Of several. Whoever has no PIN can put objects with a key's CKA_ID beside it, but public ones
 * alone. CKA_PRIVATE is no part of the search: not every token finds by it what it tells. */
static struct err find_private(const struct p11_session *s, CK_ATTRIBUTE *wanted, CK_ULONG n,
                               unsigned long *ret_handle)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t count = 0, kept = 0;
    TRY(find_handles(s, wanted, n, &handles, &count));
    for (size_t i = 0; i < count; i++) {
        bool public = false;
        TRY(read_public(s, handles[i], &public));
        if (!public)
            handles[kept++] = handles[i];
    }
    if (count == 0)
        return err_make(ERR_NOT_FOUND, "CKA_ID");
    if (kept > 1)
        return err_make(ERR_TOKEN, "two keys with one CKA_ID");
    *ret_handle = handles[0]; /* where none was kept, the first of the public ones */
    return ERR_OK;
}

struct err p11_key_find(const struct p11_session *s, enum key_class of, const struct object_id *id,
                        unsigned long *ret_handle)
{
    CK_OBJECT_CLASS class = class_of(of);
    CK_BBOOL yes = CK_TRUE;
    CK_OBJECT_HANDLE found[2] = {CK_INVALID_HANDLE, CK_INVALID_HANDLE};
    CK_ULONG n = 0;
    struct object_id copy = *id; /* CK_ATTRIBUTE takes no const */
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_TOKEN, &yes, sizeof yes},
                             {CKA_ID, copy.data, copy.len}};
    TRY(P11_CALL(s->module, C_FindObjectsInit, s->handle, wanted, sizeof wanted / sizeof *wanted));
    TRY(end_find(s, P11_CALL(s->module, C_FindObjects, s->handle, found, 2, &n)));
    if (n == 0)
        return err_make(ERR_NOT_FOUND, "CKA_ID");
    if (n > 1)
        return find_private(s, wanted, sizeof wanted / sizeof *wanted, ret_handle);
    *ret_handle = found[0];
    return ERR_OK;
}

struct err p11_key_find_all(const struct p11_session *s, enum key_class of,
                            unsigned long **ret_handles, size_t *ret_count)
{
    CK_OBJECT_CLASS class = class_of(of);
    CK_BBOOL yes = CK_TRUE;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class}, {CKA_TOKEN, &yes, sizeof yes}};
    return find_handles(s, wanted, sizeof wanted / sizeof *wanted, ret_handles, ret_count);
}

static const CK_ATTRIBUTE_TYPE flag_types[ATTR_COUNT] = {
    [ATTR_TOKEN] = CKA_TOKEN,
    [ATTR_PRIVATE] = CKA_PRIVATE,
    [ATTR_SENSITIVE] = CKA_SENSITIVE,
    [ATTR_ALWAYS_SENSITIVE] = CKA_ALWAYS_SENSITIVE,
    [ATTR_EXTRACTABLE] = CKA_EXTRACTABLE,
    [ATTR_NEVER_EXTRACTABLE] = CKA_NEVER_EXTRACTABLE,
    [ATTR_LOCAL] = CKA_LOCAL,
    [ATTR_ENCRYPT] = CKA_ENCRYPT,
    [ATTR_DECRYPT] = CKA_DECRYPT,
    [ATTR_SIGN] = CKA_SIGN,
    [ATTR_VERIFY] = CKA_VERIFY,
    [ATTR_WRAP] = CKA_WRAP,
    [ATTR_UNWRAP] = CKA_UNWRAP,
    [ATTR_DERIVE] = CKA_DERIVE,
    [ATTR_SIGN_RECOVER] = CKA_SIGN_RECOVER,
};

enum { ATTRIBUTES_MAX = ATTR_COUNT + 4 };

struct readout {
    CK_BBOOL flags[ATTR_COUNT];
    uint8_t id[OBJECT_ID_MAX];
    char label[P11_LABEL_MAX];
    CK_KEY_TYPE type;
    CK_ULONG length;
    CK_ATTRIBUTE attributes[ATTRIBUTES_MAX];
    CK_ULONG n;
};

static void want(struct readout *r, CK_ATTRIBUTE_TYPE type, void *value, size_t size)
{
    r->attributes[r->n++] = (CK_ATTRIBUTE){type, value, size};
}

static void prepare(struct readout *r, enum key_class of)
{
    memset(r, 0, sizeof *r);
    for (unsigned i = 0; i < ATTR_COUNT; i++)
        if (key_class_has(of, i)) /* asked for another, many tokens tell nothing at all */
            want(r, flag_types[i], &r->flags[i], sizeof r->flags[i]);
    want(r, CKA_ID, r->id, sizeof r->id);
    want(r, CKA_LABEL, r->label, sizeof r->label);
    want(r, CKA_KEY_TYPE, &r->type, sizeof r->type);
    if (of == KEY_CLASS_SECRET)
        want(r, CKA_VALUE_LEN, &r->length, sizeof r->length);
}

/* Some tokens stop at the first attribute they do not tell: then each is asked for by itself. */
static struct err read_singly(const struct p11_session *s, CK_OBJECT_HANDLE handle,
                              enum key_class of, struct readout *r)
{
    prepare(r, of);
    for (CK_ULONG i = 0; i < r->n; i++)
        TRY(p11_attribute_read(s, handle, &r->attributes[i]));
    return ERR_OK;
}

/* NULL where the token does not tell it. */
static const CK_ATTRIBUTE *told(const struct readout *r, CK_ATTRIBUTE_TYPE type, size_t max)
{
    for (CK_ULONG i = 0; i < r->n; i++)
        if (r->attributes[i].type == type)
            return r->attributes[i].ulValueLen <= max ? &r->attributes[i] : NULL;
    return NULL;
}

static bool told_whole(const struct readout *r, CK_ATTRIBUTE_TYPE type, size_t size)
{
    const CK_ATTRIBUTE *a = told(r, type, size);
    return a && a->ulValueLen == size;
}

static enum key_type type_of(CK_KEY_TYPE type)
{
    switch (type) {
    case CKK_AES:
        return KEY_TYPE_AES;
    case CKK_GENERIC_SECRET:
    case CKK_SHA256_HMAC: /* what tpm2_ptool makes */
        return KEY_TYPE_HMAC;
    case CKK_RSA:
        return KEY_TYPE_RSA;
    case CKK_EC:
        return KEY_TYPE_EC; /* unless its curve is another: read_pair() */
    default:
        return KEY_TYPE_OTHER;
    }
}

/* What nobody can tell from such a token. A length that is told counts. */
static uint32_t excused(uint32_t quirks, const struct key_attributes *attributes)
{
    bool untold = quirks_have(quirks, QUIRK_HMAC_LENGTH_UNTOLD) &&
                  attributes->type == KEY_TYPE_HMAC && attributes->length == 0;
    return untold ? ATTR_BIT(ATTR_VALUE_LEN) : 0;
}

static void interpret(const struct readout *r, CK_OBJECT_HANDLE handle, struct p11_key *key)
{
    const CK_ATTRIBUTE *id = told(r, CKA_ID, sizeof r->id);
    const CK_ATTRIBUTE *label = told(r, CKA_LABEL, sizeof r->label);
    *key = (struct p11_key){.handle = handle};
    for (unsigned i = 0; i < ATTR_COUNT; i++) {
        if (!told_whole(r, flag_types[i], sizeof r->flags[i]))
            continue;
        key->attributes.known |= ATTR_BIT(i);
        if (r->flags[i] != CK_FALSE)
            key->attributes.value |= ATTR_BIT(i);
    }
    if (id) {
        key->id.len = (uint8_t)id->ulValueLen;
        memcpy(key->id.data, r->id, id->ulValueLen);
    }
    if (label &&
        !bytes_to_string(bytes_of(r->label, label->ulValueLen), key->label, sizeof key->label))
        key->label[0] = '\0';
    if (told_whole(r, CKA_KEY_TYPE, sizeof r->type))
        key->attributes.type = type_of(r->type);
    if (told_whole(r, CKA_VALUE_LEN, sizeof r->length) && r->length <= UINT32_MAX)
        key->attributes.length = (uint32_t)r->length;
}

/* What only private keys of its type have. */
static struct err read_pair(const struct p11_session *s, struct p11_key *key)
{
    uint8_t value[MODULUS_MAX];
    bool rsa = key->attributes.type == KEY_TYPE_RSA;
    CK_ATTRIBUTE a = {rsa ? CKA_MODULUS : CKA_EC_PARAMS, value, sizeof value};
    if (!rsa && key->attributes.type != KEY_TYPE_EC)
        return ERR_OK;
    TRY(p11_attribute_read(s, key->handle, &a));
    bool known = a.ulValueLen <= sizeof value;
    if (rsa)
        key->attributes.length = known ? (uint32_t)a.ulValueLen : 0;
    else if (known &&
             bytes_equal(bytes_of(value, a.ulValueLen), bytes_of(p11_p256, sizeof p11_p256)))
        key->attributes.length = 32;
    else
        key->attributes.type = KEY_TYPE_OTHER;
    return ERR_OK;
}

struct err p11_key_read(const struct p11_session *s, enum key_class of, unsigned long handle,
                        struct p11_key *ret)
{
    struct readout r;
    prepare(&r, of);
    struct err e = P11_CALL(s->module, C_GetAttributeValue, s->handle, handle, r.attributes, r.n);
    if (err_is(e) && !p11_attribute_untold(e.native))
        return e;
    if (err_is(e))
        TRY(read_singly(s, handle, of, &r));
    interpret(&r, handle, ret);
    ret->attributes.excused = excused(s->quirks, &ret->attributes);
    return of == KEY_CLASS_PRIVATE ? read_pair(s, ret) : ERR_OK;
}

struct err p11_key_check_id(const struct p11_session *s, unsigned long handle,
                            const struct object_id *id)
{
    uint8_t data[OBJECT_ID_MAX];
    CK_ATTRIBUTE attribute = {CKA_ID, data, sizeof data};
    TRY(p11_attribute_read(s, handle, &attribute));
    if (attribute.ulValueLen > sizeof data ||
        !bytes_equal(bytes_of(data, attribute.ulValueLen), object_id_bytes(id)))
        return p11_result(CKR_OBJECT_HANDLE_INVALID, "CKA_ID");
    return ERR_OK;
}

/* What makes a key of that type. False: nothing does. */
static bool generation_of(enum key_type type, CK_MECHANISM *mechanism, CK_KEY_TYPE *ret)
{
    switch (type) {
    case KEY_TYPE_AES:
        *mechanism = (CK_MECHANISM){CKM_AES_KEY_GEN, NULL, 0};
        *ret = CKK_AES;
        return true;
    case KEY_TYPE_HMAC: /* SoftHSM and openCryptoki make no CKK_SHA256_HMAC */
        *mechanism = (CK_MECHANISM){CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
        *ret = CKK_GENERIC_SECRET;
        return true;
    case KEY_TYPE_RSA: /* pairs: another function makes them */
    case KEY_TYPE_EC:
    case KEY_TYPE_OTHER:
        break;
    }
    return false;
}

static const CK_BBOOL truth[] = {CK_FALSE, CK_TRUE};

/* CK_ATTRIBUTE takes no const, though the module only reads a template. */
static CK_ATTRIBUTE flag(CK_ATTRIBUTE_TYPE type, bool value)
{
    return (CK_ATTRIBUTE){type, (void *)(uintptr_t)&truth[value], sizeof truth[value]};
}

struct err p11_key_generate(const struct p11_session *s, const struct key_demand *demand,
                            const struct object_id *id, const char *label,
                            unsigned long *ret_handle)
{
    CK_OBJECT_CLASS class = CKO_SECRET_KEY;
    CK_KEY_TYPE type;
    CK_ULONG length = demand->length_min;
    CK_MECHANISM mechanism;
    CK_OBJECT_HANDLE handle = CK_INVALID_HANDLE;
    struct object_id id_copy = *id;
    char label_copy[P11_LABEL_MAX + 1];
    if (!generation_of(demand->type, &mechanism, &type) ||
        !bytes_to_string(bytes_of_string(label), label_copy, sizeof label_copy))
        return err_make(ERR_INTERNAL, "p11_key_generate");
    /* No CKA_COPYABLE: NSS and openCryptoki refuse it. The usages are all named, since SoftHSM
     * and openCryptoki grant those that are not. */
    CK_ATTRIBUTE template[9 + ATTR_DERIVE - ATTR_ENCRYPT + 1] = {
        {CKA_CLASS, &class, sizeof class},
        {CKA_KEY_TYPE, &type, sizeof type},
        {CKA_VALUE_LEN, &length, sizeof length},
        {CKA_ID, id_copy.data, id_copy.len},
        {CKA_LABEL, label_copy, strlen(label)},
        flag(CKA_TOKEN, true),
        flag(CKA_PRIVATE, true),
        flag(CKA_SENSITIVE, true),
        flag(CKA_EXTRACTABLE, false),
    };
    CK_ULONG n = 9;
    for (unsigned i = ATTR_ENCRYPT; i <= ATTR_DERIVE; i++)
        template[n++] = flag(flag_types[i], (demand->usages & ATTR_BIT(i)) != 0);
    TRY(P11_CALL(s->module, C_GenerateKey, s->handle, &mechanism, template, n, &handle));
    *ret_handle = handle;
    return ERR_OK;
}

struct err p11_key_relabel(const struct p11_session *s, unsigned long handle, const char *label)
{
    char copy[P11_LABEL_MAX + 1];
    if (!bytes_to_string(bytes_of_string(label), copy, sizeof copy))
        return err_make(ERR_INTERNAL, "p11_key_relabel");
    CK_ATTRIBUTE attribute = {CKA_LABEL, copy, strlen(copy)};
    return P11_CALL(s->module, C_SetAttributeValue, s->handle, handle, &attribute, 1);
}

struct err p11_key_destroy(const struct p11_session *s, unsigned long handle)
{
    return P11_CALL(s->module, C_DestroyObject, s->handle, handle);
}

struct err p11_key_unmake(const struct p11_session *s, enum key_class of,
                          const struct object_id *id, const char *label)
{
    struct p11_key key;
    unsigned long handle;
    struct err e = p11_key_find(s, of, id, &handle);
    if (e.code == ERR_NOT_FOUND)
        return ERR_OK;
    TRY(e);
    TRY(p11_key_read(s, of, handle, &key));
    if (!object_id_equal(&key.id, id) || strcmp(key.label, label) != 0)
        return err_make(ERR_REFUSED, "p11_key_unmake");
    return p11_key_destroy(s, handle);
}
