/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_session.h"

#include "p11_call.h"

/* wanted says what: all but its handle and whether it is open. */
static struct err open_like(const struct p11_session *wanted, struct p11_session *ret)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (wanted->writable ? CKF_RW_SESSION : 0);
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    TRY(P11_CALL(wanted->module, C_OpenSession, wanted->slot, flags, NULL, NULL, &handle));
    *ret = *wanted;
    ret->handle = handle;
    ret->open = true;
    return ERR_OK;
}

struct err p11_session_open(const struct p11_module *module, const struct p11_token *token,
                            bool writable, struct p11_session *ret)
{
    const struct p11_session wanted = {.module = module,
                                       .slot = token->slot,
                                       .quirks = token->quirks,
                                       .writable = writable ||
                                                   quirks_have(token->quirks, QUIRK_NO_READ_ONLY)};
    return open_like(&wanted, ret);
}

void p11_session_close(struct p11_session *session)
{
    struct err ignored = ERR_OK;
    if (session->open)
        ignored = P11_CALL(session->module, C_CloseSession, session->handle);
    (void)ignored;
    session->open = false;
}

struct err p11_session_reopen(struct p11_session *session)
{
    struct p11_session fresh;
    /* The new one first: closing a process's last session logs it out. */
    struct err e = open_like(session, &fresh);
    p11_session_close(session);
    if (err_is(e))
        TRY(open_like(session, &fresh));
    *session = fresh;
    return ERR_OK;
}

struct err p11_session_logged_in(const struct p11_session *session, bool *ret)
{
    CK_SESSION_INFO info = {.state = CKS_RO_PUBLIC_SESSION};
    TRY(P11_CALL(session->module, C_GetSessionInfo, session->handle, &info));
    *ret = info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
    return ERR_OK;
}
