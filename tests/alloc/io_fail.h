/* SPDX-License-Identifier: Apache-2.0 */
/* What allocations and system calls of our own code come to when a test wants it. */
#ifndef P11KMS_TEST_IO_FAIL_H
#define P11KMS_TEST_IO_FAIL_H

#include <stdbool.h>

/* How the chosen call fails, and which calls that can happen to. */
enum fail_kind {
    FAIL_MEMORY, /* ENOMEM: malloc and its kin */
    FAIL_INTR,   /* EINTR: all below */
    FAIL_AGAIN,  /* EAGAIN: recvmsg, sendmsg */
    FAIL_RESET,  /* ECONNRESET of recvmsg, EPIPE of sendmsg, EIO of read, write and fsync */
    FAIL_SHORT,  /* half of a packet is received; one byte is read or written */
    FAIL_TRUNC,  /* recvmsg says that a packet was longer */
    FAIL_KINDS
};

/* Whether this call of such a kind is the chosen one. Each program has its own. */
bool fail_now(enum fail_kind kind);

#endif
