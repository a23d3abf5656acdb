/* SPDX-License-Identifier: Apache-2.0 */
/* Which objects of the token are the keys of the ring that this agent serves. */
#ifndef P11KMS_RING_KEYS_H
#define P11KMS_RING_KEYS_H

#include "agent.h"
#include "p11_key.h"

/* By its label in a managed ring, by ring.select in an external one. */
bool ring_selects(const struct agent *agent, const struct p11_key *key);

/* A label for terminals and logs, which an operator or anybody with the PIN chose: cut, and what is
 * not plain ASCII is '?'. Our own pass unchanged. Returns ret. */
const char *ring_show_label(const char *label, char ret[static KEY_LABEL_MAX + 1]);

#endif
