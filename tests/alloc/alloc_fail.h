/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations of our own code that fail, one after the other. The programs here are linked with
 * copies of our libraries whose calls to malloc and its kin (alloc_symbols) lead here; those of
 * tests, gRPC, p11-kit and OpenSSL do not. */
#ifndef P11KMS_TEST_ALLOC_FAIL_H
#define P11KMS_TEST_ALLOC_FAIL_H

#include <stdbool.h>

/* From here to alloc_end allocations are counted, and the chosen one fails, on whichever thread. */
void alloc_begin(void);
void alloc_end(void);

/* Whether the chosen one has failed in this run. */
bool alloc_failed(void);

/* Not on this thread: for helpers of a test that call our code themselves. */
void alloc_exempt(bool exempt);

/* Runs it once to count its allocations, then once for each of them, which fails: several at once,
 * in processes of their own. A run that allocates less often than the first, and a count of none,
 * fail the test. Prints the figure. */
void alloc_sweep(const char *name, void (*run)(void));

#endif
