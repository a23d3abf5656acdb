/* SPDX-License-Identifier: Apache-2.0 */
#include "every_call.h"

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RECORD = 32, SECOND_LANE_FD = 5 };

static CK_FUNCTION_LIST below;
static bool dies_after;

/* The number of this call, from 1, over all agents that make keys; 0: nobody counts. A record has
 * one size, so that where it lands in the file is its number. */
static unsigned long count(const char *function)
{
    char path[PATH_MAX], record[RECORD + 1];
    int fd = open(fault_path("maker-calls", path), O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0)
        return 0;
    (void)snprintf(record, sizeof record, "%-*s\n", RECORD - 1, function);
    if (write(fd, record, RECORD) != RECORD)
        abort();
    unsigned long number = (unsigned long)lseek(fd, 0, SEEK_CUR) / RECORD;
    (void)close(fd);
    return number;
}

static bool is_asked_for(unsigned long number, const char *moment)
{
    char path[PATH_MAX], line[RECORD], wanted_moment[RECORD] = "";
    unsigned long wanted = 0;
    int fd = open(fault_path("maker-dies", path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, line, sizeof line - 1);
    (void)close(fd);
    line[len > 0 ? len : 0] = '\0';
    return sscanf(line, "%lu %31s", &wanted, wanted_moment) == 2 && wanted == number &&
           strcmp(moment, wanted_moment) == 0;
}

static void die(void)
{
    fault_note("died");
    (void)raise(SIGKILL);
}

static void before(const char *function)
{
    unsigned long number = count(function);
    if (number == 0)
        return;
    if (is_asked_for(number, "before"))
        die();
    dies_after = is_asked_for(number, "after");
}

static CK_RV after(CK_RV rv)
{
    if (dies_after)
        die();
    return rv;
}

#define SESSION   CK_SESSION_HANDLE session
#define BYTES_IN  CK_BYTE *in, CK_ULONG in_len
#define BYTES_OUT CK_BYTE *out, CK_ULONG *out_len
#define TEMPLATE  CK_ATTRIBUTE *template, CK_ULONG n

/* Every function that pkcs11/ calls: name, parameters, arguments. */
#define FUNCTIONS(X)                                                                               \
    X(C_Initialize, (void *args), (args))                                                          \
    X(C_GetInfo, (CK_INFO * info), (info))                                                         \
    X(C_GetSlotList, (CK_BBOOL present, CK_SLOT_ID * slots, CK_ULONG * n), (present, slots, n))    \
    X(C_GetSlotInfo, (CK_SLOT_ID slot, CK_SLOT_INFO * info), (slot, info))                         \
    X(C_GetTokenInfo, (CK_SLOT_ID slot, CK_TOKEN_INFO * info), (slot, info))                       \
    X(C_OpenSession,                                                                               \
      (CK_SLOT_ID slot, CK_FLAGS flags, void *context, CK_NOTIFY notify, CK_SESSION_HANDLE *ret),  \
      (slot, flags, context, notify, ret))                                                         \
    X(C_CloseSession, (SESSION), (session))                                                        \
    X(C_GetSessionInfo, (SESSION, CK_SESSION_INFO * info), (session, info))                        \
    X(C_Login, (SESSION, CK_USER_TYPE user, CK_BYTE * pin, CK_ULONG n), (session, user, pin, n))   \
    X(C_Logout, (SESSION), (session))                                                              \
    X(C_FindObjectsInit, (SESSION, TEMPLATE), (session, template, n))                              \
    X(C_FindObjects, (SESSION, CK_OBJECT_HANDLE * keys, CK_ULONG max, CK_ULONG * n),               \
      (session, keys, max, n))                                                                     \
    X(C_FindObjectsFinal, (SESSION), (session))                                                    \
    X(C_GetAttributeValue, (SESSION, CK_OBJECT_HANDLE key, TEMPLATE), (session, key, template, n)) \
    X(C_SetAttributeValue, (SESSION, CK_OBJECT_HANDLE key, TEMPLATE), (session, key, template, n)) \
    X(C_GenerateKey, (SESSION, CK_MECHANISM * mechanism, TEMPLATE, CK_OBJECT_HANDLE * ret),        \
      (session, mechanism, template, n, ret))                                                      \
    X(C_DestroyObject, (SESSION, CK_OBJECT_HANDLE key), (session, key))                            \
    X(C_EncryptInit, (SESSION, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE key),                    \
      (session, mechanism, key))                                                                   \
    X(C_Encrypt, (SESSION, BYTES_IN, BYTES_OUT), (session, in, in_len, out, out_len))              \
    X(C_DecryptInit, (SESSION, CK_MECHANISM * mechanism, CK_OBJECT_HANDLE key),                    \
      (session, mechanism, key))                                                                   \
    X(C_Decrypt, (SESSION, BYTES_IN, BYTES_OUT), (session, in, in_len, out, out_len))

#define DEFINE(name, parameters, arguments)                                                        \
    static CK_RV counted_##name parameters                                                         \
    {                                                                                              \
        before(#name);                                                                             \
        return after(below.name arguments);                                                        \
    }
FUNCTIONS(DEFINE)

/* An agent that makes keys has one lane; one that serves has two or more, on the next descriptors
 * (agent_process.h). */
static bool makes_keys(void)
{
    struct stat second;
    return fstat(SECOND_LANE_FD, &second) != 0 || !S_ISSOCK(second.st_mode);
}

void every_call_wrap(CK_FUNCTION_LIST *list)
{
    if (!makes_keys())
        return;
    below = *list;
    *list = (CK_FUNCTION_LIST){.version = below.version, .C_Finalize = below.C_Finalize};
#define WRAP(name, parameters, arguments) list->name = counted_##name;
    FUNCTIONS(WRAP)
}
