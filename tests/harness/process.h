/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a test starts or looks at. */
#ifndef P11KMS_TEST_PROCESS_H
#define P11KMS_TEST_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* Starts argv[0] with both outputs appended to the file `output`; it dies with the calling thread,
 * which must therefore be the test's main one. -1 when it could not be started. */
pid_t process_start(char *const argv[], const char *output);

/* The same with n descriptors from 3 on, as systemd passes sockets. */
pid_t process_start_with(char *const argv[], const char *output, const int *fds, size_t n);

/* Waits for the end. The exit code; 128 + N after signal N; -1, and the process killed, when it
 * did not end in time. */
int process_wait(pid_t pid, int timeout_ms);

/* Both of the above. */
int process_run(char *const argv[], const char *output, int timeout_ms);

/* Has the directory removed when this process is gone, whichever way it ended: a small process
 * waits for the end of a pipe whose other end is the result. Close that to have it at once. -1 on
 * failure. */
int process_remove_at_exit(const char *directory);

/* Whether there is such a process and it is no zombie. */
bool process_alive(pid_t pid);

/* The child of `parent` that has `word` in its command line, or a path that ends with it; 0 when
 * there is none. */
pid_t process_child(pid_t parent, const char *word);

/* Open descriptors; -1 where we may not look. */
int process_fds(pid_t pid);

/* Processor time used so far; -1 when the process is gone. */
long process_cpu_ms(pid_t pid);

/* Resident memory in KiB; -1 when the process is gone. */
long process_rss_kib(pid_t pid);

#endif
