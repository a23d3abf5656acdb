/* SPDX-License-Identifier: Apache-2.0 */
/* Files that must survive a power cut, and file descriptors sent between our processes. */
#ifndef P11KMS_IO_H
#define P11KMS_IO_H

#include "bytes.h"
#include "error.h"

#include <sys/types.h>

/* Reads a whole file of at most `size` bytes into memory. ERR_INVALID when it is larger. */
MUST_CHECK struct err file_read(const char *path, void *memory, size_t size, size_t *ret_len);

/* Replaces a file: written to a temporary beside it with `mode`, fsynced, renamed, and the
 * directory fsynced. After a crash the old or the new contents are there, whole. */
MUST_CHECK struct err file_replace(const char *path, struct bytes contents, mode_t mode);

/* Removes a file and fsyncs its directory. A file that is not there is no error. */
MUST_CHECK struct err file_remove(const char *path);

/* Makes a directory with `mode` if it is not there. Its parent must exist. */
MUST_CHECK struct err directory_make(const char *path, mode_t mode);

/* Joins with '/'. ERR_INVALID when the result does not fit. */
MUST_CHECK struct err path_join(const char *directory, const char *name, char *ret, size_t size);

/* A close-on-exec memfd holding contents, sealed against every change, positioned at 0. */
MUST_CHECK struct err memfd_sealed(const char *name, struct bytes contents, int *ret_fd);

/* Reads a memfd from its start. ERR_DENIED when it is not sealed against writing and shrinking. */
MUST_CHECK struct err memfd_read(int fd, void *memory, size_t size, size_t *ret_len);

/* A close-on-exec SOCK_SEQPACKET pair: each send is one packet, whole or not at all. */
MUST_CHECK struct err packet_pair(int ret_fds[static 2]);

enum { PACKET_FDS_MAX = 72 };

/* Sends one packet with descriptors (SCM_RIGHTS). A dead peer is ERR_UNAVAILABLE, never SIGPIPE.
 * A full socket is ERR_EXHAUSTED when fd is non-blocking. */
MUST_CHECK struct err packet_send(int fd, struct bytes packet, const int *fds, size_t n_fds);

/* Receives one packet. fds (may be NULL with max_fds 0) are close-on-exec and become the
 * caller's. The peer's close is ERR_UNAVAILABLE; a packet larger than size, or more descriptors
 * than max_fds, is ERR_INVALID and everything is closed; nothing there yet is ERR_DEADLINE. */
MUST_CHECK struct err packet_receive(int fd, void *memory, size_t size, size_t *ret_len, int *fds,
                                     size_t max_fds, size_t *ret_n_fds);

/* Waits until fd is readable or its peer closed. timeout_ms < 0 waits for ever.
 * ERR_DEADLINE when time ran out. */
MUST_CHECK struct err fd_wait_readable(int fd, int timeout_ms);

#endif
