/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

/* --- no read-only ones -------------------------------------------------------------------------
 */

static CK_C_OpenSession before_read_write, before_few;

static CK_RV read_write_open(CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify,
                             CK_SESSION_HANDLE *ret)
{
    if ((flags & CKF_RW_SESSION) == 0)
        return CKR_FUNCTION_FAILED;
    return before_read_write(slot, flags, context, notify, ret);
}

void mock_read_write_only(CK_FUNCTION_LIST *list)
{
    before_read_write = list->C_OpenSession;
    list->C_OpenSession = read_write_open;
}

/* --- few of them: a session is a locked file, so that a process that dies gives its own back ---
 */

struct place {
    CK_SESSION_HANDLE session;
    int fd; /* 0: not ours */
};

static struct {
    pthread_mutex_t lock; /* guards the rest */
    struct place places[MOCK_SESSIONS];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct place *take_place_locked(void)
{
    for (int i = 0; i < MOCK_SESSIONS; i++) {
        char name[32], path[PATH_MAX];
        if (state.places[i].fd != 0)
            continue;
        (void)snprintf(name, sizeof name, "session-%d", i);
        int fd = open(mock_path(name, path), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
            state.places[i].fd = fd;
            return &state.places[i];
        }
        if (fd >= 0)
            (void)close(fd);
    }
    return NULL;
}

static void free_place(struct place *place)
{
    if (place->fd != 0)
        (void)close(place->fd);
    *place = (struct place){.fd = 0};
}

static CK_RV few_open(CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify,
                      CK_SESSION_HANDLE *ret)
{
    CK_RV rv = CKR_SESSION_COUNT;
    (void)pthread_mutex_lock(&state.lock);
    struct place *place = take_place_locked();
    if (place) {
        rv = before_few(slot, flags, context, notify, ret);
        if (rv == CKR_OK)
            place->session = *ret;
        else
            free_place(place);
    }
    (void)pthread_mutex_unlock(&state.lock);
    return rv;
}

static CK_RV few_close(CK_SESSION_HANDLE session)
{
    CK_RV rv = real->C_CloseSession(session);
    (void)pthread_mutex_lock(&state.lock);
    for (int i = 0; i < MOCK_SESSIONS && rv == CKR_OK; i++)
        if (state.places[i].session == session)
            free_place(&state.places[i]);
    (void)pthread_mutex_unlock(&state.lock);
    return rv;
}

static void free_all(void)
{
    (void)pthread_mutex_lock(&state.lock);
    for (int i = 0; i < MOCK_SESSIONS; i++)
        free_place(&state.places[i]);
    (void)pthread_mutex_unlock(&state.lock);
}

static CK_RV few_close_all(CK_SLOT_ID slot)
{
    CK_RV rv = real->C_CloseAllSessions(slot);
    free_all();
    return rv;
}

static CK_RV few_finalize(void *reserved)
{
    CK_RV rv = real->C_Finalize(reserved);
    free_all();
    return rv;
}

void mock_few_sessions(CK_FUNCTION_LIST *list)
{
    before_few = list->C_OpenSession;
    list->C_OpenSession = few_open;
    list->C_CloseSession = few_close;
    list->C_CloseAllSessions = few_close_all;
    list->C_Finalize = few_finalize;
}
