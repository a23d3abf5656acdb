/* SPDX-License-Identifier: Apache-2.0 */
/* How often something happened and how long it took: a histogram that any thread adds to, without a
 * lock. How often is the sum of its buckets, so that the two never disagree. */
#ifndef P11KMS_TIMED_H
#define P11KMS_TIMED_H

#include <stdatomic.h>
#include <stdint.h>

enum { TIMED_BOUNDS = 18 };

/* The upper bounds of the buckets, ascending, and as seconds. One more bucket holds what is longer.
 * From a token in this machine's memory to a key pair that an HSM makes in minutes. */
extern const struct timed_bound {
    int64_t ns;
    const char *seconds;
} timed_bounds[TIMED_BOUNDS];

/* Zeroed is empty. */
struct timed {
    atomic_uint_fast64_t bucket[TIMED_BOUNDS + 1];
    atomic_uint_fast64_t sum_ns;
};

/* What a struct timed held at a moment; or several, added up. */
struct timed_count {
    uint64_t bucket[TIMED_BOUNDS + 1]; /* not cumulative */
    uint64_t count;
    uint64_t sum_ns;
};

/* One more. Less than nothing counts as nothing. */
void timed_add(struct timed *timed, int64_t ns);

/* Adds what it holds to *to. */
void timed_read(const struct timed *timed, struct timed_count *to);

#endif
