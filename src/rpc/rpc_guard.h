/* SPDX-License-Identifier: Apache-2.0 */
/* Sees what gRPC receives and sends on the server's connections, and ends one whose client breaks
 * the limits of frame_meter.h. gRPC has no place for that, and a process in between would cost two
 * wake-ups a call: recvmsg and sendmsg are defined here instead, do what the C library's do, and
 * count what passes. Also every other user of these two calls goes through them, uncounted. */
#ifndef P11KMS_RPC_GUARD_H
#define P11KMS_RPC_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum { RPC_GUARD_FDS = 2048 }; /* higher descriptors are not counted */

/* Counts this connection from now on: before gRPC has it. Numbers are used again. */
void rpc_guard_start(int fd);

/* Counts no more: the number may be anybody's now. */
void rpc_guard_stop(int fd);

/* Why the last connection of this number was ended here; NULL: it was not. Static. */
const char *rpc_guard_verdict(int fd);

/* How long no call has been in flight or begun on it. 0: one is in flight. */
int64_t rpc_guard_idle_ns(int fd);

#endif
