/* SPDX-License-Identifier: Apache-2.0 */
/* The one error type. A value, not a pointer: no heap, and nowhere to put a secret. */
#ifndef P11KMS_ERROR_H
#define P11KMS_ERROR_H

#include <stdbool.h>

/* What went wrong, in the terms of the caller who must act on it. */
enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,     /* the request or the stored bytes are malformed */
    ERR_AUTH,        /* authentication of a ciphertext failed */
    ERR_NOT_FOUND,   /* no such key, file or object, on something that works */
    ERR_UNAVAILABLE, /* the token, its agent or its store is away; may come back */
    ERR_EXHAUSTED,   /* a limit on memory, lanes or waiting requests is reached */
    ERR_DEADLINE,    /* time ran out */
    ERR_CANCELLED,   /* the caller went away */
    ERR_DENIED,      /* the peer may not do this */
    ERR_CONFIG,      /* the configuration is wrong */
    ERR_IN_USE,      /* somebody else holds the socket or the lock */
    ERR_TOKEN,       /* the token needs a human: PIN, missing KEK, forbidden attribute */
    ERR_REFUSED,     /* it could be done, and must not be */
    ERR_UNSUPPORTED, /* the token or this build cannot do it */
    ERR_USAGE,       /* wrong command line */
    ERR_SYSTEM,      /* the operating system said no; native is an errno */
    ERR_INTERNAL,    /* a broken promise between our own parts */
    ERR_CODES        /* count */
};

/* What the native value is. */
enum err_kind { ERR_KIND_NONE = 0, ERR_KIND_ERRNO, ERR_KIND_CKR };

/* code and where always speak together; native is 0 with ERR_KIND_NONE. */
struct err {
    enum err_code code;
    enum err_kind kind;
    unsigned long native; /* an errno or a CKR, by kind */
    const char *where;    /* a static string: the function or call that failed */
};

#define MUST_CHECK __attribute__((warn_unused_result))

#define ERR_OK ((struct err){ERR_NONE, ERR_KIND_NONE, 0, ""})

static inline bool err_is(struct err e)
{
    return e.code != ERR_NONE;
}

/* An error with no native value. where must be a static string. Inline, as the next but one, so
 * that static analysis sees that an error is one. */
MUST_CHECK static inline struct err err_make(enum err_code code, const char *where)
{
    return (struct err){code, ERR_KIND_NONE, 0, where};
}

/* An error of the operating system. errnum is kept; ENOMEM becomes ERR_EXHAUSTED, ENOENT
 * ERR_NOT_FOUND, EADDRINUSE ERR_IN_USE, EACCES and EPERM ERR_DENIED, anything else ERR_SYSTEM. */
MUST_CHECK struct err err_errno(int errnum, const char *where);

/* An error of a PKCS#11 call. Only pkcs11/ and the decoder of lane replies make these. */
MUST_CHECK static inline struct err err_ckr(enum err_code code, unsigned long rv, const char *where)
{
    return (struct err){code, ERR_KIND_CKR, rv, where};
}

/* The name of a code, such as "unavailable". Never NULL. */
const char *err_name(enum err_code code);

/* The documented exit code of a program that ends with this error (0 to 6, design: Interfaces). */
int err_exit_code(struct err e);

/* Writes "where: name (native)" to text, always terminated, truncated to size. Returns text. */
const char *err_format(struct err e, char *text, unsigned long size);

/* The only propagation macro: returns the error of expr from the enclosing function. */
#define TRY(expr)                                                                                  \
    do {                                                                                           \
        struct err try_err_ = (expr);                                                              \
        if (err_is(try_err_))                                                                      \
            return try_err_;                                                                       \
    } while (0)

#endif
