/* SPDX-License-Identifier: Apache-2.0 */
#include "matrix.h"

enum { FUNCTION_NOT_SUPPORTED = 0x54, MECHANISM_INVALID = 0x70 };

#define NO_GCM                                                                                     \
    {                                                                                              \
        "n/a: no CKM_AES_GCM", MECHANISM_INVALID, "C_EncryptInit"                                  \
    }

const struct matrix_row matrix_rows[] = {
    {.token = "softhsm", .scheme = SCHEME_AES_GCM, .kind = "aes"},
    {.token = "nss",
     .scheme = SCHEME_AES_GCM,
     .kind = "aes",
     .generate = {"by a ceremony: it lets keys out", 0, "lets keys out"},
     .waive = WAIVE_LOCAL | WAIVE_USAGE,
     .serves_on = true,
     .away = ERR_TOKEN}, /* it shows a token that was never initialised */
    {.token = "opencryptoki",
     .scheme = SCHEME_AES_GCM,
     .kind = "aes",
     .seal = NO_GCM,
     .serves_on = true},
    {.token = "tpm",
     .scheme = SCHEME_AES_GCM,
     .kind = "aes",
     .generate = {"by a ceremony: no C_GenerateKey", FUNCTION_NOT_SUPPORTED, "C_GenerateKey"},
     .seal = NO_GCM,
     .slow = true,
     .blind = true},
    {.token = "p11-kit",
     .scheme = SCHEME_AES_GCM,
     .kind = "aes",
     .seal = {"n/a: p11-kit's RPC passes no GCM parameters", MECHANISM_INVALID, "C_EncryptInit"}},

    {.token = "softhsm", .scheme = SCHEME_HMAC_DERIVE, .kind = "hmac"},
    {.token = "nss",
     .scheme = SCHEME_HMAC_DERIVE,
     .kind = "hmac",
     .generate = {"by a ceremony: it lets keys out", 0, "lets keys out"},
     .waive = WAIVE_LOCAL | WAIVE_USAGE,
     .serves_on = true,
     .away = ERR_TOKEN},
    {.token = "opencryptoki", .scheme = SCHEME_HMAC_DERIVE, .kind = "hmac", .serves_on = true},
    {.token = "tpm",
     .scheme = SCHEME_HMAC_DERIVE,
     .kind = "hmac",
     .generate = {"by a ceremony: no C_GenerateKey", FUNCTION_NOT_SUPPORTED, "C_GenerateKey"},
     .waive = WAIVE_USAGE,
     .slow = true,
     .blind = true},
    {.token = "p11-kit", .scheme = SCHEME_HMAC_DERIVE, .kind = "hmac"},

    {.token = "softhsm", .scheme = SCHEME_AES_CBC_HMAC},
    {.token = "nss",
     .scheme = SCHEME_AES_CBC_HMAC,
     .generate = {"n/a: it lets keys out", 0, "lets keys out"},
     .seal = {"n/a: nothing is made", 0, NULL}},
    {.token = "opencryptoki", .scheme = SCHEME_AES_CBC_HMAC, .serves_on = true},
    {.token = "tpm",
     .scheme = SCHEME_AES_CBC_HMAC,
     .generate = {"n/a: no C_GenerateKey", FUNCTION_NOT_SUPPORTED, "C_GenerateKey"},
     .seal = {"n/a: nothing is made", 0, NULL}},
    {.token = "p11-kit",
     .scheme = SCHEME_AES_CBC_HMAC,
     .seal = {"n/a: p11-kit's RPC passes no CBC parameters", MECHANISM_INVALID, "C_EncryptInit"}},

    {.token = "softhsm", .scheme = SCHEME_RSA_OAEP_SIGN, .slow = true},
    {.token = "nss",
     .scheme = SCHEME_RSA_OAEP_SIGN,
     .generate = {"n/a: it lets keys out", 0, "lets keys out"},
     .seal = {"n/a: nothing is made", 0, NULL}},
    {.token = "opencryptoki",
     .scheme = SCHEME_RSA_OAEP_SIGN,
     .most = 449, /* no EC keys: the signature is RSA's */
     .slow = true,
     .serves_on = true},
    {.token = "tpm", .scheme = SCHEME_RSA_OAEP_SIGN, .slow = true, .blind = true},
    {.token = "p11-kit", .scheme = SCHEME_RSA_OAEP_SIGN, .slow = true},
};
const size_t matrix_rows_count = sizeof matrix_rows / sizeof *matrix_rows;
