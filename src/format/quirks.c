/* SPDX-License-Identifier: Apache-2.0 */
#include "quirks.h"

#include <string.h>

#define BIT(quirk) (1U << (quirk))

static const struct quirk_row rows[] = {
    {.family = "AWS CloudHSM",
     .names = {.module = "libcloudhsm_pkcs11.so"},
     .quirks = BIT(QUIRK_NO_READ_ONLY) | BIT(QUIRK_OWN_GCM_IV),
     .source =
         "AWS CloudHSM user guide, PKCS #11 library for Client SDK 5: known issues, mechanisms"},
    {.family = "YubiHSM 2",
     .names = {.manufacturer = "Yubico (www.yubico.com)", .model = "YubiHSM"},
     .quirks = BIT(QUIRK_HMAC_LENGTH_UNTOLD),
     .source = "yubihsm-shell, pkcs11/util_pkcs11.c, get_attribute_secret_key"},
    {.family = "TPM 2.0 (tpm2-pkcs11)",
     /* the token's manufacturer is that of the TPM */
     .names = {.library = "tpm2-software.github.io"},
     .quirks = BIT(QUIRK_RESCANS_NEED_NEW_AGENT),
     .source = "measured, 1.9.0"},
    {.family = "Entrust nShield",
     .names = {.manufacturer = "nCipher Corp. Ltd"},
     .quirks = BIT(QUIRK_RESCANS_NEED_NEW_AGENT),
     .source = "Security World 13.6, PKCS #11: CKNFAST_ASSUME_SINGLE_PROCESS, whose default it is"},
    {.family = "NSS softokn",
     .names = {.library = "Mozilla Foundation"},
     .quirks = BIT(QUIRK_KEYS_CAN_LEAVE),
     .source = "measured, 3.87"},
    {.family = "openCryptoki",
     .names = {.library = "IBM",
               .description = "Meta PKCS11 LIBRARY",
               .version = QUIRKS_VERSION(3, 14)},
     .quirks = BIT(QUIRK_ONE_CALL),
     .source = "measured, 3.8.1; opencryptoki pull request 254 writes the locks of objects anew"},
};

enum { ROWS = sizeof rows / sizeof *rows };

static bool same(const char *wanted, const char *name)
{
    return !wanted || strcmp(wanted, name) == 0;
}

static bool fits(const struct token_names *wanted, const struct token_names *names)
{
    return same(wanted->module, names->module) && same(wanted->library, names->library) &&
           same(wanted->manufacturer, names->manufacturer) && same(wanted->model, names->model) &&
           same(wanted->description, names->description) &&
           (wanted->version == 0 || names->version < wanted->version);
}

uint32_t quirks_of(const struct token_names *names)
{
    uint32_t quirks = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (fits(&rows[i].names, names))
            quirks |= rows[i].quirks;
    return quirks;
}

bool quirks_have(uint32_t quirks, enum quirk quirk)
{
    return (quirks & BIT(quirk)) != 0;
}

const char *quirk_text(enum quirk quirk)
{
    static const char *const texts[QUIRKS] = {
        [QUIRK_NO_READ_ONLY] = "has no read-only sessions: every agent opens read-write ones",
        [QUIRK_OWN_GCM_IV] = "makes the IV of CKM_AES_GCM itself: p11-kms offers zeros, and stores "
                             "what the token wrote over them",
        [QUIRK_HMAC_LENGTH_UNTOLD] =
            "does not tell the length of an HMAC key: p11-kms does not ask "
            "for it",
        [QUIRK_RESCANS_NEED_NEW_AGENT] = "shows a process only the keys that were there when it "
                                         "started: p11-kms looks with a new agent",
        [QUIRK_KEYS_CAN_LEAVE] = "lets keys out that it calls not extractable: p11-kms makes none "
                                 "there",
        [QUIRK_ONE_CALL] = "does not bear calls of two threads at once: p11-kms makes one at a "
                           "time",
    };
    return (unsigned)quirk < QUIRKS ? texts[quirk] : "unknown";
}

const struct quirk_row *quirks_row(size_t index)
{
    return index < ROWS ? &rows[index] : NULL;
}
