/* SPDX-License-Identifier: Apache-2.0 */
/* What a module and a token say of themselves, in our own terms, and which of a token's mechanisms
 * a scheme needs. What they say is not proved by it: some list what they do not have. */
#ifndef P11KMS_TOKEN_FACTS_H
#define P11KMS_TOKEN_FACTS_H

#include "key_id.h"

enum facts_part { FACTS_MODULE = 1, FACTS_TOKEN, FACTS_MECHANISMS };

struct fact_version {
    uint8_t major, minor;
};

/* CK_INFO. Texts are terminated, without trailing blanks. */
struct module_facts {
    struct fact_version cryptoki, library;
    char manufacturer[33];
    char description[33];
};

/* Of CK_TOKEN_INFO's flags, one bit each. */
enum token_flag {
    TOKEN_FLAG_INITIALIZED,
    TOKEN_FLAG_WRITE_PROTECTED,
    TOKEN_FLAG_LOGIN_REQUIRED,
    TOKEN_FLAG_PIN_INITIALIZED,
    TOKEN_FLAG_PROTECTED_PATH,
    TOKEN_FLAG_PIN_COUNT_LOW,
    TOKEN_FLAG_PIN_FINAL_TRY,
    TOKEN_FLAG_PIN_LOCKED,
    TOKEN_FLAG_PIN_TO_BE_CHANGED,
    TOKEN_FLAG_RNG,
    TOKEN_FLAGS
};

enum { FACT_NO_LIMIT = 0 };

/* What the token does not tell. */
#define FACT_UNKNOWN UINT64_MAX

/* CK_SLOT_INFO and CK_TOKEN_INFO. */
struct token_facts {
    uint64_t slot;
    char slot_description[65];
    char label[33];
    char manufacturer[33];
    char model[17];
    char serial[17];
    struct fact_version hardware, firmware;
    uint32_t flags;         /* bits of enum token_flag */
    uint32_t quirks;        /* bits of enum quirk: what is known of such tokens */
    uint64_t max_sessions;  /* or FACT_NO_LIMIT, or FACT_UNKNOWN; of one process, says PKCS#11 */
    uint64_t open_sessions; /* or FACT_UNKNOWN */
};

/* The mechanisms that a scheme may need. */
enum mechanism {
    MECHANISM_AES_KEY_GEN,
    MECHANISM_AES_GCM,
    MECHANISM_AES_CBC,
    MECHANISM_GENERIC_SECRET_KEY_GEN,
    MECHANISM_SHA256_HMAC,
    MECHANISM_RSA_KEY_PAIR_GEN,
    MECHANISM_RSA_OAEP,
    MECHANISM_RSA_PKCS,
    MECHANISM_SHA256_RSA_PKCS,
    MECHANISM_EC_KEY_PAIR_GEN,
    MECHANISM_ECDSA,
    MECHANISMS
};

/* Of CK_MECHANISM_INFO's flags, one bit each. */
enum mechanism_use {
    USE_HARDWARE = 1,
    USE_ENCRYPT = 2,
    USE_DECRYPT = 4,
    USE_SIGN = 8,
    USE_VERIFY = 16,
    USE_GENERATE = 32,
    USE_GENERATE_PAIR = 64,
    USE_WRAP = 128,
    USE_UNWRAP = 256
};

/* C_GetMechanismList and C_GetMechanismInfo. */
struct mechanism_facts {
    bool listed;
    bool told;            /* C_GetMechanismInfo answered, and the rest holds */
    uint32_t uses;        /* of enum mechanism_use */
    uint64_t least, most; /* key sizes, in bits or bytes: tokens differ */
};

/* "CKM_AES_GCM". Never NULL. */
const char *mechanism_name(enum mechanism mechanism);

/* "login required". Never NULL. */
const char *token_flag_name(enum token_flag flag);

/* "login-required", for scripts. Never NULL. */
const char *token_flag_word(enum token_flag flag);

/* The name of one use bit, such as "encrypt"; NULL for none. */
const char *mechanism_use_name(uint32_t use);

/* One thing that a scheme asks of a token: a mechanism that must do all of these uses, or, if that
 * is not MECHANISMS, another one in its place. */
struct scheme_need {
    enum mechanism mechanism;
    uint32_t uses;
    enum mechanism instead;
};

/* Number i of a scheme's needs; NULL past the last. */
const struct scheme_need *scheme_need(enum scheme scheme, size_t i);

/* Whether the token says that it does it. */
bool scheme_need_is_told(const struct scheme_need *need,
                         const struct mechanism_facts facts[static MECHANISMS]);

/* Whether it is needed where an operator's own tool makes the keys. */
bool scheme_need_is_of_use(const struct scheme_need *need);

/* Whether it says so of all that the scheme needs, or of all that the use of its keys does. */
bool scheme_needs_are_told(enum scheme scheme, bool use_alone,
                           const struct mechanism_facts facts[static MECHANISMS]);

#endif
