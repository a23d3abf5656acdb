/* SPDX-License-Identifier: Apache-2.0 */
/* 200 calls a second (20 of a slow daemon) on connections that stay, with Status beside them, while
 * a test breaks something. Calls are started by the clock: an outage does not thin them out. */
#ifndef P11KMS_TEST_LOAD_H
#define P11KMS_TEST_LOAD_H

#include "async.h"
#include "watch.h"

enum { LOAD_PER_SECOND = 200, LOAD_CODES = 17 };

struct load_figures {
    unsigned calls, wrong;
    unsigned by_code[LOAD_CODES];
    int64_t first_failure_ms, last_failure_ms; /* now_ms() when a failed call ended; 0: none */
    struct watch_figures status;
};

struct load;

/* NULL when the daemon does not answer. */
struct load *load_start(const char *socket_path);

/* Waits until n more calls have succeeded. False after timeout_ms. */
bool load_await_ok(struct load *load, unsigned n, int timeout_ms);

/* Stops, waits for what is in flight, closes the connections. Prints the figures. */
void load_stop(struct load *load, struct load_figures *ret);

/* Every call's code is one of OK, UNAVAILABLE and DEADLINE_EXCEEDED, and nothing was wrong. Where
 * the machine stood still, calls come all at once, and some are too many: RESOURCE_EXHAUSTED. */
bool load_only_outage(const struct load_figures *figures);

#endif
