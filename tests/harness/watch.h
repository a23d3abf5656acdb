/* SPDX-License-Identifier: Apache-2.0 */
/* Asks Status all the while on a connection of its own, beside whatever a test does. */
#ifndef P11KMS_TEST_WATCH_H
#define P11KMS_TEST_WATCH_H

#include <stdbool.h>

struct watch_figures {
    unsigned asked, failed;
    unsigned over_10_ms, over_50_ms;
    double worst_ms;
    unsigned late_wakeups; /* by more than 5 ms, of a thread that only sleeps: a busy machine */
    double worst_wakeup_ms;
    long others_ms; /* of processors that others had meanwhile */
    bool busy;      /* as lateness.h has it */
};

struct watch;

/* NULL when the daemon does not answer. */
struct watch *watch_start(const char *socket_path);

/* Stops, closes the connection. Prints the figures. */
void watch_stop(struct watch *watch, struct watch_figures *ret);

/* Status was answered within 10 ms throughout: at most 1 of 1000 later, none later than 50 ms.
 * Where something else had the processors, the limits are wide, and that is said. */
bool watch_was_quick(const struct watch_figures *figures);

/* The same beside hundreds of calls that come at once: at most 1 of 100 later than 10 ms, as the
 * one that comes behind them waits until they are taken in, which is as quick as the processor. */
bool watch_was_quick_in_a_storm(const struct watch_figures *figures);

#endif
