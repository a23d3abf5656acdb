/* SPDX-License-Identifier: Apache-2.0 */
/* Allocations and system calls of our own code that fail, one after the other. The programs here
 * are linked with copies of our libraries whose calls of what alloc_symbols lists lead here; those
 * of tests, gRPC, p11-kit and OpenSSL do not. */
#ifndef P11KMS_TEST_ALLOC_FAIL_H
#define P11KMS_TEST_ALLOC_FAIL_H

#include "error.h"
#include "io_fail.h"

/* From here to alloc_end allocations are counted, and the chosen one fails, on whichever thread. */
void alloc_begin(void);
void alloc_end(void);

/* Whether the chosen one has failed in this run. */
bool alloc_failed(void);

/* For an expression that makes something: it fails at most once, with no memory and nothing
 * half-made; then it succeeds. */
#define MAKE(expr)                                                                                 \
    do {                                                                                           \
        struct err make_err_ = (expr);                                                             \
        if (err_is(make_err_)) {                                                                   \
            assert_int_equal(make_err_.code, ERR_EXHAUSTED);                                       \
            assert_true(alloc_failed());                                                           \
            assert_false(err_is(expr));                                                            \
        }                                                                                          \
    } while (0)

/* Not on this thread: for helpers of a test that call our code themselves. */
void alloc_exempt(bool exempt);

/* Runs it once to count its allocations, then once for each of them, which fails: several at once,
 * in processes of their own. An allocation that is not made again, also when it is tried some more
 * times, and a count of none, fail the test. Prints the figure. */
void alloc_sweep(const char *name, void (*run)(void));

/* The same for system calls, once for each call and each way in which it can fail (io_fail.h). How
 * often threads wake each other varies, so up to an eighth may not be made again. */
void io_sweep(const char *name, void (*run)(void));
void io_sweep_kind(const char *name, enum fail_kind kind, void (*run)(void));

/* For a run whose calls are made, counted and failed by another program (alloc_shared.h): which of
 * them is to fail, 0 for none, and what came of it. */
enum fail_kind alloc_kind(void);
unsigned long alloc_chosen(void);
void alloc_adopt(unsigned long count, bool failed);

#endif
