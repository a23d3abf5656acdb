/* SPDX-License-Identifier: Apache-2.0 */
#include "error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const names[ERR_CODES] = {
    [ERR_NONE] = "ok",
    [ERR_INVALID] = "invalid",
    [ERR_AUTH] = "authentication failed",
    [ERR_NOT_FOUND] = "not found",
    [ERR_UNAVAILABLE] = "unavailable",
    [ERR_EXHAUSTED] = "resource exhausted",
    [ERR_DEADLINE] = "deadline exceeded",
    [ERR_CANCELLED] = "cancelled",
    [ERR_DENIED] = "permission denied",
    [ERR_CONFIG] = "configuration",
    [ERR_IN_USE] = "in use",
    [ERR_TOKEN] = "token",
    [ERR_REFUSED] = "refused",
    [ERR_UNSUPPORTED] = "unsupported",
    [ERR_USAGE] = "usage",
    [ERR_SYSTEM] = "system",
    [ERR_INTERNAL] = "internal",
};

static enum err_code code_of_errno(int errnum)
{
    switch (errnum) {
    case ENOMEM:
        return ERR_EXHAUSTED;
    case ENOENT:
        return ERR_NOT_FOUND;
    case EADDRINUSE:
        return ERR_IN_USE;
    case EACCES:
    case EPERM:
        return ERR_DENIED;
    default:
        return ERR_SYSTEM;
    }
}

struct err err_errno(int errnum, const char *where)
{
    return (struct err){code_of_errno(errnum), ERR_KIND_ERRNO, (unsigned long)errnum, where};
}

const char *err_name(enum err_code code)
{
    return (unsigned)code < ERR_CODES ? names[code] : "unknown";
}

int err_exit_code(struct err e)
{
    switch (e.code) {
    case ERR_NONE:
        return 0;
    case ERR_USAGE:
        return 2;
    case ERR_CONFIG:
        return 3;
    case ERR_IN_USE:
        return 4;
    case ERR_TOKEN:
    case ERR_UNAVAILABLE:
        return 5;
    case ERR_REFUSED:
        return 6;
    default:
        return 1;
    }
}

const char *err_format(struct err e, char *text, unsigned long size)
{
    if (e.kind == ERR_KIND_ERRNO)
        (void)snprintf(text, size, "%s: %s (%s)", e.where, err_name(e.code),
                       strerrordesc_np((int)e.native));
    else if (e.kind == ERR_KIND_CKR)
        (void)snprintf(text, size, "%s: %s (CKR 0x%lx)", e.where, err_name(e.code), e.native);
    else
        (void)snprintf(text, size, "%s: %s", e.where, err_name(e.code));
    return text;
}
