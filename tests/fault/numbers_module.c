/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module before SoftHSM, whose sessions are numbered as tpm2-pkcs11 and openCryptoki
 * number theirs: the lowest free number first, so that a number comes again (SoftHSM gives none
 * twice). And sessions end by themselves, as after an HSM's idle timeout: when the file that
 * $P11KMS_NUMBERS_LOSE names is there, all from the number on that it says, at the next call.
 * A number that a second thread uses, though the first has not closed it, ends the process. */
#include "functions.h"
#include "wrapper.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NUMBERS = 128 };

const char wrapper_variable[] = "P11KMS_NUMBERS_MODULE";

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held in each call; guards the rest */
static struct {
    CK_SESSION_HANDLE session; /* SoftHSM's; 0: the number is free */
    pthread_t user;
    bool used; /* by it, and not closed since */
} numbers[NUMBERS + 1];

static void lose_locked(void)
{
    const char *path = getenv("P11KMS_NUMBERS_LOSE");
    FILE *file = path ? fopen(path, "re") : NULL;
    int first = file ? fgetc(file) - '0' : NUMBERS + 1;
    if (!file)
        return;
    (void)fclose(file);
    if (unlink(path) != 0)
        return;
    for (int i = first; i <= NUMBERS; i++) {
        if (numbers[i].session != 0)
            (void)real->C_CloseSession(numbers[i].session);
        numbers[i].session = 0;
    }
}

/* SoftHSM's session of that number; 0, which is none of its: there is none. */
static CK_SESSION_HANDLE enter(CK_SESSION_HANDLE number)
{
    (void)pthread_mutex_lock(&lock);
    lose_locked();
    if (number == 0 || number > NUMBERS)
        return 0;
    if (numbers[number].used && !pthread_equal(numbers[number].user, pthread_self()))
        abort();
    numbers[number].used = true;
    numbers[number].user = pthread_self();
    return numbers[number].session;
}

static CK_RV leave(CK_RV rv)
{
    (void)pthread_mutex_unlock(&lock);
    return rv;
}

/* The last one is free, or there are too many. */
static size_t lowest_locked(void)
{
    size_t i = 1;
    while (i < NUMBERS && numbers[i].session != 0)
        i++;
    return i;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *ret)
{
    CK_SESSION_HANDLE session;
    (void)enter(0);
    CK_RV rv = real->C_OpenSession(slot, flags, context, notify, &session);
    if (rv != CKR_OK)
        return leave(rv);
    size_t number = lowest_locked();
    if (numbers[number].session != 0)
        abort();
    numbers[number].session = session;
    *ret = number;
    return leave(CKR_OK);
}

static CK_RV close_session(CK_SESSION_HANDLE number)
{
    CK_SESSION_HANDLE session = enter(number);
    CK_RV rv = real->C_CloseSession(session);
    if (number <= NUMBERS) {
        numbers[number].used = false;
        numbers[number].session = 0;
    }
    return leave(rv);
}

static CK_RV session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *info)
{
    session = enter(session);
    return leave(real->C_GetSessionInfo(session, info));
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG len)
{
    session = enter(session);
    return leave(real->C_Login(session, user, pin, len));
}

#define DEFINE(name, parameters, arguments, slot, out)                                             \
    static CK_RV our_##name parameters                                                             \
    {                                                                                              \
        session = enter(session);                                                                  \
        return leave(real->name arguments);                                                        \
    }
FUNCTIONS_OBJECT(DEFINE)
FUNCTIONS_CRYPT(DEFINE)
FUNCTIONS_KEY(DEFINE)

#define TAKE(name, parameters, arguments, slot, out) list->name = our_##name;
void wrapper_take(CK_FUNCTION_LIST *list)
{
    FUNCTIONS_OBJECT(TAKE)
    FUNCTIONS_CRYPT(TAKE)
    FUNCTIONS_KEY(TAKE)
    list->C_OpenSession = open_session;
    list->C_CloseSession = close_session;
    list->C_GetSessionInfo = session_info;
    list->C_Login = login;
}
