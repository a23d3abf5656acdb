/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <grpc/status.h>
#include <string.h>

#define BIT(code) (1U << GRPC_STATUS_##code)

/* The agent mends these by itself: the client never hears of them. */
#define MENDED BIT(OK)
#define AWAY   (BIT(OK) | BIT(UNAVAILABLE))
#define LIE    (BIT(OK) | BIT(UNAVAILABLE))
#define FULL   (BIT(OK) | BIT(UNAVAILABLE) | BIT(RESOURCE_EXHAUSTED))

#define CKR(name) #name, "return CKR_" #name, NULL

/* Each class of docs/ckr.md has one or more, the agents' own the most. */
const struct kind kinds[] = {
    {CKR(DEVICE_ERROR), AWAY, 0, KIND_LASTS, NULL},
    {CKR(GENERAL_ERROR), AWAY, 0, 0, NULL},
    {CKR(FUNCTION_FAILED), AWAY, 0, 0, NULL},
    {CKR(HOST_MEMORY), FULL, 0, KIND_LASTS, NULL},
    {CKR(SESSION_COUNT), FULL, 0, KIND_LASTS, NULL},
    {CKR(TOKEN_NOT_PRESENT), AWAY, 0, 0, NULL},
    {CKR(CRYPTOKI_NOT_INITIALIZED), AWAY, 0, 0, NULL},
    {"vendor's own", "return 0x80000123", NULL, AWAY, 0, 0, NULL},
    {CKR(SESSION_HANDLE_INVALID), MENDED, 0, KIND_LASTS, NULL},
    {CKR(OPERATION_ACTIVE), MENDED, 0, 0, NULL},
    {CKR(BUFFER_TOO_SMALL), MENDED, 0, 0, NULL},
    {CKR(USER_NOT_LOGGED_IN), MENDED, 0, KIND_LASTS, NULL},
    {CKR(OBJECT_HANDLE_INVALID), MENDED, 0, KIND_LASTS, NULL},
    {CKR(ENCRYPTED_DATA_INVALID), MENDED, BIT(UNAVAILABLE) | BIT(INTERNAL), KIND_LASTS, NULL},
    {CKR(KEY_FUNCTION_NOT_PERMITTED), BIT(OK) | BIT(FAILED_PRECONDITION), 0, KIND_LASTS, NULL},
    {CKR(PIN_INCORRECT), BIT(OK) | BIT(FAILED_PRECONDITION), 0, KIND_BURNS_PIN | KIND_LASTS, NULL},
    {"failed after all", "return CKR_DEVICE_ERROR after", NULL, AWAY, 0, 0, NULL},
    {"hang", "hang", "hang 700ms", AWAY, 0, KIND_ENDS, NULL},
    {"crash", "crash", NULL, AWAY, 0, KIND_ENDS | KIND_BURNS_PIN | KIND_LASTS, NULL},
    {"killed after it", "kill after", NULL, AWAY, 0, KIND_ENDS | KIND_BURNS_PIN, NULL},
    {"short", "short", NULL, LIE, BIT(INTERNAL) | BIT(UNIMPLEMENTED), KIND_HIDES, NULL},
    {"long", "long 8", NULL, LIE, BIT(INTERNAL) | BIT(UNIMPLEMENTED), KIND_HIDES, NULL},
    {"garbage", "garbage", NULL, LIE, BIT(INTERNAL), KIND_LASTS | KIND_HIDES, NULL},
    {"nothing done", "nothing", NULL, LIE, BIT(INTERNAL), KIND_LASTS | KIND_HIDES, NULL},
    {"sessions lost", "lose-sessions", NULL, MENDED, 0, 0, NULL},
    {"logged out", "log-out", NULL, MENDED, 0, 0, NULL},
    {"token removed", "remove-token", NULL, AWAY, 0, KIND_LASTS, NULL},
    {"slot changed", "change-slot", NULL, AWAY, 0, 0, NULL},
    {"PIN locked", "flags +user-pin-locked", NULL, AWAY, 0, KIND_LASTS, "C_GetTokenInfo"},
    {"no token yet", "flags -token-initialized", NULL, AWAY, 0, KIND_LASTS, "C_GetTokenInfo"},
};

const size_t kinds_n = sizeof kinds / sizeof *kinds;

bool kind_fits(const struct kind *kind, const char *function)
{
    return !kind->only || strcmp(kind->only, function) == 0;
}

bool kind_allows(const struct kind *kind, bool encrypt, int code)
{
    unsigned codes = kind->codes | (encrypt ? kind->encrypt_codes : 0);
    return code >= 0 && code < 32 && (codes & 1U << code) != 0;
}
