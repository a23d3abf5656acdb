/* SPDX-License-Identifier: Apache-2.0 */
/* Sees what gRPC receives and sends on the server's connections, and ends one whose client breaks
 * the limits of frame_meter.h, or has the most calls open where all have too many. gRPC has no
 * place for that, and a process in between would cost two wake-ups a call: recvmsg and sendmsg are
 * defined here instead, do what the C library's do, and count what passes. Also every other user of
 * these two calls goes through them, uncounted. */
#ifndef P11KMS_RPC_GUARD_H
#define P11KMS_RPC_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RPC_GUARD_FDS = 2048, /* higher descriptors are not counted */
    /* Calls open on all connections: begun, and not ended by either side. Each takes about 12 KiB
     * of locked memory, in gRPC, which hands us none whose request has not come and is done with
     * none whose reply was not read. Beyond it the user with the most of them loses the connection
     * with the most of them. So beside one other user one with at most half, 2048, never loses any
     * for what that one does: three API servers are that, each with as many calls as a connection
     * takes (RPC_STREAMS_MAX, 1920 in all), however slow the token; beside several, who would all
     * have to be allowed and to do that, its equal part is safe. For a second after more than a
     * thousand were ended, other connections of that user are ended with fewer calls: gRPC is still
     * freeing those. */
    RPC_GUARD_OPEN_MAX = 4096
};

/* Counts this connection of a user from now on: before gRPC has it. Numbers are used again, perhaps
 * before the end of the last connection was noticed: the serial that this yields says which one is
 * meant below, where nothing is done and known of another.
 * watch_fd is a duplicate of fd, which gRPC may close at any time, borrowed until rpc_guard_stop.
 */
uint64_t rpc_guard_start(int fd, int watch_fd, uint32_t uid);

/* Counts no more: the number may be anybody's now. */
void rpc_guard_stop(int fd, uint64_t serial);

/* Why it was ended here; NULL: it was not. Static. */
const char *rpc_guard_verdict(int fd, uint64_t serial);

/* Once every RPC_LOOK_MS: ends it where what has not come for long is a limit. */
void rpc_guard_look(int fd, uint64_t serial);

/* How long no call has been in flight or begun on it. 0: one is in flight. */
int64_t rpc_guard_idle_ns(int fd, uint64_t serial);

#endif
