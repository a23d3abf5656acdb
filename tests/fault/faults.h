/* SPDX-License-Identifier: Apache-2.0 */
/* What a test asks of faultp11. */
#ifndef P11KMS_TEST_FAULTS_H
#define P11KMS_TEST_FAULTS_H

#include "harness.h"

/* Puts faultp11 before SoftHSM in h->config; write the config then. Calls are recorded. */
void faults_use(struct harness *h);

/* cmocka set-up: harness_setup, then that; the config is not written. */
int faults_setup(void **state);

/* Replaces what the script says beyond module and files: lines as docs/drills.md has them. `record`
 * is what the calls' file is called, and of which process, such as "calls of p11-kms-maker". */
void faults_script(const struct harness *h, const char *record, const char *lines);

/* The next call of `function` breaks so: an action as docs/drills.md has them. */
void faults_once(const struct harness *h, const char *function, const char *action);

/* Every call from now on, until faults_end. */
void faults_always(const struct harness *h, const char *function, const char *action);
void faults_end(const struct harness *h);

/* How many calls of "C_Initialize" and so on were recorded; "fault": how many broke. */
unsigned faults_count(const struct harness *h, const char *what);

/* Begins the records anew. */
void faults_forget(const struct harness *h);

/* Waits until there are n. */
void faults_await(const struct harness *h, const char *what, unsigned n, int timeout_ms);

/* Waits for the end of the process that met the last fault: an agent that is to be replaced goes on
 * for a little after its answer, and what it is asked meanwhile may be lost. */
void faults_await_end(const struct harness *h, int timeout_ms);

#endif
