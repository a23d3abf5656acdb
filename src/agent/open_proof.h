/* SPDX-License-Identifier: Apache-2.0 */
/* A proof that a token has opened an envelope to what was sealed, where only its word says so. */
#ifndef P11KMS_OPEN_PROOF_H
#define P11KMS_OPEN_PROOF_H

#include "agent.h"
#include "scheme.h"

/* Seals the plaintext again with the envelope's own IV and compares the envelopes; where the token
 * does not let that be done, opens a second time and compares the plaintexts. Uses
 * lane->room->check. Nothing to do for a scheme that proves its plaintext itself.
 * ERR_UNAVAILABLE: it is not what was sealed (advice says so), or the token is away. */
MUST_CHECK struct err open_prove(struct lane *lane, const struct scheme_ops *scheme,
                                 const struct key_set *keys, const struct envelope *envelope,
                                 struct bytes plaintext, struct advice *advice);

#endif
