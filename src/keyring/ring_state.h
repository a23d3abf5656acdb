/* SPDX-License-Identifier: Apache-2.0 */
/* What this host remembers of a ring: the last active key_id and a canary per KEK. Never needed
 * to open anything; losing it loses only the proof that nothing changed. */
#ifndef P11KMS_RING_STATE_H
#define P11KMS_RING_STATE_H

#include "envelope.h"

/* Reads STATE_DIR/ring-RING.active. ret is empty when there is none; ERR_INVALID when the file
 * holds no key_id of this ring. */
MUST_CHECK struct err ring_state_current(const char *state_dir, const char *ring,
                                         struct key_id *ret);

/* Replaces it, on disk before it returns. */
MUST_CHECK struct err ring_state_set_current(const char *state_dir, const char *ring,
                                             const struct key_id *key_id);

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

/* Calls each with every key_id of the ring that has a canary here. */
MUST_CHECK struct err ring_state_known(const char *state_dir, const char *ring,
                                       void (*each)(void *context, const struct key_id *key_id),
                                       void *context);

#endif
