/* SPDX-License-Identifier: Apache-2.0 */
/* What a test asks of faulty_module.c. */
#ifndef P11KMS_TEST_FAULTS_H
#define P11KMS_TEST_FAULTS_H

#include "harness.h"

/* Puts the faulty module before SoftHSM in h->config; write the config then. */
void faults_use(struct harness *h);

/* The next call of `function` breaks so: a CKR in hex, "hang", "slow", "crash" or
 * "flip". */
void faults_once(const struct harness *h, const char *function, const char *action);

/* Every call from now on, until faults_end. */
void faults_always(const struct harness *h, const char *function, const char *action);
void faults_end(const struct harness *h);

/* How often "C_Initialize", "C_Login" or "fault" stands in the record, and an end of it. */
unsigned faults_count(const struct harness *h, const char *what);
void faults_forget(const struct harness *h);

/* Waits until it stands there n times. */
void faults_await(const struct harness *h, const char *what, unsigned n, int timeout_ms);

#endif
