/* SPDX-License-Identifier: Apache-2.0 */
/* Adopting a key of an external ring on this host: from then on it is trusted to seal. */
#ifndef P11KMS_RING_ADOPT_H
#define P11KMS_RING_ADOPT_H

#include "maker.h"

struct adoption {
    struct object_id id;  /* which key */
    struct key_id wanted; /* ring.active, or empty */
};

/* Proves the key: a canary that one agent made is opened by a fresh one, and so is the canary that
 * this host has, if any; then keeps both canary and adoption in stateDir. Adopting the newest again
 * proves it again. In every case the maker's text says what came of it. ERR_REFUSED: nothing was
 * changed, as with every other error but one of stateDir. */
MUST_CHECK struct err ring_adopt(struct maker *maker, const struct adoption *adoption);

#endif
