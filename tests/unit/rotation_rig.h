/* SPDX-License-Identifier: Apache-2.0 */
/* A rotation with fake makers on a fake token, and what surrounds it. */
#ifndef P11KMS_ROTATION_RIG_H
#define P11KMS_ROTATION_RIG_H

#include "fake_agent.h"
#include "rotation.h"

enum { NEVER = 0, SOON_MS = 60, HOUR_MS = 3600000, AGENTS_MAX = 64 };

extern struct rotation_rig {
    char dir[32];
    struct fake_token token;
    struct keyring *keyring;
    struct rotation *rotation;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct fake_agent *agents[AGENTS_MAX];
    unsigned n_agents;
    const char *no_maker;     /* why there is none */
    enum lane_op fail_op;     /* makers fail this */
    struct listed_key before; /* another replica makes this before a maker looks; len 0: none */
    struct key_id missing, forgotten;
    bool unwell, stale; /* stale: what is published is of before */
    bool attended;
    enum scheme scheme; /* ring.scheme */
    bool silent;        /* no maker comes, and nothing is said */
    uint64_t wanted, ended;
    unsigned bad_notes, n_reports;
    struct ring_report report;
    int published; /* state of the KEK that the report names, when it was given; -1: none */
} rig;

/* Called around what the rig itself does with our code, on that thread; NULL: not called. */
extern void (*rig_aside)(bool begins);

/* cmocka's setup and teardown. */
int rig_setup(void **state);
int rig_teardown(void **state);

/* Begins to rotate what is on the token by then. */
void rig_start(int64_t rotate_every_ms, int64_t activation_delay_ms, uint64_t max_seals);

struct listed_key rig_add(uint32_t generation, enum key_state state, uint16_t tail);
void rig_add_canary(uint16_t tail);
size_t rig_keys(void);

/* The token's key number i: its generation and state. */
void rig_expect_key(size_t i, uint32_t generation, enum key_state state);

void rig_expect_scheme(size_t i, enum scheme scheme);

/* Gives an order and waits for its report. */
struct ring_report rig_order(enum ring_command command, const struct object_id *id);

/* Gives an order that must be refused with this word. */
void rig_refused(enum ring_command command, const struct object_id *id, const char *word);

/* Until the rotation has looked at what is published: an order is carried out after that. */
struct rotation_status rig_settle(void);

#endif
