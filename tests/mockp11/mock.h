/* SPDX-License-Identifier: Apache-2.0 */
/* Inside mockp11: SoftHSM with the manners of tokens that cannot be had here. A personality is a
 * list of traits; each trait puts functions of its own before what the list has. */
#ifndef P11KMS_MOCK_H
#define P11KMS_MOCK_H

#include "wrapper.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

typedef void mock_trait(CK_FUNCTION_LIST *list);

/* CKM_AES_GCM. */
mock_trait mock_own_iv;      /* ignores the caller's IV, makes one, writes it over the caller's */
mock_trait mock_zero_iv;     /* wants an IV of zeros to encrypt with */
mock_trait mock_iv_appended; /* ignores the caller's IV, appends its own 16 bytes after the tag */
mock_trait mock_ignores_aad; /* authenticates no associated data */
mock_trait mock_no_gcm;      /* does not have it */
mock_trait mock_unlisted;    /* does not list it either */

/* CKM_SHA256_HMAC. */
mock_trait mock_same_mac; /* the same for every input */
mock_trait mock_untold;   /* no CKA_VALUE_LEN, and CKK_SHA256_HMAC for what was generated */

/* Sessions. */
mock_trait mock_read_write_only; /* opens no read-only ones */
mock_trait mock_few_sessions;    /* MOCK_SESSIONS in all, of all processes */

/* What the user may do. */
mock_trait mock_no_relabel;     /* has no C_SetAttributeValue */
mock_trait mock_read_only_user; /* may make, change and destroy nothing */
mock_trait mock_keypad;         /* the PIN is entered at the token */

/* The network: away while the file "fault" is there. */
mock_trait mock_needs_finalize; /* comes back with C_Finalize and C_Initialize */
mock_trait mock_needs_process;  /* comes back in a new process only */

enum { MOCK_SESSIONS = 3 };

/* The path of a file of $P11KMS_MOCK_DIR. */
const char *mock_path(const char *name, char path[static PATH_MAX]);

/* The first line of such a file, without its newline. False: it is not there. */
bool mock_line(const char *name, char *line, size_t size);

#endif
