/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker found. */
#ifndef P11KMS_TORTURE_TALLY_H
#define P11KMS_TORTURE_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCENARIOS_MAX = 16 };

struct tally {
    size_t calls[SCENARIOS_MAX]; /* of each scenario; every worker must find as many */
    size_t cases, passed;
    size_t stops, stops_passed;
    size_t functions; /* that failed for a while */
    size_t lasting, lasting_passed;
    int64_t slowest_ms;
    bool finished;
};

/* Adds what another worker found. False: it recorded other calls. */
bool tally_add(struct tally *sum, const struct tally *worker);

#endif
