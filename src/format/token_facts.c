/* SPDX-License-Identifier: Apache-2.0 */
#include "token_facts.h"

#include <string.h>

static const char *const mechanism_names[MECHANISMS] = {
    [MECHANISM_AES_KEY_GEN] = "CKM_AES_KEY_GEN",
    [MECHANISM_AES_GCM] = "CKM_AES_GCM",
    [MECHANISM_AES_CBC] = "CKM_AES_CBC",
    [MECHANISM_GENERIC_SECRET_KEY_GEN] = "CKM_GENERIC_SECRET_KEY_GEN",
    [MECHANISM_SHA256_HMAC] = "CKM_SHA256_HMAC",
    [MECHANISM_RSA_KEY_PAIR_GEN] = "CKM_RSA_PKCS_KEY_PAIR_GEN",
    [MECHANISM_RSA_OAEP] = "CKM_RSA_PKCS_OAEP",
    [MECHANISM_RSA_PKCS] = "CKM_RSA_PKCS",
    [MECHANISM_SHA256_RSA_PKCS] = "CKM_SHA256_RSA_PKCS",
    [MECHANISM_EC_KEY_PAIR_GEN] = "CKM_EC_KEY_PAIR_GEN",
    [MECHANISM_ECDSA] = "CKM_ECDSA",
};

static const struct {
    const char *name, *word;
} flags[TOKEN_FLAGS] = {
    [TOKEN_FLAG_INITIALIZED] = {"initialised", "initialized"},
    [TOKEN_FLAG_WRITE_PROTECTED] = {"write protected", "write-protected"},
    [TOKEN_FLAG_LOGIN_REQUIRED] = {"login required", "login-required"},
    [TOKEN_FLAG_PIN_INITIALIZED] = {"user PIN set", "user-pin-initialized"},
    [TOKEN_FLAG_PROTECTED_PATH] = {"PIN entered at the token (protected authentication path)",
                                   "protected-authentication-path"},
    [TOKEN_FLAG_PIN_COUNT_LOW] = {"a wrong PIN was given since the last login",
                                  "user-pin-count-low"},
    [TOKEN_FLAG_PIN_FINAL_TRY] = {"the next wrong PIN locks it", "user-pin-final-try"},
    [TOKEN_FLAG_PIN_LOCKED] = {"user PIN LOCKED", "user-pin-locked"},
    [TOKEN_FLAG_PIN_TO_BE_CHANGED] = {"user PIN is to be changed", "user-pin-to-be-changed"},
    [TOKEN_FLAG_RNG] = {"random numbers", "rng"},
};

static const char *const uses[] = {"hardware", "encrypt",           "decrypt", "sign",  "verify",
                                   "generate", "generate key pair", "wrap",    "unwrap"};

const char *mechanism_name(enum mechanism mechanism)
{
    return (unsigned)mechanism < MECHANISMS ? mechanism_names[mechanism] : "unknown";
}

const char *token_flag_name(enum token_flag flag)
{
    return (unsigned)flag < TOKEN_FLAGS ? flags[flag].name : "unknown";
}

const char *token_flag_word(enum token_flag flag)
{
    return (unsigned)flag < TOKEN_FLAGS ? flags[flag].word : "unknown";
}

const char *mechanism_use_name(uint32_t use)
{
    for (size_t i = 0; i < sizeof uses / sizeof *uses; i++)
        if (use == 1U << i)
            return uses[i];
    return NULL;
}

#define ALONE MECHANISMS

/* By name, so that this table stands for schemes that this build does not have as well. */
static const struct {
    const char *scheme;
    struct scheme_need need;
} needs[] = {
    {"aes-gcm", {MECHANISM_AES_KEY_GEN, USE_GENERATE, ALONE}},
    {"aes-gcm", {MECHANISM_AES_GCM, USE_ENCRYPT | USE_DECRYPT, ALONE}},
    {"hmac-derive", {MECHANISM_GENERIC_SECRET_KEY_GEN, USE_GENERATE, ALONE}},
    {"hmac-derive", {MECHANISM_SHA256_HMAC, USE_SIGN, ALONE}},
    {"aes-cbc-hmac", {MECHANISM_AES_KEY_GEN, USE_GENERATE, ALONE}},
    {"aes-cbc-hmac", {MECHANISM_AES_CBC, USE_ENCRYPT | USE_DECRYPT, ALONE}},
    {"aes-cbc-hmac", {MECHANISM_GENERIC_SECRET_KEY_GEN, USE_GENERATE, ALONE}},
    {"aes-cbc-hmac", {MECHANISM_SHA256_HMAC, USE_SIGN, ALONE}},
    {"rsa-oaep-sign", {MECHANISM_RSA_KEY_PAIR_GEN, USE_GENERATE_PAIR, ALONE}},
    {"rsa-oaep-sign", {MECHANISM_RSA_OAEP, USE_DECRYPT, ALONE}},
    {"rsa-oaep-sign", {MECHANISM_ECDSA, USE_SIGN, MECHANISM_RSA_PKCS}},
};

const struct scheme_need *scheme_need(enum scheme scheme, size_t i)
{
    const char *name = scheme_name(scheme);
    for (size_t at = 0; name && at < sizeof needs / sizeof *needs; at++)
        if (strcmp(needs[at].scheme, name) == 0 && i-- == 0)
            return &needs[at].need;
    return NULL;
}

/* A token that lists a mechanism and does not describe it is taken at its word. */
static bool does(const struct mechanism_facts *facts, uint32_t wanted)
{
    return facts->listed && (!facts->told || (facts->uses & wanted) == wanted);
}

bool scheme_need_is_told(const struct scheme_need *need,
                         const struct mechanism_facts facts[static MECHANISMS])
{
    return does(&facts[need->mechanism], need->uses) ||
           (need->instead != ALONE && does(&facts[need->instead], need->uses));
}

bool scheme_need_is_of_use(const struct scheme_need *need)
{
    return (need->uses & (USE_GENERATE | USE_GENERATE_PAIR)) == 0;
}

bool scheme_needs_are_told(enum scheme scheme, bool use_alone,
                           const struct mechanism_facts facts[static MECHANISMS])
{
    const struct scheme_need *need = scheme_need(scheme, 0);
    bool all = need != NULL;
    for (size_t i = 0; all && (need = scheme_need(scheme, i)); i++)
        all = (use_alone && !scheme_need_is_of_use(need)) || scheme_need_is_told(need, facts);
    return all;
}
