/* SPDX-License-Identifier: Apache-2.0 */
/* A keeper with its keyring, pool and state directory, and the test in the monitor's place. */
#ifndef P11KMS_RING_RIG_H
#define P11KMS_RING_RIG_H

#include "fake_agent.h"
#include "keeper.h"

#include <pthread.h>

enum { RIG_LANES = 3, RIG_TEXTS = 64, NEVER_MS = 3600000 };

enum rig_heir { RIG_WANTED, RIG_SERVES, RIG_ENDED, RIG_HEIR_WORDS };

struct ring_rig {
    char dir[64];
    unsigned fds_before; /* 0: not to be looked at */
    struct keyring *keyring;
    struct lane_pool *pool;
    struct keeper *keeper;
    struct fake_agent *agent; /* the newest */
    struct fake_agent *old[RIG_TEXTS];
    size_t n_old;
    uint64_t generation; /* the newest agent's */
    int fds[RIG_LANES];  /* its lanes, until rig_offer */
    void (*looked)(void *context, uint64_t number);
    void *context;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    bool ending;
    struct health health;
    char texts[RIG_TEXTS][HEALTH_TEXT_MAX + 1]; /* every health there was */
    size_t n_texts;
    unsigned looks, served, warnings, condemnations;
    uint64_t condemned;
    uint64_t heir[RIG_HEIR_WORDS]; /* the generation that each was last said of; 0: of none */
    char why[256], warning[256];
};

/* Makes everything but the keeper, which rig_start starts. */
void rig_make(struct ring_rig *rig);
MUST_CHECK struct err rig_try_start(struct ring_rig *rig, int64_t timeout_ms,
                                    int64_t probe_every_ms, int64_t rescan_every_ms);
void rig_start(struct ring_rig *rig, int64_t timeout_ms, int64_t probe_every_ms,
               int64_t rescan_every_ms);

/* Stops and frees everything, checks that no descriptor is left, removes the directory. */
void rig_end(struct ring_rig *rig);

/* A new agent, of the next generation, with these keys; nobody knows it before rig_offer. */
struct fake_agent *rig_agent(struct ring_rig *rig, const struct listed_key *keys, size_t n);
void rig_offer(struct ring_rig *rig);

/* rig_agent, rig_offer and its hello. */
struct fake_agent *rig_serve(struct ring_rig *rig, const struct listed_key *keys, size_t n);

/* rig_serve, and waits until that agent has looked and serves, and all is well. */
struct fake_agent *rig_serve_well(struct ring_rig *rig, const struct listed_key *keys, size_t n);

/* Kills the agent as the monitor would. */
void rig_kill(struct ring_rig *rig, const char *how);

/* Waits until the health's text holds the word; yields that health. */
struct health rig_wait_text(struct ring_rig *rig, const char *word);
struct health rig_wait_ok(struct ring_rig *rig);

/* Waits until rig_looks or rig_served are so many, or this generation was condemned. */
void rig_wait_looks(struct ring_rig *rig, unsigned least);
void rig_wait_served(struct ring_rig *rig, unsigned least);
void rig_wait_condemned(struct ring_rig *rig, uint64_t generation);

/* Waits until the keeper has said this of that generation. */
void rig_wait_heir(struct ring_rig *rig, enum rig_heir what, uint64_t generation);
uint64_t rig_heir(struct ring_rig *rig, enum rig_heir what);

/* How many looks there were, and at the end of how many requests had lanes. A look in vain, as one
 * at the beginning of an outage, is none of the latter: a test whose restart may become an outage,
 * on a busy machine, waits for those. */
unsigned rig_looks(struct ring_rig *rig);
unsigned rig_served(struct ring_rig *rig);
unsigned rig_condemnations(struct ring_rig *rig);
unsigned rig_warnings(struct ring_rig *rig);
size_t rig_texts(struct ring_rig *rig);

/* Whether any health so far held the word. */
bool rig_ever_said(struct ring_rig *rig, const char *word);

/* The path of the canary of fake_key_id(tail). */
void rig_canary_path(const struct ring_rig *rig, uint16_t tail, char *ret, size_t size);

#endif
