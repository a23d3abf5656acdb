/* SPDX-License-Identifier: Apache-2.0 */
/* Where lines of the log go: stderr, written without waiting for whoever reads it. */
#ifndef P11KMS_LOG_OUTPUT_H
#define P11KMS_LOG_OUTPUT_H

#include "bytes.h"

#include <stdbool.h>

/* Looks at what stderr is, which may have changed. Before it is called, stderr is written as it is.
 * One thread at a time; others may write meanwhile. */
void log_output_setup(void);

/* Writes a line, which ends with its '\n', in one write(2). False: it is not there, or not whole.
 * Thread-safe. */
bool log_output_write(struct bytes line);

#endif
