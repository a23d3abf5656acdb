/* SPDX-License-Identifier: Apache-2.0 */
/* One look at the ring on the token, over a lane, and what follows from it. */
#ifndef P11KMS_RING_LOOK_H
#define P11KMS_RING_LOOK_H

#include "keyring.h"
#include "lane.h"
#include "ring_state.h"

/* The KEKs of a ring as listed, sorted by key_id; free with ring_look_clear. */
struct ring_look {
    struct kek *keys;
    size_t n;
    size_t
        foreign; /* objects under the ring's label prefix that are no KEKs of ours; in an external
                    ring: keys without a CKA_ID of 1 to 64 bytes, by which we could name them */
    /* Public keys, which anybody can make, that are left out: all under the prefix, and in an
     * external ring those with a KEK's CKA_ID. */
    size_t publics;
    /* KEKs whose first object is there, and another is not. The first is made last (key_set.h), so
     * that this is a loss, or a destruction that was cut short, and no KEK in the making. */
    size_t broken;
    struct kek newest_broken;
    const char *lacks; /* the role, such as "mac", that it is without */
};

void ring_look_clear(struct ring_look *look);

/* Lists the whole ring, in as many requests as the agent needs: timeout_ms is for each of them, and
 * all together may take ten minutes; watch, which may be NULL, is kept over each. On an error of
 * the token ret_status tells; it is otherwise untouched. */
MUST_CHECK struct err ring_look_take(int lane, int timeout_ms, const struct lane_watch *watch,
                                     const struct ring_rules *rules, struct ring_look *ret,
                                     struct lane_status *ret_status);

/* Adds to the text, where a KEK is broken, which one it is and what to do about it. */
void ring_look_add_broken(const struct ring_look *look, char *text, size_t size);

/* The word between "is not" and "on the token any more", of a KEK that is no key of the look:
 * "whole " for the newest of the broken ones, else none. */
const char *ring_look_how_gone(const struct ring_look *look, const struct key_id *key_id);

/* Order among the KEKs of a managed ring, one of which this host only remembers: below 0 when kek
 * is the older one, above when it is the newer. Twins are ordered by CKA_ID, as their key_ids are.
 */
int ring_look_compare(const struct kek *kek, const struct ring_memory *known);

/* Of the KEKs labelled active the newest, whatever else may be wrong with it: what some replica may
 * be sealing with, be it fit for this host or not. SIZE_MAX: none is. */
size_t ring_look_newest_active(const struct ring_look *look);

enum verdict {
    VERDICT_SEALS,   /* *ret_active seals, once its canary opens */
    VERDICT_EMPTY,   /* nothing of a KEK here and none known: `p11-kms init` was not run yet */
    VERDICT_MISSING, /* the KEK that this host knows as active is not on the token */
    VERDICT_UNFIT    /* a KEK is there, whole or not, and none may seal: health says why */
};

/* Which KEK of a managed ring seals: of those labelled active the highest generation (ties by
 * CKA_ID), if it is fit and not older than the one this host knows, if any. ret_health has the
 * reason unless VERDICT_SEALS. */
enum verdict ring_look_judge(const struct ring_look *look, const char *ring,
                             const struct ring_memory *known, size_t *ret_active,
                             struct health *ret_health);

#endif
