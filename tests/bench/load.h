/* SPDX-License-Identifier: Apache-2.0 */
/* A closed loop: so many calls in flight, each followed by the next as soon as it is answered. */
#ifndef P11KMS_LOAD_H
#define P11KMS_LOAD_H

#include "requests.h"

enum { LOAD_CONNECTIONS_MAX = 64, LOAD_IN_FLIGHT_MAX = 4096, LOAD_CODES = 17 };

struct load_plan {
    const char *socket_path;
    const struct requests *requests;
    unsigned connections;
    unsigned in_flight;
    double seconds; /* 0: until calls */
    uint64_t calls; /* 0: until seconds */
    int timeout_ms; /* of each call */
};

struct load_result {
    double seconds;
    uint64_t calls; /* answered, well or not */
    uint64_t by_code[LOAD_CODES];
    uint32_t *latencies_us; /* sorted; owned: free it. Of the calls that ended OK */
    size_t n_latencies;
};

/* Runs the plan on this thread. Errors are those of connecting, and ERR_EXHAUSTED. */
MUST_CHECK struct err load_run(const struct load_plan *plan, struct load_result *ret);

/* The latency that a part (0 to 1) of the OK calls did not exceed; 0 without any. */
uint32_t load_percentile(const struct load_result *result, double part);

#endif
