/* SPDX-License-Identifier: Apache-2.0 */
/* The real admin API on a socket of its own, over a ring in memory and a fake rotation. */
#ifndef P11KMS_ADMIN_STAND_H
#define P11KMS_ADMIN_STAND_H

#include "admin_api.h"
#include "admin_client.h"
#include "stand.h"

/* The fake. It answers an order at once with the report, or keeps it until it is let go. */
struct rotation {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    bool hold;
    unsigned orders;
    struct ring_order last;
    struct ring_report report;
    struct rotation_status status;
};

struct admin_stand {
    struct stand base;
    struct keyring *keyring;
    struct rotation rotation;
    struct admin_api *api;
    atomic_uint ordered; /* orders told for the log */
    char last_ordered[256];
};

/* Setup and teardown of one test: *state is a struct admin_stand. The ring is "k8s", with one
 * active KEK, generation 1. */
int admin_stand_up(void **state);
int admin_stand_down(void **state);

struct admin_client *admin_stand_client(const struct admin_stand *stand);

/* A KEK in order, made at ADMIN_MADE_MS + number, and its key_id. */
enum { ADMIN_KEYS_MAX = 5000 };
#define ADMIN_MADE_MS INT64_C(1750000000000) /* 2025-06-15T15:06:40Z */
struct kek admin_kek(uint32_t number, enum key_state state);

/* Publishes a ring of these KEKs. active: an index, or SIZE_MAX. */
void admin_publish(struct admin_stand *stand, const struct kek *keys, size_t n, size_t active,
                   const struct key_id *missing, const struct health *health);

/* The fake's controls. An order is let go on the calling thread, not on the polling thread. */
void admin_hold_orders(struct admin_stand *stand);
void admin_wait_orders(struct admin_stand *stand, unsigned n);
void admin_let_go(struct admin_stand *stand);
void admin_set_report(struct admin_stand *stand, const struct ring_report *report);
void admin_set_life(struct admin_stand *stand, const struct rotation_status *status);
struct ring_order admin_last_order(struct admin_stand *stand);
unsigned admin_orders(struct admin_stand *stand);

#endif
