/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_session.h"

#include "p11_call.h"

struct err p11_session_open(const struct p11_module *module, unsigned long slot, bool writable,
                            struct p11_session *ret)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (writable ? CKF_RW_SESSION : 0);
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    TRY(P11_CALL(module, C_OpenSession, slot, flags, NULL, NULL, &handle));
    *ret = (struct p11_session){
        .module = module, .slot = slot, .handle = handle, .writable = writable, .open = true};
    return ERR_OK;
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
    struct err e = p11_session_open(session->module, session->slot, session->writable, &fresh);
    p11_session_close(session);
    if (err_is(e))
        TRY(p11_session_open(session->module, session->slot, session->writable, &fresh));
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
