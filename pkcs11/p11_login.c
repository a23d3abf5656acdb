/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_login.h"

#include "p11_call.h"

/* What is not here is doubtful: CKR_GENERAL_ERROR, CKR_FUNCTION_FAILED, vendors' own codes and
 * codes that C_Login has no business to answer. */
enum login_end p11_login_end(unsigned long rv)
{
    if (p11_ckr_refuses_pin(rv))
        return LOGIN_REFUSED;
    switch (rv) {
    case CKR_OK:
        return LOGIN_GOOD;
    case CKR_USER_ALREADY_LOGGED_IN:
        return LOGIN_SHARED;
    case CKR_ARGUMENTS_BAD:
    case CKR_CRYPTOKI_NOT_INITIALIZED:
    case CKR_FUNCTION_NOT_SUPPORTED:
    case CKR_SESSION_CLOSED:
    case CKR_SESSION_HANDLE_INVALID:
    case CKR_SESSION_READ_ONLY_EXISTS:
    case CKR_SLOT_ID_INVALID:
    case CKR_TOKEN_NOT_PRESENT:
    case CKR_TOKEN_NOT_RECOGNIZED:
    case CKR_USER_ANOTHER_ALREADY_LOGGED_IN:
    case CKR_USER_PIN_NOT_INITIALIZED:
    case CKR_USER_TOO_MANY_TYPES:
    case CKR_USER_TYPE_INVALID:
        return LOGIN_NOT_BEGUN;
    case CKR_DEVICE_ERROR:
    case CKR_DEVICE_MEMORY:
    case CKR_DEVICE_REMOVED:
    case CKR_HOST_MEMORY:
        return LOGIN_OUTAGE;
    case CKR_PIN_EXPIRED:
        return LOGIN_REFUSED; /* right or wrong: no try of it succeeds any more */
    default:
        return LOGIN_DOUBTFUL;
    }
}

struct err p11_session_login(const struct p11_session *session, struct bytes pin,
                             enum login_end *ret_end)
{
    CK_UTF8CHAR *text = pin.len > 0 ? (CK_UTF8CHAR *)(uintptr_t)pin.data : NULL;
    struct err e = P11_CALL(session->module, C_Login, session->handle, CKU_USER, text, pin.len);
    *ret_end = p11_login_end(e.native);
    return *ret_end == LOGIN_SHARED ? ERR_OK : e;
}
