/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module for tests that hands every call to a real one, counts, and breaks what a test
 * asks for. $P11KMS_TEST_MODULE is the real one, $P11KMS_TEST_FAULTS a directory:
 *
 *   once    "FUNCTION ACTION": the next such call breaks; whoever removes the file breaks
 *   always  "FUNCTION ACTION": every such call breaks while the file is there
 *   calls   a line is appended for each C_Initialize and C_Login, for each fault, and for a death
 *
 * ACTION is a CKR in hex, or hang, slow (a second), crash or flip (a bit of what comes out). Of
 * C_GetAttributeValue only the calls for a single attribute break; C_DestroyObject crashes and
 * hangs after it has destroyed.
 *
 * Of agents that make keys, and while the first of these files is there:
 *
 *   maker-calls  a record is appended for every call
 *   maker-dies   "NUMBER MOMENT": the process kills itself before or after that call of all */
#include "every_call.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 64, FLIP = -1, SLOW_MS = 1000 };

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST ours;

const char *fault_path(const char *name, char path[static PATH_MAX])
{
    const char *directory = getenv("P11KMS_TEST_FAULTS");
    (void)snprintf(path, PATH_MAX, "%s/%s", directory ? directory : "/nonexistent", name);
    return path;
}

void fault_note(const char *what)
{
    char path[PATH_MAX], line[LINE_SIZE];
    int fd = open(fault_path("calls", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int len = snprintf(line, sizeof line, "%s\n", what);
    if (fd < 0)
        return;
    if (write(fd, line, (size_t)len) != len)
        abort();
    (void)close(fd);
}

/* The action that a file asks of this function, or an empty string. */
static void read_action(const char *name, const char *function, char action[static LINE_SIZE])
{
    char path[PATH_MAX], line[LINE_SIZE], wanted[LINE_SIZE];
    action[0] = '\0';
    int fd = open(fault_path(name, path), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t len = read(fd, line, sizeof line - 1);
    (void)close(fd);
    line[len > 0 ? len : 0] = '\0';
    if (sscanf(line, "%63s %63s", wanted, action) != 2 || strcmp(wanted, function) != 0)
        action[0] = '\0';
}

static void choose_action(const char *function, char action[static LINE_SIZE])
{
    char path[PATH_MAX];
    read_action("once", function, action);
    if (action[0] && unlink(fault_path("once", path)) == 0)
        return;
    read_action("always", function, action);
}

/* CKR_OK: nothing is to break. FLIP, as a long, when the result is to be altered. */
static long fault(const char *function)
{
    char action[LINE_SIZE];
    choose_action(function, action);
    if (!action[0])
        return CKR_OK;
    fault_note("fault");
    if (strcmp(action, "hang") == 0)
        for (;;)
            (void)pause();
    if (strcmp(action, "slow") == 0)
        return poll(NULL, 0, SLOW_MS) == 0 ? CKR_OK : CKR_GENERAL_ERROR;
    if (strcmp(action, "crash") == 0) {
        (void)signal(SIGSEGV, SIG_DFL);
        (void)raise(SIGSEGV);
    }
    if (strcmp(action, "flip") == 0)
        return FLIP;
    return strtol(action, NULL, 16);
}

static CK_RV initialize(void *args)
{
    fault_note("C_Initialize");
    return real->C_Initialize(args);
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    fault_note("C_Login");
    long rv = fault("C_Login");
    return rv > 0 ? (CK_RV)rv : real->C_Login(session, user, pin, len);
}

static CK_RV encrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    long rv = fault("C_EncryptInit");
    return rv > 0 ? (CK_RV)rv : real->C_EncryptInit(session, mechanism, key);
}

static CK_RV decrypt_init(CK_SESSION_HANDLE session, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    long rv = fault("C_DecryptInit");
    return rv > 0 ? (CK_RV)rv : real->C_DecryptInit(session, mechanism, key);
}

/* The operation is ended, as PKCS#11 demands of a failure: through a buffer of our own. */
static CK_RV encrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                     CK_ULONG *out_len)
{
    long wanted = fault("C_Encrypt");
    CK_RV rv = real->C_Encrypt(session, in, in_len, out, out_len);
    if (wanted > 0)
        return (CK_RV)wanted;
    if (wanted == FLIP && rv == CKR_OK && out && *out_len > 0)
        out[0] ^= 1;
    return rv;
}

static CK_RV decrypt(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                     CK_ULONG *out_len)
{
    long wanted = fault("C_Decrypt");
    CK_RV rv = real->C_Decrypt(session, in, in_len, out, out_len);
    if (wanted > 0)
        return (CK_RV)wanted;
    if (wanted == FLIP && rv == CKR_OK && out && *out_len > 0)
        out[0] ^= 1;
    return rv;
}

static CK_RV get_attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *of,
                           CK_ULONG n)
{
    if (n != 1)
        return real->C_GetAttributeValue(session, object, of, n);
    long wanted = fault("C_GetAttributeValue");
    CK_RV rv = real->C_GetAttributeValue(session, object, of, n);
    if (wanted > 0)
        return (CK_RV)wanted;
    if (wanted == FLIP && rv == CKR_OK && of->pValue && of->ulValueLen > 0)
        ((CK_BYTE *)of->pValue)[0] ^= 1;
    return rv;
}

static CK_RV destroy_object(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    char action[LINE_SIZE];
    read_action("once", "C_DestroyObject", action);
    bool before = action[0] >= '0' && action[0] <= '9'; /* a CKR: nothing is destroyed */
    CK_RV rv = before ? CKR_OK : real->C_DestroyObject(session, object);
    long wanted = fault("C_DestroyObject");
    return wanted > 0 ? (CK_RV)wanted : rv;
}

static CK_RV load(void)
{
    const char *path = getenv("P11KMS_TEST_MODULE");
    void *library = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!library)
        return CKR_GENERAL_ERROR;
    CK_C_GetFunctionList get_list;
    void *symbol = dlsym(library, "C_GetFunctionList");
    memcpy(&get_list, &symbol, sizeof get_list);
    return symbol ? get_list(&real) : CKR_GENERAL_ERROR;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list)
{
    CK_RV rv = real ? CKR_OK : load();
    if (rv != CKR_OK)
        return rv;
    ours = *real;
    ours.C_Initialize = initialize;
    ours.C_Login = login;
    ours.C_DestroyObject = destroy_object;
    ours.C_GetAttributeValue = get_attribute;
    ours.C_EncryptInit = encrypt_init;
    ours.C_Encrypt = encrypt;
    ours.C_DecryptInit = decrypt_init;
    ours.C_Decrypt = decrypt;
    every_call_wrap(&ours);
    *list = &ours;
    return CKR_OK;
}
