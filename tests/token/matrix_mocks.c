/* SPDX-License-Identifier: Apache-2.0 */
/* The same for the personalities of mockp11, which in-mock puts before SoftHSM. */
#include "matrix.h"

enum {
    ACTION_PROHIBITED = 0x1b,
    FUNCTION_NOT_SUPPORTED = 0x54,
    MECHANISM_INVALID = 0x70,
    BUFFER_TOO_SMALL = 0x150
};

#define GCM(name)  .token = (name), .scheme = SCHEME_AES_GCM, .kind = "aes"
#define HMAC(name) .token = (name), .scheme = SCHEME_HMAC_DERIVE, .kind = "hmac"
#define CBC(name)  .token = (name), .scheme = SCHEME_AES_CBC_HMAC
#define RSA(name)  .token = (name), .scheme = SCHEME_RSA_OAEP_SIGN, .slow = true
/* External rings have keys of one object alone, and no ring has one of a scheme that fails. */
#define NOTHING_MADE                                                                               \
    {                                                                                              \
        "n/a: nothing is made", 0, NULL                                                            \
    }
#define NO_GCM                                                                                     \
    {                                                                                              \
        "n/a: no CKM_AES_GCM", MECHANISM_INVALID, "C_EncryptInit"                                  \
    }
#define NO_RELABEL(then)                                                                           \
    {                                                                                              \
        then ": no C_SetAttributeValue", FUNCTION_NOT_SUPPORTED, "C_SetAttributeValue"             \
    }
#define NO_MAKING(then)                                                                            \
    {                                                                                              \
        then ": this user makes no keys", ACTION_PROHIBITED, "C_GenerateKey"                       \
    }

/* The self-test finds it out, before there is a KEK. */
#define OPENS_ALTERED                                                                              \
    {                                                                                              \
        "n/a: it opens what was altered", 0, "opens a ciphertext that was altered"                 \
    }

#define NO_MAKING_A_PAIR                                                                           \
    {                                                                                              \
        "n/a: this user makes no keys", ACTION_PROHIBITED, "C_GenerateKeyPair"                     \
    }

const struct matrix_row matrix_mocks[] = {
    {GCM("own-iv")},
    {HMAC("own-iv")},
    {CBC("own-iv")},
    {RSA("own-iv")},
    {GCM("cloudhsm"), .generate = NO_RELABEL("by a ceremony"), .waive = WAIVE_USAGE},
    {HMAC("cloudhsm"), .generate = NO_RELABEL("by a ceremony"), .waive = WAIVE_USAGE},
    {CBC("cloudhsm"), .generate = NO_RELABEL("n/a"), .seal = NOTHING_MADE},
    {RSA("cloudhsm"), .generate = NO_RELABEL("n/a"), .seal = NOTHING_MADE},
    {GCM("iv-appended"),
     .seal = {"n/a: it appends an IV of its own", BUFFER_TOO_SMALL, "C_Encrypt"}},
    {HMAC("iv-appended")},
    {CBC("iv-appended")},
    {RSA("iv-appended")},
    {GCM("no-gcm"), .seal = NO_GCM},
    {HMAC("no-gcm")},
    {CBC("no-gcm")},
    {RSA("no-gcm")},
    {GCM("few-sessions"), .lanes = 1},
    {HMAC("few-sessions"), .lanes = 1},
    {CBC("few-sessions"), .lanes = 1},
    {RSA("few-sessions"), .lanes = 1},
    {GCM("finalize")},
    {HMAC("finalize")},
    {CBC("finalize")},
    {RSA("finalize")},
    {GCM("new-process")},
    {HMAC("new-process")},
    {CBC("new-process")},
    {RSA("new-process")},
    {GCM("read-only-user"), .generate = NO_MAKING("by a ceremony"), .waive = WAIVE_USAGE},
    {HMAC("read-only-user"), .generate = NO_MAKING("by a ceremony"), .waive = WAIVE_USAGE},
    {CBC("read-only-user"), .generate = NO_MAKING("n/a"), .seal = NOTHING_MADE},
    {RSA("read-only-user"), .generate = NO_MAKING_A_PAIR, .seal = NOTHING_MADE},
    {GCM("protected-path")},
    {HMAC("protected-path")},
    {CBC("protected-path")},
    {RSA("protected-path")},
    {GCM("liar"), .seal = NO_GCM},
    {HMAC("liar")},
    {CBC("liar")},
    {RSA("liar")},
    {GCM("same-mac")},
    {.token = "same-mac",
     .scheme = SCHEME_HMAC_DERIVE,
     .generate = OPENS_ALTERED,
     .seal = NOTHING_MADE},
    {CBC("same-mac"), .generate = OPENS_ALTERED, .seal = NOTHING_MADE},
    {RSA("same-mac")},
    {.token = "no-aad", .scheme = SCHEME_AES_GCM, .generate = OPENS_ALTERED, .seal = NOTHING_MADE},
    {HMAC("no-aad")},
    {CBC("no-aad")},
    {RSA("no-aad")},
};
const size_t matrix_mocks_count = sizeof matrix_mocks / sizeof *matrix_mocks;
