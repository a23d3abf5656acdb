/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for what no event tells: asked often, with an end. */
#ifndef P11KMS_TEST_AWAIT_H
#define P11KMS_TEST_AWAIT_H

#include <stdbool.h>
#include <stdint.h>

/* $P11KMS_DAEMON, which runs instead of build/p11-kmsd; NULL: nothing does. Such as memcheck's: the
 * same daemon, but slow. */
const char *slow_daemon(void);

/* $P11KMS_BESIDE is yes: make check runs other tests beside this one. */
bool beside_others(void);

/* How long to be patient: ms, or several times as long with a slow daemon or beside others. */
int patience(int ms);

/* Asks until the answer is true. False when patience(timeout_ms) has passed. *ret_ms (may be NULL)
 * is how long it took. */
bool await(bool (*condition)(void *context), void *context, int timeout_ms, int64_t *ret_ms);

/* Asks for ms. False as soon as the answer is true. */
bool never(bool (*condition)(void *context), void *context, int ms);

/* Lets time pass that is itself the matter of a test, such as a fault's duration. */
void pass_time(int ms);

/* CLOCK_MONOTONIC in milliseconds. */
int64_t now_ms(void);

#endif
