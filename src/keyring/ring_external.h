/* SPDX-License-Identifier: Apache-2.0 */
/* What an external ring comes to: which of the operator's keys seals, and what is wrong with those
 * that are refused. */
#ifndef P11KMS_RING_EXTERNAL_H
#define P11KMS_RING_EXTERNAL_H

#include "ring_adopted.h"
#include "ring_look.h"

/* What this host goes by, beside the token. */
struct external_facts {
    const struct ring_rules *rules;
    const struct ring_adopted *adopted; /* NULL: the list is damaged or cannot be read */
    struct key_id wanted;               /* ring.active, or empty */
    struct key_id known;                /* what sealed on this host last, or empty */
};

/* Fills in what the labels of an external ring do not say: generation is the place among the
 * adopted, state is active for the key that seals (or would, but for a fault), deactivated for
 * those adopted before it, pre-active for all others. Then decides which seals: ring.active, else
 * the last adopted, if it is adopted, fit, and was not superseded on this host. ret_health has the
 * reason unless VERDICT_SEALS. */
enum verdict ring_external_judge(struct ring_look *look, const struct external_facts *facts,
                                 size_t *ret_active, struct health *ret_health);

/* The same with the list as stateDir has it. */
enum verdict ring_external_look(struct ring_look *look, const char *state_dir,
                                const struct ring_rules *rules, const struct key_id *wanted,
                                const struct key_id *known, size_t *ret_active,
                                struct health *ret_health);

/* What is wrong with a key that kek_usable refuses, and what to do: one line. Returns text. */
const char *ring_external_refusal(const struct kek *kek, char *text, size_t size);

/* What ring.waive accepts of it: " (waived: WRAP,UNWRAP)", or nothing. Returns text. */
const char *ring_external_waived(const struct kek *kek, char *text, size_t size);

#endif
