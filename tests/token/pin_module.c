/* SPDX-License-Identifier: Apache-2.0 */
/* A PKCS#11 module between agent and token that notes every C_Login, and does to it what a test
 * asks. $P11KMS_PIN_MODULE is the real one, $P11KMS_PIN_DIR a directory:
 *
 *   logins  a line for each C_Login, with the PIN as it came; NULL for none. A line "start" for
 * each C_Initialize login   "before WHAT" or "after WHAT": done at every C_Login, before or after
 * the token has it. WHAT is crash, gate (waits until somebody has opened the FIFO named arrived to
 * read, and then the one named gate to write), or a CKR in hex, which is answered; the token is not
 *           asked where that comes before
 *   keypad  what somebody enters at the token when there is no PIN: its protected path
 *   flags   hex: token flags that are shown as well */
#include "wrapper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LINE_SIZE = 64 };

const char wrapper_variable[] = "P11KMS_PIN_MODULE";

static const char *path_of(const char *name, char path[static PATH_MAX])
{
    const char *directory = getenv("P11KMS_PIN_DIR");
    (void)snprintf(path, PATH_MAX, "%s/%s", directory ? directory : "/nonexistent", name);
    return path;
}

static void note(const char *text, size_t len)
{
    char path[PATH_MAX], line[LINE_SIZE];
    int fd = open(path_of("logins", path), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    int n = snprintf(line, sizeof line, "%.*s\n", (int)len, text);
    if (fd < 0 || (write(fd, line, (size_t)n) != n && errno != EFBIG)) /* a test's own limit */
        abort();
    (void)close(fd);
}

static int read_line(const char *name, char line[static LINE_SIZE])
{
    char path[PATH_MAX];
    int fd = open(path_of(name, path), O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, line, LINE_SIZE - 1);
    if (fd >= 0)
        (void)close(fd);
    line[len > 0 ? len : 0] = '\0';
    return len > 0;
}

/* Opening a FIFO waits for whoever opens its other end. */
static void meet(const char *name, int flags)
{
    char path[PATH_MAX];
    int fd = open(path_of(name, path), flags | O_CLOEXEC);
    if (fd < 0)
        abort();
    (void)close(fd);
}

/* CKR_OK: nothing is asked for at this moment, or it is over. */
static CK_RV act(const char *moment)
{
    char line[LINE_SIZE], when[LINE_SIZE], what[LINE_SIZE];
    if (!read_line("login", line) || sscanf(line, "%63s %63s", when, what) != 2 ||
        strcmp(when, moment) != 0)
        return CKR_OK;
    if (strcmp(what, "crash") == 0)
        (void)raise(SIGKILL);
    if (strcmp(what, "gate") != 0)
        return strtoul(what, NULL, 16);
    meet("arrived", O_WRONLY);
    meet("gate", O_RDONLY);
    return CKR_OK;
}

static CK_RV login(CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR *pin, CK_ULONG len)
{
    char keypad[LINE_SIZE];
    note(pin ? (const char *)pin : "NULL", pin ? len : 4);
    CK_RV rv = act("before");
    if (!pin && read_line("keypad", keypad)) {
        pin = (CK_UTF8CHAR *)keypad;
        len = strcspn(keypad, "\n");
    }
    if (rv == CKR_OK) {
        rv = real->C_Login(session, user, pin, len);
        CK_RV instead = act("after");
        rv = instead == CKR_OK ? rv : instead;
    }
    return rv;
}

static CK_RV initialize(void *args)
{
    note("start", 5);
    return real->C_Initialize(args);
}

static CK_RV token_info(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
    char line[LINE_SIZE];
    CK_RV rv = real->C_GetTokenInfo(slot, info);
    if (rv == CKR_OK && read_line("flags", line))
        info->flags |= strtoul(line, NULL, 16);
    return rv;
}

void wrapper_take(CK_FUNCTION_LIST *list)
{
    list->C_Initialize = initialize;
    list->C_Login = login;
    list->C_GetTokenInfo = token_info;
}
