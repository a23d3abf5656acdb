/* SPDX-License-Identifier: Apache-2.0 */
/* What the benchmarks of the token alone begin with. */
#ifndef P11KMS_TEST_BENCH_LOGIN_H
#define P11KMS_TEST_BENCH_LOGIN_H

#include "p11_session.h"

/* Logs in with the PIN that is the file's only line. secret_init was called. */
MUST_CHECK struct err bench_log_in(const struct p11_session *session, const char *pin_file);

#endif
