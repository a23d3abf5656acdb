/* SPDX-License-Identifier: Apache-2.0 */
/* What our forked children do before exec. */
#ifndef P11KMS_CHILD_H
#define P11KMS_CHILD_H

#include <stddef.h>
#include <sys/types.h>

enum { CHILD_FIRST_FD = 3 };

/* In the child of a single-threaded parent: no signal is blocked, it dies with its parent
 * (PR_SET_PDEATHSIG), fd 0 is /dev/null, fds 1 and 2 stay, the sources stand from CHILD_FIRST_FD on
 * in their order, and nothing else is open. Exits with 1 when that cannot be had. sources is
 * overwritten. */
void child_prepare(int *sources, size_t n, pid_t parent);

#endif
