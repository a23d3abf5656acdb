/* SPDX-License-Identifier: Apache-2.0 */
/* Which KEKs must be on the token, as far as this host knows: those it has a canary of, the one it
 * knew as active, and those that a Decrypt has named. */
#ifndef P11KMS_KNOWN_KEKS_H
#define P11KMS_KNOWN_KEKS_H

#include "ring_look.h"

/* Zero is an empty one. */
struct known_keks {
    struct key_id *ids; /* sorted */
    size_t n, room;
};

void known_keks_clear(struct known_keks *known);
bool known_keks_has(const struct known_keks *known, const struct key_id *id);

/* No error when it is there already, or is not. ERR_EXHAUSTED. */
MUST_CHECK struct err known_keks_add(struct known_keks *known, const struct key_id *id);
void known_keks_remove(struct known_keks *known, const struct key_id *id);

/* Every KEK of the ring that has a canary in the state directory. */
MUST_CHECK struct err known_keks_load(const char *state_dir, const char *ring,
                                      struct known_keks *ret);

/* Every one that an operator has given up. */
MUST_CHECK struct err known_keks_load_lost(const char *state_dir, const char *ring,
                                           struct known_keks *ret);

/* Adds to ret those of known that the look has not; its keys are sorted by key_id. */
MUST_CHECK struct err known_keks_missing(const struct known_keks *known,
                                         const struct ring_look *look, struct known_keks *ret);

#endif
