/* SPDX-License-Identifier: Apache-2.0 */
/* Where the PIN comes from: credential:NAME | file:PATH | protected. */
#ifndef P11KMS_PIN_SOURCE_H
#define P11KMS_PIN_SOURCE_H

#include "advice.h"
#include "agent_process.h"
#include "secret.h"

enum { PIN_MAX = 255, PIN_IDENTITY_MAX = 127 };

/* Which file the PIN was read from, and since when it is as it is: device, inode and times. Equal
 * ones: the same PIN. It says nothing of the PIN itself, so it may be kept. Empty: nothing is known
 * (the PIN is given at the token). */
struct pin_identity {
    char text[PIN_IDENTITY_MAX + 1]; /* one word */
};

/* The file that the source names. ERR_TOKEN when it names none. */
MUST_CHECK struct err pin_source_path(const char *source, char *ret, size_t size,
                                      struct advice *advice);

/* Reads the PIN, without one newline at its end, into a secret of PIN_MAX + 2 bytes or more. A
 * protected source yields no bytes. A file that others may read, or that belongs to another
 * user, is ERR_TOKEN, and advice names it and the command that mends it. */
MUST_CHECK struct err pin_source_read(const char *source, struct secret *pin,
                                      struct pin_identity *ret_identity, struct advice *advice);

#endif
