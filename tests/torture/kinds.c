/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <grpc/status.h>

#define BIT(code) (1U << GRPC_STATUS_##code)

/* The agent mends these by itself: the client never hears of them. */
#define MENDED BIT(OK)
#define AWAY   (BIT(OK) | BIT(UNAVAILABLE))
#define LIE    (BIT(OK) | BIT(UNAVAILABLE))

#define CKR(name) #name, "return CKR_" #name, NULL

/* Each class of docs/ckr.md has one or more, the agents' own the most. */
const struct kind kinds[] = {
    {CKR(DEVICE_ERROR), AWAY, 0, KIND_LASTS},
    {CKR(GENERAL_ERROR), AWAY, 0, 0},
    {CKR(FUNCTION_FAILED), AWAY, 0, 0},
    {CKR(HOST_MEMORY), AWAY | BIT(RESOURCE_EXHAUSTED), 0, KIND_LASTS},
    {CKR(TOKEN_NOT_PRESENT), AWAY, 0, 0},
    {CKR(CRYPTOKI_NOT_INITIALIZED), AWAY, 0, 0},
    {"vendor's own", "return 0x80000123", NULL, AWAY, 0, 0},
    {CKR(SESSION_HANDLE_INVALID), MENDED, 0, KIND_LASTS},
    {CKR(OPERATION_ACTIVE), MENDED, 0, 0},
    {CKR(BUFFER_TOO_SMALL), MENDED, 0, 0},
    {CKR(USER_NOT_LOGGED_IN), MENDED, 0, KIND_LASTS},
    {CKR(OBJECT_HANDLE_INVALID), MENDED, 0, KIND_LASTS},
    {CKR(ENCRYPTED_DATA_INVALID), MENDED, BIT(UNAVAILABLE) | BIT(INTERNAL), KIND_LASTS},
    {CKR(KEY_FUNCTION_NOT_PERMITTED), BIT(OK) | BIT(FAILED_PRECONDITION), 0, KIND_LASTS},
    {CKR(PIN_INCORRECT), BIT(OK) | BIT(FAILED_PRECONDITION), 0, KIND_BURNS_PIN | KIND_LASTS},
    {"failed after all", "return CKR_DEVICE_ERROR after", NULL, AWAY, 0, 0},
    {"hang", "hang", "hang 700ms", AWAY, 0, KIND_ENDS},
    {"crash", "crash", NULL, AWAY, 0, KIND_ENDS | KIND_BURNS_PIN | KIND_LASTS},
    {"killed after it", "kill after", NULL, AWAY, 0, KIND_ENDS | KIND_BURNS_PIN},
    {"short", "short", NULL, LIE, BIT(INTERNAL) | BIT(UNIMPLEMENTED), 0},
    {"long", "long 8", NULL, LIE, BIT(INTERNAL) | BIT(UNIMPLEMENTED), 0},
    {"garbage", "garbage", NULL, LIE, BIT(INTERNAL), KIND_LASTS},
    {"nothing done", "nothing", NULL, LIE, BIT(INTERNAL), KIND_LASTS},
    {"sessions lost", "lose-sessions", NULL, MENDED, 0, 0},
    {"logged out", "log-out", NULL, MENDED, 0, 0},
    {"token removed", "remove-token", NULL, AWAY, 0, KIND_LASTS},
    {"slot changed", "change-slot", NULL, AWAY, 0, 0},
};

const size_t kinds_n = sizeof kinds / sizeof *kinds;

bool kind_allows(const struct kind *kind, bool encrypt, int code)
{
    unsigned codes = kind->codes | (encrypt ? kind->encrypt_codes : 0);
    return code >= 0 && code < 32 && (codes & 1U << code) != 0;
}
