/* SPDX-License-Identifier: Apache-2.0 */
/* How often this daemon has sealed with the active KEK, an upper bound that outlives it: counts
 * are reserved on disk in blocks before they are used up. */
#ifndef P11KMS_SEAL_COUNT_H
#define P11KMS_SEAL_COUNT_H

#include "key_id.h"

#include <stdatomic.h>

enum { SEAL_BLOCK = 65536 };

struct seal_count {
    const char *state_dir;
    const char *ring;
    struct key_id before; /* the KEK that was active when this host last stopped */
    bool forgot;          /* which one it was cannot be read any more */
    struct key_id key_id; /* whose seals are counted; empty: nobody's yet */
    uint64_t limit;
    bool lost; /* nobody knows how often it has sealed */
    atomic_uint_fast64_t seals;
    atomic_uint_fast64_t attention; /* at this count seal_count_tend has something to do */
};

/* Reads which KEK was active before: call it before anybody writes that. Strings are borrowed. */
void seal_count_init(struct seal_count *count, const char *state_dir, const char *ring);

/* One more. True: somebody should call seal_count_tend soon. */
bool seal_count_add(struct seal_count *count);

/* Follows the active KEK and the limit, and reserves what will be needed. An error: the reservation
 * could not be written, and is tried again after another half block. One thread. */
MUST_CHECK struct err seal_count_tend(struct seal_count *count, const struct key_id *active,
                                      uint64_t limit);

/* Whether the KEK has sealed enough, or nobody knows. */
bool seal_count_spent(const struct seal_count *count);

/* At a clean end: what was reserved and not used is given back. */
MUST_CHECK struct err seal_count_close(struct seal_count *count);

#endif
