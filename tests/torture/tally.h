/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker found. */
#ifndef P11KMS_TORTURE_TALLY_H
#define P11KMS_TORTURE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCENARIOS_MAX = 16 };

/* Cases of one sort: how many there are, by every worker's count, and what was done of them. */
struct count {
    size_t all, run, passed;
};

struct tally {
    size_t calls[SCENARIOS_MAX]; /* of each scenario; every worker must find as many */
    size_t functions;            /* that failed for a while; likewise */
    struct count once, ckrs, stops, lasting;
    int64_t slowest_ms;
    bool finished;
};

/* Adds what another worker found. False: it recorded other calls. */
bool tally_add(struct tally *sum, const struct tally *worker);

/* Whether all that were run passed; and with `all`, whether all were run. */
bool tally_good(const struct tally *sum, bool all);

/* How many were run. */
size_t tally_run(const struct tally *sum);

#endif
