/* SPDX-License-Identifier: Apache-2.0 */
/* What known tokens do otherwise than PKCS#11 has it: a row each. Most of what is odd about a token
 * is observed (self-test, checked attributes, lengths); a row is for what must be known beforehand,
 * or what no answer of the token would prove. */
#ifndef P11KMS_QUIRKS_H
#define P11KMS_QUIRKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum quirk {
    QUIRK_NO_READ_ONLY,           /* C_OpenSession insists on CKF_RW_SESSION */
    QUIRK_OWN_GCM_IV,             /* CKM_AES_GCM wants an IV of zeros, and writes its own over it */
    QUIRK_HMAC_LENGTH_UNTOLD,     /* no CKA_VALUE_LEN of keys for HMAC */
    QUIRK_RESCANS_NEED_NEW_AGENT, /* a process never sees what others make after its C_Initialize */
    QUIRK_KEYS_CAN_LEAVE,         /* CKA_EXTRACTABLE false keeps no key inside */
    QUIRK_ONE_CALL,               /* calls of two threads, a session each, harm each other */
    QUIRKS
};

/* What a token and its module call themselves, without trailing blanks; never NULL. Of a module
 * whose token is not known yet, the token's are empty. */
struct token_names {
    const char *module;       /* the module's file, without its directory */
    const char *library;      /* CK_INFO.manufacturerID */
    const char *manufacturer; /* CK_TOKEN_INFO.manufacturerID */
    const char *model;        /* CK_TOKEN_INFO.model */
    const char *description;  /* CK_INFO.libraryDescription */
    uint32_t version;         /* CK_INFO.libraryVersion: QUIRKS_VERSION */
};

#define QUIRKS_VERSION(major, minor) ((uint32_t)(major)*256 + (uint32_t)(minor))

struct quirk_row {
    const char *family;
    struct token_names names; /* all that are not NULL must be the same; a version must be below */
    uint32_t quirks;
    const char *source; /* who says so: "measured", or a document */
};

/* The quirks of all rows that fit, or'ed: bits of enum quirk. */
uint32_t quirks_of(const struct token_names *names);

bool quirks_have(uint32_t quirks, enum quirk quirk);

/* For an operator: what the token does, and what p11-kms does about it. Never NULL. */
const char *quirk_text(enum quirk quirk);

/* Row by position; NULL past the end. */
const struct quirk_row *quirks_row(size_t index);

#endif
