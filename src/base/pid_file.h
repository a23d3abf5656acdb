/* SPDX-License-Identifier: Apache-2.0 */
/* A file that is locked with flock(2) and holds the number of who locked it. Not fcntl's locks: the
 * kernel's search for deadlocks takes a module's locks for ours. */
#ifndef P11KMS_PID_FILE_H
#define P11KMS_PID_FILE_H

#include "error.h"

#include <sys/types.h>

/* Opens it, made if need be, mode 0600; a symbolic link is not followed. Not locked yet. */
MUST_CHECK struct err pid_file_open(const char *path, int *ret);

/* Writes our number. One that cannot be written is one that nobody reads: no error. */
void pid_file_sign(int fd);

/* The number in it; 0: none. */
pid_t pid_file_holder(int fd);

/* The number of who holds the lock of the file at path; 0: nobody, or it is not known. */
pid_t pid_file_locked_by(const char *path);

#endif
