/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_facts.h"

#include "cleanup.h"
#include "p11_call.h"
#include "p11_text.h"
#include "text.h"

/* It is printed, and put into JSON. */
static void clean(const CK_UTF8CHAR *from, size_t len, char *to)
{
    p11_text(from, len, to);
    text_clean(to);
}

static struct fact_version version_of(CK_VERSION version)
{
    return (struct fact_version){version.major, version.minor};
}

struct err p11_facts_module(const struct p11_module *module, struct module_facts *ret)
{
    CK_INFO info = {.flags = 0};
    TRY(P11_CALL(module, C_GetInfo, &info));
    struct module_facts facts = {.cryptoki = version_of(info.cryptokiVersion),
                                 .library = version_of(info.libraryVersion)};
    clean(info.manufacturerID, sizeof info.manufacturerID, facts.manufacturer);
    clean(info.libraryDescription, sizeof info.libraryDescription, facts.description);
    *ret = facts;
    return ERR_OK;
}

static uint32_t flags_of(CK_FLAGS flags)
{
    static const CK_FLAGS bits[TOKEN_FLAGS] = {
        [TOKEN_FLAG_INITIALIZED] = CKF_TOKEN_INITIALIZED,
        [TOKEN_FLAG_WRITE_PROTECTED] = CKF_WRITE_PROTECTED,
        [TOKEN_FLAG_LOGIN_REQUIRED] = CKF_LOGIN_REQUIRED,
        [TOKEN_FLAG_PIN_INITIALIZED] = CKF_USER_PIN_INITIALIZED,
        [TOKEN_FLAG_PROTECTED_PATH] = CKF_PROTECTED_AUTHENTICATION_PATH,
        [TOKEN_FLAG_PIN_COUNT_LOW] = CKF_USER_PIN_COUNT_LOW,
        [TOKEN_FLAG_PIN_FINAL_TRY] = CKF_USER_PIN_FINAL_TRY,
        [TOKEN_FLAG_PIN_LOCKED] = CKF_USER_PIN_LOCKED,
        [TOKEN_FLAG_PIN_TO_BE_CHANGED] = CKF_USER_PIN_TO_BE_CHANGED,
        [TOKEN_FLAG_RNG] = CKF_RNG,
    };
    uint32_t ours = 0;
    for (unsigned i = 0; i < TOKEN_FLAGS; i++)
        if ((flags & bits[i]) != 0)
            ours |= 1U << i;
    return ours;
}

static uint64_t number_of(CK_ULONG number)
{
    return number == CK_UNAVAILABLE_INFORMATION ? FACT_UNKNOWN : number;
}

struct err p11_facts_token(const struct p11_module *module, unsigned long slot,
                           struct token_facts *ret)
{
    CK_SLOT_INFO place = {.flags = 0};
    CK_TOKEN_INFO info = {.flags = 0};
    TRY(P11_CALL(module, C_GetSlotInfo, slot, &place));
    TRY(P11_CALL(module, C_GetTokenInfo, slot, &info));
    struct token_facts facts = {.slot = slot,
                                .hardware = version_of(info.hardwareVersion),
                                .firmware = version_of(info.firmwareVersion),
                                .flags = flags_of(info.flags),
                                .max_sessions = number_of(info.ulMaxSessionCount),
                                .open_sessions = number_of(info.ulSessionCount)};
    clean(place.slotDescription, sizeof place.slotDescription, facts.slot_description);
    clean(info.label, sizeof info.label, facts.label);
    clean(info.manufacturerID, sizeof info.manufacturerID, facts.manufacturer);
    clean(info.model, sizeof info.model, facts.model);
    clean(info.serialNumber, sizeof info.serialNumber, facts.serial);
    *ret = facts;
    return ERR_OK;
}

static const CK_MECHANISM_TYPE types[MECHANISMS] = {
    [MECHANISM_AES_KEY_GEN] = CKM_AES_KEY_GEN,
    [MECHANISM_AES_GCM] = CKM_AES_GCM,
    [MECHANISM_AES_CBC] = CKM_AES_CBC,
    [MECHANISM_GENERIC_SECRET_KEY_GEN] = CKM_GENERIC_SECRET_KEY_GEN,
    [MECHANISM_SHA256_HMAC] = CKM_SHA256_HMAC,
    [MECHANISM_RSA_KEY_PAIR_GEN] = CKM_RSA_PKCS_KEY_PAIR_GEN,
    [MECHANISM_RSA_OAEP] = CKM_RSA_PKCS_OAEP,
    [MECHANISM_RSA_PKCS] = CKM_RSA_PKCS,
    [MECHANISM_SHA256_RSA_PKCS] = CKM_SHA256_RSA_PKCS,
    [MECHANISM_EC_KEY_PAIR_GEN] = CKM_EC_KEY_PAIR_GEN,
    [MECHANISM_ECDSA] = CKM_ECDSA,
};

static const struct {
    CK_FLAGS flag;
    uint32_t use;
} uses[] = {
    {CKF_HW, USE_HARDWARE},
    {CKF_ENCRYPT, USE_ENCRYPT},
    {CKF_DECRYPT, USE_DECRYPT},
    {CKF_SIGN, USE_SIGN},
    {CKF_VERIFY, USE_VERIFY},
    {CKF_GENERATE, USE_GENERATE},
    {CKF_GENERATE_KEY_PAIR, USE_GENERATE_PAIR},
    {CKF_WRAP, USE_WRAP},
    {CKF_UNWRAP, USE_UNWRAP},
};

/* One that the token lists and does not describe is no reason to stop. */
static struct mechanism_facts describe(const struct p11_module *module, unsigned long slot,
                                       CK_MECHANISM_TYPE type)
{
    struct mechanism_facts facts = {.listed = true};
    CK_MECHANISM_INFO info = {.flags = 0};
    if (err_is(P11_CALL(module, C_GetMechanismInfo, slot, type, &info)))
        return facts;
    facts.told = true;
    facts.least = number_of(info.ulMinKeySize);
    facts.most = number_of(info.ulMaxKeySize);
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if ((info.flags & uses[i].flag) != 0)
            facts.uses |= uses[i].use;
    return facts;
}

static bool contains(const CK_MECHANISM_TYPE *list, CK_ULONG n, CK_MECHANISM_TYPE type)
{
    for (CK_ULONG i = 0; i < n; i++)
        if (list[i] == type)
            return true;
    return false;
}

enum { LIST_MAX = 65536 }; /* a module is not trusted with our memory */

struct err p11_facts_mechanisms(const struct p11_module *module, unsigned long slot,
                                struct mechanism_facts ret[static MECHANISMS])
{
    CK_ULONG n = 0;
    TRY(P11_CALL(module, C_GetMechanismList, slot, NULL, &n));
    if (n > LIST_MAX)
        return p11_result(CKR_GENERAL_ERROR, "C_GetMechanismList");
    CK_ULONG room = n + 8; /* for those that come between the two calls */
    AUTO_FREE CK_MECHANISM_TYPE *list = calloc(room, sizeof *list);
    if (!list)
        return err_make(ERR_EXHAUSTED, "mechanisms");
    n = room;
    TRY(P11_CALL(module, C_GetMechanismList, slot, list, &n));
    if (n > room)
        return p11_result(CKR_GENERAL_ERROR, "C_GetMechanismList");
    for (unsigned i = 0; i < MECHANISMS; i++)
        ret[i] = contains(list, n, types[i]) ? describe(module, slot, types[i])
                                             : (struct mechanism_facts){.listed = false};
    return ERR_OK;
}
