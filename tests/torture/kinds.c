/* SPDX-License-Identifier: Apache-2.0 */
#include "kinds.h"

#include <grpc/status.h>
#include <string.h>

#define BIT(code) (1U << GRPC_STATUS_##code)

/* The agent mends these by itself: the client never hears of them. */
#define MENDED BIT(OK)
#define AWAY   (BIT(OK) | BIT(UNAVAILABLE))
#define LIE    (BIT(OK) | BIT(UNAVAILABLE))

#define CKR(name) #name, "return CKR_" #name, NULL

/* Each class of docs/ckr.md has one or more, the agents' own the most. */
const struct kind kinds[] = {
    {CKR(DEVICE_ERROR), AWAY, 0, false, false},
    {CKR(GENERAL_ERROR), AWAY, 0, false, false},
    {CKR(FUNCTION_FAILED), AWAY, 0, false, false},
    {CKR(HOST_MEMORY), AWAY | BIT(RESOURCE_EXHAUSTED), 0, false, false},
    {CKR(TOKEN_NOT_PRESENT), AWAY, 0, false, false},
    {CKR(CRYPTOKI_NOT_INITIALIZED), AWAY, 0, false, false},
    {"vendor's own", "return 0x80000123", NULL, AWAY, 0, false, false},
    {CKR(SESSION_HANDLE_INVALID), MENDED, 0, false, false},
    {CKR(OPERATION_ACTIVE), MENDED, 0, false, false},
    {CKR(BUFFER_TOO_SMALL), MENDED, 0, false, false},
    {CKR(USER_NOT_LOGGED_IN), MENDED, 0, false, false},
    {CKR(OBJECT_HANDLE_INVALID), MENDED, 0, false, false},
    {CKR(ENCRYPTED_DATA_INVALID), MENDED, BIT(INVALID_ARGUMENT) | BIT(INTERNAL), false, false},
    {CKR(KEY_FUNCTION_NOT_PERMITTED), BIT(OK) | BIT(FAILED_PRECONDITION), 0, false, false},
    {CKR(PIN_INCORRECT), BIT(OK) | BIT(FAILED_PRECONDITION), 0, false, true},
    {"failed after all", "return CKR_DEVICE_ERROR after", NULL, AWAY, 0, false, false},
    {"hang", "hang", "hang 700ms", AWAY, 0, false, false},
    {"crash", "crash", NULL, AWAY, 0, false, true},
    {"killed after it", "kill after", NULL, AWAY, 0, false, true},
    {"short", "short", NULL, LIE, BIT(INTERNAL), true, false},
    {"long", "long 8", NULL, LIE, BIT(INTERNAL), true, false},
    {"garbage", "garbage", NULL, LIE, BIT(INTERNAL), true, false},
    {"nothing done", "nothing", NULL, LIE, BIT(INTERNAL), true, false},
    {"sessions lost", "lose-sessions", NULL, MENDED, 0, false, false},
    {"logged out", "log-out", NULL, MENDED, 0, false, false},
    {"token removed", "remove-token", NULL, AWAY, 0, false, false},
    {"slot changed", "change-slot", NULL, AWAY, 0, false, false},
};

const size_t kinds_n = sizeof kinds / sizeof *kinds;

bool kind_allows(const struct kind *kind, bool encrypt, int code)
{
    unsigned codes = kind->codes | (encrypt ? kind->encrypt_codes : 0);
    return code >= 0 && code < 32 && (codes & 1U << code) != 0;
}

bool kind_is_unnoticeable(const struct kind *kind, bool encrypt, const char *function)
{
    return !encrypt && strcmp(kind->name, "garbage") == 0 && strcmp(function, "C_Decrypt") == 0;
}
