/* SPDX-License-Identifier: Apache-2.0 */
/* The keys of an external ring that this host trusts, in the order in which they were adopted:
 * STATE_DIR/ring-RING.adopted. The operator's word, which nothing on the token repeats: it is only
 * ever appended to, and what cannot be read whole is told, never guessed. */
#ifndef P11KMS_RING_ADOPTED_H
#define P11KMS_RING_ADOPTED_H

#include "cleanup.h"
#include "key_id.h"

/* Enough for one a week, for a lifetime of hardware. */
enum { ADOPTED_MAX = 1024 };

struct adopted_key {
    struct key_id key_id;
    struct object_id id;
};

/* Newest last; free with ring_adopted_clear. Places count from 1. */
struct ring_adopted {
    struct adopted_key *keys;
    size_t n;
};

void ring_adopted_clear(struct ring_adopted *adopted);

/* No file: none were adopted. ERR_INVALID: torn, or of another ring. */
MUST_CHECK struct err ring_adopted_load(const char *state_dir, const char *ring,
                                        struct ring_adopted *ret);

/* Appends, on disk before it returns; one replacement of the file whatever n is. ERR_EXHAUSTED: it
 * is full. ERR_INVALID: one is there already, or of another ring. */
MUST_CHECK struct err ring_adopted_append(const char *state_dir, const char *ring,
                                          struct ring_adopted *adopted, const struct key_id *keys,
                                          size_t n);

/* The place of a key, by CKA_ID (a ring that changed its mode names one in two forms); 0: never
 * adopted. */
size_t ring_adopted_place(const struct ring_adopted *adopted, const struct object_id *id);
size_t ring_adopted_place_of(const struct ring_adopted *adopted, const struct key_id *key_id);

#endif
