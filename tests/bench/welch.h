/* SPDX-License-Identifier: Apache-2.0 */
/* Whether two sets of timings may have one cause: Welch's t-test, cropped as dudect does it
 * (Reparaz, Balasch, Verbauwhede: Dude, is my code constant time?, 2017). */
#ifndef P11KMS_TEST_WELCH_H
#define P11KMS_TEST_WELCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Nanoseconds, at most room of them. */
struct timings {
    uint32_t *ns;
    size_t n, room;
};

/* Sorts them, as the functions below need them. */
void timings_sort(struct timings *t);

/* The mean of the faster half, which is what the code takes where nothing disturbs it. */
double timings_fast_mean(const struct timings *sorted);

/* Welch's t of those below a limit in both sets; 0 where either has fewer than two. */
double welch_t(const struct timings *sorted_a, const struct timings *sorted_b, double limit);

/* The t that is farthest from 0, of all of both sets and of what is left of them below each of 100
 * limits: what disturbs a machine comes in long delays, behind which a small difference of the rest
 * is not seen. The limits are the percentiles 1 - 0.5^(i/10) of both sets together, i from 1 to
 * 100; one below which a set keeps less than a tenth, or fewer than 50, judges nothing. */
double welch_worst(const struct timings *sorted_a, const struct timings *sorted_b);

#endif
