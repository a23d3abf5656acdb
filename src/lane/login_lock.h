/* SPDX-License-Identifier: Apache-2.0 */
/* Agents of one host log in one by one, and are not killed while they do: killed inside C_Login an
 * agent has burnt a try that nobody knows the end of, and its PIN counts as refused. So agents take
 * this lock (a file in stateDir), and whoever would kill one asks who holds it. */
#ifndef P11KMS_LOGIN_LOCK_H
#define P11KMS_LOGIN_LOCK_H

#include "lane.h"

#include <sys/types.h>

/* How long a login may take before its agent is killed all the same: a network HSM's library may
 * wait for minutes, and so may somebody at a keypad. */
enum { LOGIN_PATIENCE_MS = 180000, LOGIN_LOOK_MS = 100 };

/* Waits for the lock. Closing *ret gives it back. */
MUST_CHECK struct err login_lock_take(const char *state_dir, int *ret);

/* The process that holds it; 0: none, or nobody knows. */
pid_t login_lock_holder(const char *state_dir);

/* lane_hello, but as long as an agent of this host logs in the time starts anew, up to
 * LOGIN_PATIENCE_MS in all. */
MUST_CHECK struct err lane_hello_patiently(int fd, int timeout_ms, const char *state_dir,
                                           void *memory, size_t size, struct lane_reply *ret);

#endif
