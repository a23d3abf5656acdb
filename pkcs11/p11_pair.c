/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_pair.h"

#include "p11_attribute.h"

#include <string.h>

static const uint8_t f4[] = {0x01, 0x00, 0x01};
static const CK_BBOOL truth[] = {CK_FALSE, CK_TRUE};

enum { P256_BITS = 256 };

/* --- making ------------------------------------------------------------------------------ */

/* The most bits that the token's mechanism takes, 0 where it has none. */
static unsigned long most_bits(const struct p11_session *s, CK_MECHANISM_TYPE type)
{
    CK_MECHANISM_INFO info = {.ulMaxKeySize = 0};
    struct err e = P11_CALL(s->module, C_GetMechanismInfo, s->slot, type, &info);
    return err_is(e) ? 0 : info.ulMaxKeySize;
}

static CK_ULONG rsa_bits(const struct p11_session *s, const struct key_demand *demand)
{
    bool ec =
        most_bits(s, CKM_EC_KEY_PAIR_GEN) >= P256_BITS && most_bits(s, CKM_ECDSA) >= P256_BITS;
    bool most = ec && most_bits(s, CKM_RSA_PKCS_KEY_PAIR_GEN) >= demand->length_max * 8UL;
    return (most ? demand->length_max : demand->length_min) * 8UL;
}

/* One half's template. CK_ATTRIBUTE takes no const, though the module only reads it. */
struct half {
    CK_ATTRIBUTE attributes[20];
    CK_ULONG n;
};

static void add(struct half *h, CK_ATTRIBUTE_TYPE type, const void *value, size_t len)
{
    h->attributes[h->n++] = (CK_ATTRIBUTE){type, (void *)(uintptr_t)value, len};
}

static void add_flag(struct half *h, CK_ATTRIBUTE_TYPE type, bool value)
{
    add(h, type, &truth[value], sizeof truth[value]);
}

/* What both halves say of themselves, and what goes into them: outlives the templates. */
struct making {
    CK_MECHANISM mechanism;
    CK_KEY_TYPE type;
    CK_ULONG bits;
    CK_OBJECT_CLASS private_class, public_class;
    const struct key_demand *demand;
    const struct object_id *id;
    const char *label;
};

static void add_common(struct half *h, const struct making *m, const CK_OBJECT_CLASS *class)
{
    add(h, CKA_CLASS, class, sizeof *class);
    add(h, CKA_KEY_TYPE, &m->type, sizeof m->type);
    add_flag(h, CKA_TOKEN, true);
    add(h, CKA_ID, m->id->data, m->id->len);
    add(h, CKA_LABEL, m->label, strlen(m->label));
}

/* All usages are named, since most tokens grant some of those that are not. */
static struct half private_half(const struct making *m)
{
    struct half h = {.n = 0};
    add_common(&h, m, &m->private_class);
    add_flag(&h, CKA_PRIVATE, true);
    add_flag(&h, CKA_SENSITIVE, true);
    add_flag(&h, CKA_EXTRACTABLE, false);
    add_flag(&h, CKA_DECRYPT, (m->demand->usages & ATTR_BIT(ATTR_DECRYPT)) != 0);
    add_flag(&h, CKA_SIGN, (m->demand->usages & ATTR_BIT(ATTR_SIGN)) != 0);
    add_flag(&h, CKA_SIGN_RECOVER, false);
    add_flag(&h, CKA_UNWRAP, false);
    add_flag(&h, CKA_DERIVE, false);
    return h;
}

static struct half public_half(const struct making *m, bool usages)
{
    struct half h = {.n = 0};
    add_common(&h, m, &m->public_class);
    add_flag(&h, CKA_PRIVATE, false);
    if (m->type == CKK_EC) {
        add(&h, CKA_EC_PARAMS, p11_p256, sizeof p11_p256);
    } else {
        add(&h, CKA_MODULUS_BITS, &m->bits, sizeof m->bits);
        add(&h, CKA_PUBLIC_EXPONENT, f4, sizeof f4);
    }
    if (!usages)
        return h;
    add_flag(&h, CKA_ENCRYPT, (m->demand->usages & ATTR_BIT(ATTR_DECRYPT)) != 0);
    add_flag(&h, CKA_VERIFY, (m->demand->usages & ATTR_BIT(ATTR_SIGN)) != 0);
    add_flag(&h, CKA_VERIFY_RECOVER, false);
    add_flag(&h, CKA_WRAP, false);
    add_flag(&h, CKA_DERIVE, false);
    return h;
}

static struct err generate(const struct p11_session *s, struct making *m, bool usages,
                           unsigned long *ret_handle)
{
    struct half public = public_half(m, usages), private = private_half(m);
    CK_OBJECT_HANDLE public_handle = CK_INVALID_HANDLE, handle = CK_INVALID_HANDLE;
    TRY(P11_CALL(s->module, C_GenerateKeyPair, s->handle, &m->mechanism, public.attributes,
                 public.n, private.attributes, private.n, &public_handle, &handle));
    *ret_handle = handle;
    return ERR_OK;
}

/* tpm2-pkcs11 makes up usages of the public half that are not those of any template, and then says
 * GENERAL_ERROR of ours. What the public half may do in the token is nothing to us. */
static bool may_be_the_usages(struct err e)
{
    return e.native == CKR_GENERAL_ERROR || e.native == CKR_TEMPLATE_INCONSISTENT ||
           e.native == CKR_ATTRIBUTE_TYPE_INVALID || e.native == CKR_ATTRIBUTE_VALUE_INVALID;
}

struct err p11_pair_generate(const struct p11_session *s, const struct key_demand *demand,
                             const struct object_id *id, const char *label,
                             unsigned long *ret_handle)
{
    bool ec = demand->type == KEY_TYPE_EC;
    struct making m = {.mechanism = {ec ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0},
                       .type = ec ? CKK_EC : CKK_RSA,
                       .bits = ec ? 0 : rsa_bits(s, demand),
                       .private_class = CKO_PRIVATE_KEY,
                       .public_class = CKO_PUBLIC_KEY,
                       .demand = demand,
                       .id = id,
                       .label = label};
    if (!ec && demand->type != KEY_TYPE_RSA)
        return err_make(ERR_INTERNAL, "p11_pair_generate");
    struct err e = generate(s, &m, true, ret_handle);
    if (err_is(e) && may_be_the_usages(e) && !err_is(p11_pair_unmake(s, id, label)))
        return generate(s, &m, false, ret_handle);
    return e;
}

/* --- reading ----------------------------------------------------------------------------- */

/* What the object has under that type, of no bytes where it tells nothing. */
static struct err read_one(const struct p11_session *s, unsigned long handle,
                           CK_ATTRIBUTE_TYPE type, void *memory, size_t size, struct bytes *ret)
{
    CK_ATTRIBUTE attribute = {type, memory, size};
    *ret = bytes_of(memory, 0);
    TRY(p11_attribute_read(s, handle, &attribute));
    if (attribute.ulValueLen <= size) /* or CK_UNAVAILABLE_INFORMATION */
        *ret = bytes_of(memory, attribute.ulValueLen);
    return ERR_OK;
}

/* An unsigned number without leading zeros; false where it has no place in `size` bytes. */
static bool take_number(struct bytes from, uint8_t *ret, size_t size, uint16_t *ret_len)
{
    while (from.len > 0 && from.data[0] == 0)
        from = bytes_of(from.data + 1, from.len - 1);
    if (from.len == 0 || from.len > size)
        return false;
    memcpy(ret, from.data, from.len);
    *ret_len = (uint16_t)from.len;
    return true;
}

static struct err read_rsa(const struct p11_session *s, unsigned long handle,
                           struct p11_public *ret, bool *ret_told)
{
    uint8_t modulus[RSA_MODULUS_MAX + 1], exponent[16];
    struct bytes n, e;
    *ret = (struct p11_public){.type = KEY_TYPE_RSA};
    TRY(read_one(s, handle, CKA_MODULUS, modulus, sizeof modulus, &n));
    TRY(read_one(s, handle, CKA_PUBLIC_EXPONENT, exponent, sizeof exponent, &e));
    *ret_told = take_number(n, ret->modulus, sizeof ret->modulus, &ret->modulus_len) &&
                take_number(e, ret->exponent, sizeof ret->exponent, &ret->exponent_len);
    return ERR_OK;
}

/* A DER OCTET STRING, as PKCS#11 has it; some tokens give the point without that. */
static bool take_point(struct bytes from, uint8_t ret[static P256_POINT])
{
    static const uint8_t octets[] = {0x04, P256_POINT};
    if (from.len == sizeof octets + P256_POINT && memcmp(from.data, octets, sizeof octets) == 0)
        from = bytes_of(from.data + sizeof octets, P256_POINT);
    if (from.len != P256_POINT || from.data[0] != 4)
        return false;
    memcpy(ret, from.data, P256_POINT);
    return true;
}

static struct err read_ec(const struct p11_session *s, unsigned long handle, struct p11_public *ret,
                          bool *ret_told)
{
    uint8_t params_room[sizeof p11_p256], point_room[P256_POINT + 2];
    struct bytes params, point;
    *ret = (struct p11_public){.type = KEY_TYPE_EC};
    TRY(read_one(s, handle, CKA_EC_PARAMS, params_room, sizeof params_room, &params));
    TRY(read_one(s, handle, CKA_EC_POINT, point_room, sizeof point_room, &point));
    *ret_told =
        bytes_equal(params, bytes_of(p11_p256, sizeof p11_p256)) && take_point(point, ret->point);
    return ERR_OK;
}

static struct err read_public(const struct p11_session *s, unsigned long handle, CK_KEY_TYPE type,
                              struct p11_public *ret, bool *ret_told)
{
    *ret_told = false;
    if (type == CKK_RSA)
        return read_rsa(s, handle, ret, ret_told);
    return type == CKK_EC ? read_ec(s, handle, ret, ret_told) : ERR_OK;
}

/* --- public objects ---------------------------------------------------------------------- */

/* At most PUBLICS_MAX of them. */
static struct err find_publics(const struct p11_session *s, const struct object_id *id,
                               CK_OBJECT_HANDLE ret[static PUBLICS_MAX], CK_ULONG *ret_n)
{
    CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
    struct object_id copy = *id; /* CK_ATTRIBUTE takes no const */
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &class, sizeof class},
                             {CKA_TOKEN, (void *)(uintptr_t)&truth[true], sizeof truth[true]},
                             {CKA_ID, copy.data, copy.len}};
    *ret_n = 0;
    memset(ret, 0, PUBLICS_MAX * sizeof *ret);
    TRY(P11_CALL(s->module, C_FindObjectsInit, s->handle, wanted, sizeof wanted / sizeof *wanted));
    struct err e = P11_CALL(s->module, C_FindObjects, s->handle, ret, PUBLICS_MAX, ret_n);
    struct err ended = P11_CALL(s->module, C_FindObjectsFinal, s->handle);
    TRY(e);
    TRY(ended);
    return *ret_n <= PUBLICS_MAX ? ERR_OK : p11_result(CKR_GENERAL_ERROR, "C_FindObjects");
}

struct err p11_pair_publics(const struct p11_session *s, unsigned long handle,
                            const struct object_id *id, struct p11_public ret[static PUBLICS_MAX],
                            size_t *ret_n)
{
    CK_OBJECT_HANDLE found[PUBLICS_MAX];
    CK_ULONG n;
    CK_KEY_TYPE type = 0;
    struct bytes told_type;
    bool told;
    *ret_n = 0;
    TRY(read_one(s, handle, CKA_KEY_TYPE, &type, sizeof type, &told_type));
    if (told_type.len != sizeof type)
        return err_make(ERR_TOKEN, "a key that does not tell its type");
    TRY(read_public(s, handle, type, &ret[0], &told));
    if (told) {
        *ret_n = 1;
        return ERR_OK;
    }
    TRY(find_publics(s, id, found, &n));
    for (CK_ULONG i = 0; i < n; i++) {
        TRY(read_public(s, found[i], type, &ret[*ret_n], &told));
        *ret_n += told;
    }
    return *ret_n > 0 ? ERR_OK : err_make(ERR_TOKEN, "a private key without its public half");
}

/* tpm2-pkcs11 1.9.0 gives an object that is made after others were destroyed the handle of one that
 * is there: what goes must be what was found. */
static struct err check_public(const struct p11_session *s, unsigned long handle,
                               const struct object_id *id)
{
    CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
    struct bytes told;
    TRY(p11_key_check_id(s, handle, id));
    TRY(read_one(s, handle, CKA_CLASS, &class, sizeof class, &told));
    return told.len == sizeof class && class == CKO_PUBLIC_KEY
               ? ERR_OK
               : p11_result(CKR_OBJECT_HANDLE_INVALID, "CKA_CLASS");
}

struct err p11_pair_destroy_public(const struct p11_session *s, const struct object_id *id)
{
    CK_OBJECT_HANDLE found[PUBLICS_MAX];
    CK_ULONG n;
    TRY(find_publics(s, id, found, &n));
    for (CK_ULONG i = 0; i < n; i++) {
        TRY(check_public(s, found[i], id));
        TRY(p11_key_destroy(s, found[i]));
    }
    return ERR_OK;
}

struct err p11_pair_unmake(const struct p11_session *s, const struct object_id *id,
                           const char *label)
{
    TRY(p11_key_unmake(s, KEY_CLASS_PRIVATE, id, label));
    return p11_pair_destroy_public(s, id);
}
