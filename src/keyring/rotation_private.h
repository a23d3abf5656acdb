/* SPDX-License-Identifier: Apache-2.0 */
/* What the rotation's files share: rotation.c, the thread and what others ask of it;
 * rotation_maker.c, where its agents come from; rotation_steps.c, what it does by itself;
 * rotation_orders.c, what it is told to do; rotation_tell.c, its status. */
#ifndef P11KMS_ROTATION_PRIVATE_H
#define P11KMS_ROTATION_PRIVATE_H

#include "known_keks.h"
#include "maker.h"
#include "ring_plan.h"
#include "rotation.h"
#include "seal_count.h"

#include <pthread.h>

enum { ORDERS_MAX = 16 };

struct rotation {
    struct rotation_hooks hooks; /* these never change */
    const char *state_dir;
    struct keyring *keyring;
    enum scheme scheme;
    bool attended;

    pthread_mutex_t lock; /* guards these */
    pthread_cond_t changed;
    bool stop, looked, kicked;
    struct ring_order orders[ORDERS_MAX];
    size_t first_order, n_orders;
    struct rotation_tuning tuning;
    uint64_t wanted;  /* the maker that is waited for; 0: none */
    uint64_t offered; /* the maker that has come, or is gone */
    int offered_lane; /* -1: it is gone, maker_why says why */
    char maker_why[256];
    int maker_lane; /* -1: none; only the thread changes it */
    struct rotation_status status;

    struct seal_count count; /* seal_count_add from any thread */

    /* The thread's own. */
    pthread_t thread;
    struct maker maker;
    uint64_t maker_number;
    struct key_id active;    /* as last seen */
    int64_t active_since_ns; /* monotonic */
    int64_t jitter_ms;       /* for this KEK */
    unsigned failures;       /* of steps, one after the other */
    unsigned idle;           /* the same step, planned in vain one time after the other */
    enum ring_step idle_step;
    int64_t retry_ns; /* no step before this */
    bool awaits_look; /* the token was changed; what is published is of before */
    int64_t awaits_since_ns;
    bool seen;         /* a look has ended since a fresh agent last sought what is missing */
    int64_t seek_ns;   /* none does before this */
    int64_t afresh_ns; /* no fresh agent looks for what others have changed before this; 0: new */
    int64_t due_ms;    /* Unix time of the next step; INT64_MAX: none is in sight */
    char failed[RING_TEXT_MAX + 1];
};

/* What a step or an order knows of the ring, from its own fresh look. */
struct ring_standing {
    struct ring_memory known;
    size_t active; /* what may seal here: index into the maker's look, or SIZE_MAX */
    size_t newest; /* the same where all is well: the newest one that is labelled active */
    struct health health;
};

/* struct maker_source's functions, context being the rotation. */
MUST_CHECK struct err rotation_fresh_maker(void *context, int *ret_lane,
                                           char text[static MAKER_TEXT_MAX + 1]);
void rotation_end_maker(void *context);

/* Judges the maker's look. */
void rotation_judge(struct rotation *r, struct ring_standing *ret);

/* Adds the KEKs that this host knows, by a canary or as the active one, and the maker's look has
 * not. */
MUST_CHECK struct err rotation_lost(struct rotation *r, const struct ring_memory *active,
                                    struct known_keks *ret);

/* The same, and those that Decrypts have named. */
MUST_CHECK struct err rotation_missing(struct rotation *r, const struct ring_memory *active,
                                       struct known_keks *ret);

/* The plan for the maker's look. */
struct ring_plan rotation_plan_look(struct rotation *r, const struct ring_standing *standing);

/* Whether it may become active: nothing older may follow what is active on the token, be it fit for
 * this host or not, or what this host knew as active. */
bool rotation_may_follow(const struct rotation *r, const struct ring_standing *standing,
                         const struct kek *kek);

/* Makes a KEK with the maker that has looked, and proves it with a fresh one. */
MUST_CHECK struct err rotation_make(struct rotation *r, const struct ring_standing *standing,
                                    struct object_id *ret);

/* Proves the KEK, found by the maker's look, and relabels it. */
MUST_CHECK struct err rotation_activate(struct rotation *r, const struct object_id *id);

/* Takes the step with a fresh maker, if the token still calls for it; maker.text says why it
 * failed. ret_taken: false when the token calls for something else, or nothing. */
MUST_CHECK struct err rotation_take_step(struct rotation *r, enum ring_step step, bool *ret_taken);

/* The keeper's agent does not see what fresh ones do. */
void rotation_needs_heirs(struct rotation *r);

/* Whether a fresh agent finds other KEKs than the view, or other states. */
bool rotation_finds_changes(struct rotation *r, const struct ring_view *view);

/* Whether a fresh agent finds a KEK that the view misses. */
bool rotation_finds_missing(struct rotation *r, const struct ring_view *view);

/* Has the keeper look until it publishes that this KEK seals; false: it did not within seconds. */
bool rotation_await_active(struct rotation *r, const struct object_id *id);

/* Has the keeper look until it publishes this KEK in this state or a later one; it may not within
 * seconds. */
void rotation_await_seen(struct rotation *r, const struct object_id *id, enum key_state state);

/* Carries out an order and reports. */
void rotation_carry_out(struct rotation *r, const struct ring_order *order);

/* What rotation_status yields from now on. */
void rotation_tell_status(struct rotation *r, const struct ring_view *view,
                          const struct health *health, const struct ring_plan *plan,
                          const struct rotation_tuning *tuning);

void rotation_note(struct rotation *r, bool bad, const char *what, const struct key_id *key_id,
                   const char *why);

struct rotation_tuning rotation_tuning_of(struct rotation *r);

#endif
