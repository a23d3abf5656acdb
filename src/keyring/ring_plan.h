/* SPDX-License-Identifier: Apache-2.0 */
/* What a ring needs next, decided from what is known at one moment: no clock, no token, no file.
 * Every replica decides alike from the same token, up to its clock and its jitter. */
#ifndef P11KMS_RING_PLAN_H
#define P11KMS_RING_PLAN_H

#include "keyring.h"

/* A KEK dated further ahead than this was made by a clock that nobody should follow. */
enum { RING_AHEAD_MS = 3600000 };

struct ring_facts {
    const struct kek *keys;
    size_t n;
    size_t active;  /* the KEK that seals, or SIZE_MAX: then nothing is to be done */
    bool missing;   /* a KEK that somebody knows is not on the token */
    bool spent;     /* the active KEK has sealed maxSeals times, or nobody knows how often; of a
                       scheme that does not wear out nothing follows from that */
    bool settled;   /* it has been seen active for activationDelay: what it supersedes may go */
    int64_t now_ms; /* Unix time, as all times here */
    int64_t rotate_every_ms; /* 0: not by age */
    int64_t jitter_ms;       /* this daemon's, so that replicas rarely make twins */
    int64_t activation_delay_ms;
};

enum ring_step {
    RING_STEP_NONE,
    RING_STEP_MAKE,     /* a successor, pre-active */
    RING_STEP_ACTIVATE, /* key is due */
    RING_STEP_RETIRE    /* key is superseded: relabel it deactivated */
};

struct ring_plan {
    enum ring_step step;
    size_t key;
    size_t pending;          /* the newest pre-active KEK that may come to seal, or SIZE_MAX */
    bool ahead;              /* it is dated more than RING_AHEAD_MS ahead: `keys activate` */
    int64_t activate_due_ms; /* of pending; INT64_MAX: not by itself */
    int64_t rotate_due_ms;   /* INT64_MAX: not by age */
    bool active_ahead;       /* the active KEK is dated so, and only its age would rotate it: that
                                takes so much longer, unless somebody rotates it */
};

struct ring_plan ring_plan_make(const struct ring_facts *facts);

/* Whether a KEK that has sealed so often must go. */
bool kek_spent(const struct kek *kek, bool spent);

/* When a KEK of a managed ring was made, from its UUID; 0 for an external one. */
int64_t kek_made_ms(const struct kek *kek);

/* The generation for the next KEK of the ring: higher than any on the token, and than `known`. */
uint32_t ring_plan_generation(const struct kek *keys, size_t n, uint32_t known);

#endif
