/* SPDX-License-Identifier: Apache-2.0 */
/* One daemon at a time uses a state directory: two would each count their seals from the same
 * number, and the one that ends would write its own count over the other's. */
#ifndef P11KMS_STATE_LOCK_H
#define P11KMS_STATE_LOCK_H

#include "error.h"

/* Where the daemon before us is still draining, which takes it 12 s at most. */
enum { STATE_LOCK_WAIT_MS = 15000 };

/* Takes STATE_DIR/daemon.lock, which lasts until *ret is closed, waiting for whoever has it;
 * SIGTERM and SIGINT, which are blocked, end the wait with ERR_CANCELLED. ERR_IN_USE: it is still
 * held after wait_ms; *ret_holder is its pid, 0: not known. ERR_OK with *ret -1 where there can be
 * no lock: a disk that is full or read-only keeps nobody from opening. */
MUST_CHECK struct err state_lock_take(const char *state_dir, int wait_ms, int *ret,
                                      int *ret_holder);

#endif
