/* SPDX-License-Identifier: Apache-2.0 */
/* What this host remembers of a ring: the last active KEK, how often it has sealed, and a canary
 * per KEK. Never needed to open anything; losing it loses only the proof that nothing changed, and
 * the count. */
#ifndef P11KMS_RING_STATE_H
#define P11KMS_RING_STATE_H

#include "envelope.h"

/* The KEK that was active on this host last. */
struct ring_memory {
    struct key_id key_id; /* empty: none */
    uint32_t generation;
    bool lost; /* an operator has acknowledged that it is gone for good */
};

/* Reads STATE_DIR/ring-RING.active. ret is empty when there is none; ERR_INVALID when the file
 * holds no key_id of this ring. */
MUST_CHECK struct err ring_state_current(const char *state_dir, const char *ring,
                                         struct ring_memory *ret);

/* Replaces it, on disk before it returns. */
MUST_CHECK struct err ring_state_set_current(const char *state_dir, const char *ring,
                                             const struct ring_memory *memory);

/* Reads STATE_DIR/ring-RING.seals: how often this host may have sealed with that KEK at most.
 * ERR_NOT_FOUND: never counted here, or for another KEK. ERR_INVALID: not as we write it. */
MUST_CHECK struct err ring_state_seals(const char *state_dir, const char *ring,
                                       const struct key_id *key_id, uint64_t *ret);

/* Replaces it, on disk before it returns. */
MUST_CHECK struct err ring_state_set_seals(const char *state_dir, const char *ring,
                                           const struct key_id *key_id, uint64_t seals);

/* A canary's envelope. */
struct canary {
    uint8_t data[ENVELOPE_MAX];
    size_t len; /* 0: none */
};

/* Reads STATE_DIR/canaries/KEY_ID. ERR_NOT_FOUND: never made here. ERR_INVALID: torn, its checksum
 * does not hold; that says nothing about the key. */
MUST_CHECK struct err ring_state_canary(const char *state_dir, const struct key_id *key_id,
                                        struct canary *ret);

/* Writes it, on disk before it returns. */
MUST_CHECK struct err ring_state_set_canary(const char *state_dir, const struct key_id *key_id,
                                            struct bytes envelope);

/* Forgets a KEK that an operator gives up: its canary goes to STATE_DIR/lost/KEY_ID, an empty file
 * where there is none. */
MUST_CHECK struct err ring_state_forget(const char *state_dir, const struct key_id *key_id);

/* Calls each with every key_id of the ring that has a canary here. */
MUST_CHECK struct err ring_state_known(const char *state_dir, const char *ring,
                                       void (*each)(void *context, const struct key_id *key_id),
                                       void *context);

/* The same of those that were given up. */
MUST_CHECK struct err ring_state_lost(const char *state_dir, const char *ring,
                                      void (*each)(void *context, const struct key_id *key_id),
                                      void *context);

#endif
