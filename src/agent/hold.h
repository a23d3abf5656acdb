/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that is told to end (SIGTERM, SIGINT, SIGHUP, or the death of whoever started it) ends
 * at once, but not inside C_Login: cut short there, its PIN would count as refused. It then ends
 * when the login has, at the latest after LOGIN_PATIENCE_MS. */
#ifndef P11KMS_HOLD_H
#define P11KMS_HOLD_H

#include "error.h"

/* Once, before the module is loaded. */
MUST_CHECK struct err hold_start(void);

/* Around a login and its record. */
void hold_begin(void);
void hold_end(void);

#endif
