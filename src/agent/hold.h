/* SPDX-License-Identifier: Apache-2.0 */
/* An agent that is told to end (SIGTERM, SIGINT, SIGHUP, or the death of whoever started it), or
 * that ends itself (its lanes were closed, or broke), ends at once, but not inside C_Login: cut
 * short there, its PIN would count as refused. It then ends when the login has, at the latest after
 * LOGIN_PATIENCE_MS. */
#ifndef P11KMS_HOLD_H
#define P11KMS_HOLD_H

#include "error.h"

#include <stdint.h>

/* Once, before the module is loaded. Whoever uses a lane never closes it: its number would be
 * another file's when hold_exit ends the lanes. */
MUST_CHECK struct err hold_start(uint32_t lanes);

/* Around a login and its record. */
void hold_begin(void);
void hold_end(void);

/* _exit, but not while another thread logs in: then the lanes end at once, and the process with
 * that login. Never between hold_begin and hold_end of the same thread. */
_Noreturn void hold_exit(int code);

#endif
