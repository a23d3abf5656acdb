/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_ckr.h"

#include <p11-kit/pkcs11.h>

/* p11-kit 0.24's header ends at 2.40 and numbers some of these unlike OASIS does, so they are
 * ours, after OASIS' pkcs11t.h: of PKCS#11 3.0 but for the last two, which came with 3.1 and 3.2.
 */
enum {
    V3_AEAD_DECRYPT_FAILED = 0x42,
    V3_EXCEEDED_MAX_ITERATIONS = 0x1b5,
    V3_FIPS_SELF_TEST_FAILED = 0x1b6,
    V3_LIBRARY_LOAD_FAILED = 0x1b7,
    V3_PIN_TOO_WEAK = 0x1b8,
    V3_PUBLIC_KEY_INVALID = 0x1b9,
    V3_TOKEN_RESOURCE_EXCEEDED = 0x201,
    V3_OPERATION_CANCEL_FAILED = 0x202,
    V3_KEY_EXHAUSTED = 0x203,
    V3_TOKEN_NOT_INITIALIZED = 0x208,
};

#define ROW(name, code, remedy, text)                                                              \
    {                                                                                              \
        CKR_##name, "CKR_" #name, code, remedy, text                                               \
    }

#define ROW3(name, code, remedy, text)                                                             \
    {                                                                                              \
        V3_##name, "CKR_" #name, code, remedy, text                                                \
    }
/* What belongs to functions that p11-kms never calls: the module has lost its way. */
#define STRAY(name, function)                                                                      \
    ROW(name, ERR_UNAVAILABLE, REMEDY_AGENT,                                                       \
        "an answer to " function ", which nobody asked for; a new agent is started")

static const struct p11_ckr table[] = {
    ROW(CANCEL, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token gave the operation up; it is tried again in a new session"),
    ROW(HOST_MEMORY, ERR_EXHAUSTED, REMEDY_AGENT,
        "the PKCS#11 module ran out of memory; a new agent is started"),
    ROW(SLOT_ID_INVALID, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token's slot is gone; check that the token is connected"),
    ROW(GENERAL_ERROR, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token or its module failed without saying why; check the token and its service"),
    ROW(FUNCTION_FAILED, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token could not do what it was asked; check the token and its service"),
    ROW(ARGUMENTS_BAD, ERR_INTERNAL, REMEDY_AGENT,
        "the module refused an argument; report this with the module's name and version"),
    STRAY(NO_EVENT, "C_WaitForSlotEvent"),
    ROW(NEED_TO_CREATE_THREADS, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the module must make threads of its own and says it cannot; see its documentation"),
    ROW(CANT_LOCK, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the module is not safe for threads; use a newer version of it"),
    ROW(ATTRIBUTE_READ_ONLY, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not let this attribute be changed; it cannot hold managed keys"),
    ROW(ATTRIBUTE_SENSITIVE, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not show an attribute that must be checked"),
    ROW(ATTRIBUTE_TYPE_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not know an attribute that must be checked"),
    ROW(ATTRIBUTE_VALUE_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token refused an attribute's value; it cannot hold such a key"),
    ROW(ACTION_PROHIBITED, ERR_TOKEN, REMEDY_HUMAN,
        "the token's policy forbids this; see the attributes of the key"),
    ROW(DATA_INVALID, ERR_INVALID, REMEDY_CALLER, "the token refused the data"),
    ROW(DATA_LEN_RANGE, ERR_INVALID, REMEDY_CALLER, "the token refused the length of the data"),
    ROW(DEVICE_ERROR, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token or the way to it failed; check the token, its service and the network"),
    ROW(DEVICE_MEMORY, ERR_EXHAUSTED, REMEDY_AGENT,
        "the token is out of memory; remove what fills it or lower token.sessions"),
    ROW(DEVICE_REMOVED, ERR_UNAVAILABLE, REMEDY_AGENT, "the token was removed; connect it again"),
    ROW(ENCRYPTED_DATA_INVALID, ERR_AUTH, REMEDY_CALLER,
        "the ciphertext was not made with this key, or was altered"),
    ROW(ENCRYPTED_DATA_LEN_RANGE, ERR_AUTH, REMEDY_CALLER,
        "the ciphertext has a length that this key never makes"),
    ROW3(AEAD_DECRYPT_FAILED, ERR_AUTH, REMEDY_CALLER,
         "the ciphertext was not made with this key, or was altered"),
    ROW(FUNCTION_CANCELED, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token gave the operation up; it is tried again in a new session"),
    ROW(FUNCTION_NOT_PARALLEL, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the module does not run functions in parallel; use a newer version of it"),
    ROW(FUNCTION_NOT_SUPPORTED, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token cannot do this; choose another scheme or another token"),
    ROW(KEY_HANDLE_INVALID, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the key is gone from where it was; check the token's store"),
    ROW(KEY_SIZE_RANGE, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not take keys of this size for this scheme"),
    ROW(KEY_TYPE_INCONSISTENT, ERR_TOKEN, REMEDY_HUMAN,
        "the key is of another type than its label says; remove or replace it"),
    STRAY(KEY_NOT_NEEDED, "C_SetOperationState"),
    ROW(KEY_CHANGED, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token says that a key changed during the operation"),
    STRAY(KEY_NEEDED, "C_SetOperationState"),
    STRAY(KEY_INDIGESTIBLE, "C_DigestKey"),
    ROW(KEY_FUNCTION_NOT_PERMITTED, ERR_TOKEN, REMEDY_HUMAN,
        "the token does not let this key be used so; see the attributes of the key"),
    STRAY(KEY_NOT_WRAPPABLE, "C_WrapKey"),
    STRAY(KEY_UNEXTRACTABLE, "C_WrapKey"),
    ROW(MECHANISM_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not have the mechanism of this scheme; choose another scheme"),
    ROW(MECHANISM_PARAM_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not take the mechanism's parameters; choose another scheme"),
    ROW(OBJECT_HANDLE_INVALID, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the key is gone from where it was; check the token's store"),
    ROW(OPERATION_ACTIVE, ERR_UNAVAILABLE, REMEDY_SESSION,
        "an earlier operation is still open in the session; a new session is used"),
    ROW(OPERATION_NOT_INITIALIZED, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token forgot the operation; a new session is used"),
    ROW(PIN_INCORRECT, ERR_TOKEN, REMEDY_HUMAN,
        "the token refused the PIN; mend what token.pinSource names"),
    ROW(PIN_INVALID, ERR_TOKEN, REMEDY_HUMAN,
        "the PIN holds characters that the token does not take; mend what token.pinSource names"),
    ROW(PIN_LEN_RANGE, ERR_TOKEN, REMEDY_HUMAN,
        "the PIN is too short or too long for the token; mend what token.pinSource names"),
    ROW(PIN_EXPIRED, ERR_TOKEN, REMEDY_HUMAN,
        "the token's PIN has expired; set a new one with the token's own tool"),
    ROW(PIN_LOCKED, ERR_TOKEN, REMEDY_HUMAN,
        "the token's user PIN is locked; unlock it with the SO PIN and the token's own tool"),
    ROW(SESSION_CLOSED, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token closed the session; a new one is used"),
    ROW(SESSION_COUNT, ERR_EXHAUSTED, REMEDY_HUMAN,
        "the token has no session left; lower token.sessions or close other users' sessions"),
    ROW(SESSION_HANDLE_INVALID, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token lost the session; a new one is used"),
    ROW(SESSION_PARALLEL_NOT_SUPPORTED, ERR_INTERNAL, REMEDY_HUMAN,
        "the module refused the kind of session; report this with its name and version"),
    ROW(SESSION_READ_ONLY, ERR_INTERNAL, REMEDY_HUMAN,
        "the session may not write; report this with the module's name and version"),
    ROW(SESSION_EXISTS, ERR_UNAVAILABLE, REMEDY_AGENT, "other sessions are open on the token"),
    ROW(SESSION_READ_ONLY_EXISTS, ERR_UNAVAILABLE, REMEDY_AGENT,
        "other sessions are open on the token"),
    ROW(SESSION_READ_WRITE_SO_EXISTS, ERR_IN_USE, REMEDY_HUMAN,
        "the security officer is logged in to the token; wait until that is over"),
    ROW(SIGNATURE_INVALID, ERR_AUTH, REMEDY_CALLER,
        "the signature was not made with this key, or was altered"),
    ROW(SIGNATURE_LEN_RANGE, ERR_AUTH, REMEDY_CALLER,
        "the signature has a length that this key never makes"),
    ROW(TEMPLATE_INCOMPLETE, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token wants more attributes for a key than PKCS#11 asks for; report this"),
    ROW(TEMPLATE_INCONSISTENT, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token cannot hold a key with these attributes"),
    ROW(TOKEN_NOT_PRESENT, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token is not in its slot; connect it"),
    ROW(TOKEN_NOT_RECOGNIZED, ERR_UNAVAILABLE, REMEDY_HUMAN,
        "the module does not know this token; check token.module"),
    ROW(TOKEN_WRITE_PROTECTED, ERR_TOKEN, REMEDY_HUMAN,
        "the token is write-protected; no key can be made or relabelled"),
    STRAY(UNWRAPPING_KEY_HANDLE_INVALID, "C_UnwrapKey"),
    STRAY(UNWRAPPING_KEY_SIZE_RANGE, "C_UnwrapKey"),
    STRAY(UNWRAPPING_KEY_TYPE_INCONSISTENT, "C_UnwrapKey"),
    ROW(USER_NOT_LOGGED_IN, ERR_UNAVAILABLE, REMEDY_LOGIN,
        "the token logged us out; the agent logs in again"),
    ROW(USER_ALREADY_LOGGED_IN, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the token is logged in already, which only C_Login may answer; a new agent is started"),
    ROW(USER_PIN_NOT_INITIALIZED, ERR_TOKEN, REMEDY_HUMAN,
        "the token's user PIN was never set; set it with the token's own tool"),
    ROW(USER_TYPE_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not know the normal user"),
    ROW(USER_ANOTHER_ALREADY_LOGGED_IN, ERR_IN_USE, REMEDY_HUMAN,
        "another user is logged in to the token through this module"),
    ROW(USER_TOO_MANY_TYPES, ERR_IN_USE, REMEDY_HUMAN,
        "too many users are logged in to the token; close other programs' sessions"),
    STRAY(WRAPPED_KEY_INVALID, "C_UnwrapKey"),
    STRAY(WRAPPED_KEY_LEN_RANGE, "C_UnwrapKey"),
    STRAY(WRAPPING_KEY_HANDLE_INVALID, "C_WrapKey"),
    STRAY(WRAPPING_KEY_SIZE_RANGE, "C_WrapKey"),
    STRAY(WRAPPING_KEY_TYPE_INCONSISTENT, "C_WrapKey"),
    STRAY(RANDOM_SEED_NOT_SUPPORTED, "C_SeedRandom"),
    ROW(RANDOM_NO_RNG, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token has no random numbers; it cannot make keys"),
    ROW(DOMAIN_PARAMS_INVALID, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not take the domain parameters of this scheme; choose another scheme"),
    ROW(CURVE_NOT_SUPPORTED, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not have the curve of this scheme; choose another scheme"),
    ROW(BUFFER_TOO_SMALL, ERR_UNAVAILABLE, REMEDY_SESSION,
        "the token wants to answer more than this scheme allows, such as an IV of its own"),
    STRAY(SAVED_STATE_INVALID, "C_SetOperationState"),
    ROW(INFORMATION_SENSITIVE, ERR_UNSUPPORTED, REMEDY_HUMAN,
        "the token does not show what must be checked"),
    STRAY(STATE_UNSAVEABLE, "C_GetOperationState"),
    ROW(CRYPTOKI_NOT_INITIALIZED, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the module lost its state; a new agent is started"),
    ROW(CRYPTOKI_ALREADY_INITIALIZED, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the module was started before, which only C_Initialize may answer; a new agent is "
        "started"),
    ROW(MUTEX_BAD, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the module's locking failed; a new agent is started"),
    ROW(MUTEX_NOT_LOCKED, ERR_UNAVAILABLE, REMEDY_AGENT,
        "the module's locking failed; a new agent is started"),
    ROW(NEW_PIN_MODE, ERR_TOKEN, REMEDY_HUMAN,
        "the token wants a new PIN; set one with the token's own tool"),
    ROW(NEXT_OTP, ERR_TOKEN, REMEDY_HUMAN,
        "the token wants another one-time password; p11-kms needs a PIN that stays"),
    ROW3(EXCEEDED_MAX_ITERATIONS, ERR_UNAVAILABLE, REMEDY_AGENT,
         "the token gave up making a key; it is tried again"),
    ROW(FUNCTION_REJECTED, ERR_TOKEN, REMEDY_HUMAN, "somebody at the token rejected the operation"),
    ROW3(FIPS_SELF_TEST_FAILED, ERR_TOKEN, REMEDY_HUMAN,
         "the token failed its FIPS self-test and refuses to work; see the vendor's documentation"),
    ROW3(LIBRARY_LOAD_FAILED, ERR_UNAVAILABLE, REMEDY_HUMAN,
         "the module could not load a library it needs; install it"),
    ROW3(PIN_TOO_WEAK, ERR_TOKEN, REMEDY_HUMAN,
         "the PIN is weaker than the token's policy allows; set a new one with the token's own "
         "tool"),
    ROW3(PUBLIC_KEY_INVALID, ERR_TOKEN, REMEDY_HUMAN,
         "the token does not take a public key; it was made elsewhere, or altered"),
    ROW3(TOKEN_RESOURCE_EXCEEDED, ERR_EXHAUSTED, REMEDY_AGENT,
         "the token is out of a resource; remove what fills it or lower token.sessions"),
    ROW3(OPERATION_CANCEL_FAILED, ERR_UNAVAILABLE, REMEDY_SESSION,
         "the token could not end the operation; a new session is used"),
    ROW3(KEY_EXHAUSTED, ERR_TOKEN, REMEDY_HUMAN, "the token says that the key was used up; rotate"),
    ROW3(TOKEN_NOT_INITIALIZED, ERR_TOKEN, REMEDY_HUMAN,
         "the token was never initialised; initialise it with its own tool"),
};

enum { ROWS = sizeof table / sizeof *table };

static const struct p11_ckr vendor_row = {
    CKR_VENDOR_DEFINED, "CKR_VENDOR_DEFINED", ERR_UNAVAILABLE, REMEDY_AGENT,
    "the token answered with a code of its vendor; see the vendor's documentation"};
static const struct p11_ckr unknown_row = {
    0, "unknown CKR", ERR_UNAVAILABLE, REMEDY_AGENT,
    "the token answered with a code that PKCS#11 does not have; check its service"};

const struct p11_ckr *p11_ckr_find(unsigned long rv)
{
    for (size_t i = 0; i < ROWS; i++)
        if (table[i].rv == rv)
            return &table[i];
    /* caml-crush answers ~0 when its server is gone: no vendor's number */
    return rv >= CKR_VENDOR_DEFINED && rv <= 0xffffffffUL ? &vendor_row : &unknown_row;
}

const struct p11_ckr *p11_ckr_row(size_t index)
{
    if (index < ROWS)
        return &table[index];
    return index == ROWS ? &vendor_row : NULL;
}

bool p11_ckr_may_decline(unsigned long rv)
{
    return rv == CKR_BUFFER_TOO_SMALL || rv == CKR_GENERAL_ERROR || rv == CKR_FUNCTION_FAILED ||
           p11_ckr_find(rv) == &vendor_row;
}

bool p11_ckr_refuses_pin(unsigned long rv)
{
    return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE ||
           rv == CKR_PIN_LOCKED;
}

bool p11_ckr_forbids(unsigned long rv)
{
    return rv == CKR_ACTION_PROHIBITED || rv == CKR_USER_NOT_LOGGED_IN ||
           rv == CKR_FUNCTION_REJECTED || rv == CKR_TOKEN_WRITE_PROTECTED ||
           rv == CKR_SESSION_READ_ONLY || rv == CKR_KEY_FUNCTION_NOT_PERMITTED ||
           rv == CKR_USER_TYPE_INVALID || rv == CKR_ATTRIBUTE_READ_ONLY;
}

bool p11_ckr_stale_handle(unsigned long rv)
{
    return rv == CKR_OBJECT_HANDLE_INVALID || rv == CKR_KEY_HANDLE_INVALID;
}

struct err p11_result(unsigned long rv, const char *where)
{
    return rv == CKR_OK ? ERR_OK : err_ckr(p11_ckr_find(rv)->code, rv, where);
}
