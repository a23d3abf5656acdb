/* SPDX-License-Identifier: Apache-2.0 */
#include "act.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

enum { SLOTS_MAX = 32 };

/* --- the process ------------------------------------------------------------------------- */

static void hang(int64_t ms)
{
    struct timespec left = {ms / 1000, (long)(ms % 1000) * 1000000};
    while (ms < 0)
        (void)pause();
    while (nanosleep(&left, &left) != 0 && errno == EINTR)
        continue;
}

/* As a token that does one thing at a time: calls of other sessions wait. */
static void be_slow(int64_t ms)
{
    static pthread_mutex_t token = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&token);
    hang(ms);
    (void)pthread_mutex_unlock(&token);
}

/* Nobody frees it. */
static void leak(unsigned long mib)
{
    static void *volatile leaked;
    void **memory = malloc(mib << 20);
    if (!memory)
        return;
    memset(memory, 0x5a, mib << 20); /* what is not touched is not there */
    *memory = leaked;
    leaked = memory;
}

static void end_by(int number)
{
    (void)signal(number, SIG_DFL);
    (void)raise(number);
}

/* Those that come before the call or after it. */
static void disturb(const struct action *action)
{
    switch (action->kind) {
    case ACTION_HANG:
        hang(action->ms);
        break;
    case ACTION_SLOW:
        be_slow(action->ms);
        break;
    case ACTION_CRASH:
        end_by(SIGSEGV);
        break;
    case ACTION_ABORT:
        end_by(SIGABRT);
        break;
    case ACTION_KILL:
        end_by(SIGKILL);
        break;
    default:
        break;
    }
}

/* --- the token --------------------------------------------------------------------------- */

typedef void slot_action(CK_FUNCTION_LIST *real, CK_SLOT_ID slot);

static void lose_sessions(CK_FUNCTION_LIST *real, CK_SLOT_ID slot)
{
    (void)real->C_CloseAllSessions(slot);
}

/* A login is all sessions', so that any session ends it. */
static void log_out(CK_FUNCTION_LIST *real, CK_SLOT_ID slot)
{
    CK_SESSION_HANDLE session;
    if (real->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &session) != CKR_OK)
        return;
    (void)real->C_Logout(session);
    (void)real->C_CloseSession(session);
}

static void for_each_slot(CK_FUNCTION_LIST *real, slot_action *action)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG n = SLOTS_MAX;
    if (real->C_GetSlotList(CK_TRUE, slots, &n) != CKR_OK)
        return;
    for (CK_ULONG i = 0; i < n; i++)
        action(real, slots[i]);
}

void act_before(CK_FUNCTION_LIST *real, struct call *call)
{
    const struct action *action = &call->action;
    if (action->after)
        return;
    disturb(action);
    if (action->kind == ACTION_LOSE_SESSIONS)
        for_each_slot(real, lose_sessions);
    if (action->kind == ACTION_LOG_OUT)
        for_each_slot(real, log_out);
    if (action->kind == ACTION_LEAK)
        leak(action->by);
    call->answered = action->kind == ACTION_RETURN || action->kind == ACTION_NOTHING;
    call->rv = action->kind == ACTION_RETURN ? action->rv : CKR_OK;
}

/* --- the answer -------------------------------------------------------------------------- */

static void fill_with_garbage(void *at, size_t size)
{
    if (size > 256) /* as much as getrandom gives at once */
        size = 256;
    if (at && getrandom(at, size, 0) != (ssize_t)size)
        memset(at, 0xa5, size);
}

/* What comes out, one range at a time. */
typedef void range_action(void *at, size_t size);

static void flip(void *at, size_t size)
{
    if (at && size > 0)
        *(unsigned char *)at ^= 1;
}

static void for_each_range(const struct out *out, range_action *action)
{
    const CK_ATTRIBUTE *attributes = out->at;
    switch (out->kind) {
    case OUT_NONE:
        break;
    case OUT_STRUCT:
    case OUT_TOKEN:
        action(out->at, out->size);
        break;
    case OUT_BYTES:
    case OUT_SLOTS:
        action(out->at, out->at ? *out->count * out->size : 0);
        break;
    case OUT_ATTRIBUTES:
        for (size_t i = 0; i < out->size; i++)
            if (attributes[i].pValue && attributes[i].ulValueLen != CK_UNAVAILABLE_INFORMATION)
                action(attributes[i].pValue, attributes[i].ulValueLen);
        break;
    }
}

static CK_ULONG changed(CK_ULONG count, const struct action *action)
{
    if (action->kind == ACTION_LONG)
        return count + action->by;
    return count > action->by ? count - action->by : 0;
}

/* Says more or less than it put there. */
static void change_counts(const struct out *out, const struct action *action)
{
    CK_ATTRIBUTE *attributes = out->at;
    if (out->kind == OUT_BYTES || out->kind == OUT_SLOTS)
        *out->count = changed(*out->count, action);
    if (out->kind == OUT_ATTRIBUTES)
        for (size_t i = 0; i < out->size; i++)
            if (attributes[i].ulValueLen != CK_UNAVAILABLE_INFORMATION)
                attributes[i].ulValueLen = changed(attributes[i].ulValueLen, action);
}

static void change_flags(const struct out *out, const struct action *action)
{
    CK_TOKEN_INFO *info = out->at;
    if (out->kind == OUT_TOKEN && info)
        info->flags = (info->flags | action->set) & ~action->clear;
}

static void spoil(const struct call *call)
{
    const struct action *action = &call->action;
    if (action->kind == ACTION_GARBAGE)
        for_each_range(&call->out, fill_with_garbage);
    if (action->kind == ACTION_FLIP)
        for_each_range(&call->out, flip);
    if (action->kind == ACTION_SHORT || action->kind == ACTION_LONG)
        change_counts(&call->out, action);
    if (action->kind == ACTION_FLAGS)
        change_flags(&call->out, action);
}

CK_RV act_after(const struct call *call, CK_RV rv)
{
    if (call->action.after)
        disturb(&call->action);
    if (call->action.after && call->action.kind == ACTION_RETURN)
        return call->action.rv;
    if (rv == CKR_OK)
        spoil(call);
    return rv;
}
