/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_session.h"

#include "p11_call.h"

#include <stdlib.h>

/* The numbers that this process goes by. A token that closes a session by itself may give its
 * number to the next one that is opened, while a thread still has it for its own: what such a
 * thread would use, or close, must not be another's. So a number that is held stays its holder's,
 * who finds a session there that is as good as the one that was lost: all of a process are of one
 * kind. */
struct held {
    const struct p11_module *module;
    CK_SESSION_HANDLE handle;
};

static struct {
    pthread_mutex_t lock; /* guards the rest, and is held where sessions come and go */
    struct held *all;
    size_t n, room;
} held = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct err make_room_locked(void)
{
    if (held.n < held.room)
        return ERR_OK;
    struct held *more = reallocarray(held.all, held.room + 1, sizeof *more);
    if (!more)
        return err_make(ERR_EXHAUSTED, "sessions");
    held.all = more;
    held.room++;
    return ERR_OK;
}

/* Where it stands; held.n: nowhere. */
static size_t find_locked(const struct p11_module *module, CK_SESSION_HANDLE handle)
{
    size_t i = 0;
    while (i < held.n && (held.all[i].module != module || held.all[i].handle != handle))
        i++;
    return i;
}

static struct err open_one_locked(const struct p11_session *wanted, CK_SESSION_HANDLE *ret)
{
    CK_FLAGS flags = CKF_SERIAL_SESSION | (wanted->writable ? CKF_RW_SESSION : 0);
    return P11_CALL(wanted->module, C_OpenSession, wanted->slot, flags, NULL, NULL, ret);
}

/* A session that nobody holds but, where the token has lost that one, who wants it. */
static struct err open_locked(const struct p11_session *wanted, CK_SESSION_HANDLE *ret)
{
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
    for (size_t i = 0; i <= held.n; i++) {
        TRY(open_one_locked(wanted, &handle));
        if (find_locked(wanted->module, handle) == held.n ||
            (wanted->open && handle == wanted->handle)) {
            *ret = handle;
            return ERR_OK;
        }
    }
    return err_make(ERR_UNAVAILABLE, "C_OpenSession gave sessions that are in use");
}

static void hold_locked(struct p11_session *session, CK_SESSION_HANDLE handle)
{
    session->handle = handle;
    session->open = true;
    held.all[held.n++] = (struct held){session->module, handle};
}

static void close_locked(struct p11_session *session)
{
    struct err ignored = ERR_OK;
    if (session->open)
        ignored = P11_CALL(session->module, C_CloseSession, session->handle);
    (void)ignored;
    size_t at = session->open ? find_locked(session->module, session->handle) : held.n;
    if (at < held.n)
        held.all[at] = held.all[--held.n];
    session->handle = CK_INVALID_HANDLE; /* it may be another's soon */
    session->open = false;
}

static struct err reopen_locked(struct p11_session *session)
{
    CK_SESSION_HANDLE fresh;
    TRY(make_room_locked());
    /* The new one first: closing a process's last session logs it out. */
    struct err e = open_locked(session, &fresh);
    if (!err_is(e) && session->open && fresh == session->handle)
        return ERR_OK; /* the token had closed the old one */
    close_locked(session);
    if (err_is(e))
        TRY(open_locked(session, &fresh));
    hold_locked(session, fresh);
    return ERR_OK;
}

struct err p11_session_open(const struct p11_module *module, const struct p11_token *token,
                            bool writable, struct p11_session *ret)
{
    struct p11_session session = {.module = module,
                                  .slot = token->slot,
                                  .quirks = token->quirks,
                                  .writable =
                                      writable || quirks_have(token->quirks, QUIRK_NO_READ_ONLY)};
    TRY(p11_session_reopen(&session));
    *ret = session;
    return ERR_OK;
}

void p11_session_close(struct p11_session *session)
{
    (void)pthread_mutex_lock(&held.lock);
    close_locked(session);
    (void)pthread_mutex_unlock(&held.lock);
}

struct err p11_session_reopen(struct p11_session *session)
{
    (void)pthread_mutex_lock(&held.lock);
    struct err e = reopen_locked(session);
    (void)pthread_mutex_unlock(&held.lock);
    return e;
}

struct err p11_session_logged_in(const struct p11_session *session, bool *ret)
{
    CK_SESSION_INFO info = {.state = CKS_RO_PUBLIC_SESSION};
    TRY(P11_CALL(session->module, C_GetSessionInfo, session->handle, &info));
    *ret = info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
    return ERR_OK;
}
