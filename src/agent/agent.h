/* SPDX-License-Identifier: Apache-2.0 */
/* The agent's shared state, and one lane's. */
#ifndef P11KMS_AGENT_H
#define P11KMS_AGENT_H

#include "agent_process.h"
#include "key_cache.h"
#include "lane.h"
#include "p11_session.h"
#include "secret.h"

#include <pthread.h>
#include <stdatomic.h>

/* Written once, before the lane threads start; what changes later has its own lock. */
struct agent {
    struct agent_config config;
    struct key_select select; /* config's, parsed */
    struct p11_module *module;
    struct p11_token token;
    struct key_cache *keys;
    pthread_mutex_t login_lock;      /* one C_Login of this process at a time */
    atomic_uint_fast64_t operations; /* seals and opens begun, for lane_wear */
};

/* All that a seal or open needs, in locked memory, wiped after each request. */
struct lane_room {
    uint8_t request[LANE_PACKET_MAX];
    uint8_t reply[LANE_PACKET_MAX];
    uint8_t work[ENVELOPE_MAX];  /* what the reply points to */
    uint8_t check[ENVELOPE_MAX]; /* a seal opened again; an open that is proved */
};

struct listing;

/* Belongs to its thread alone. */
struct lane {
    struct agent *agent;
    int fd;
    struct p11_session session;
    struct secret *memory;
    struct lane_room *room;  /* inside memory */
    struct listing *listing; /* the last LANE_LIST, for its later pages; may be NULL */
};

/* Loads the module, finds the token, opens a session per lane and logs in. lanes has room for
 * config.lanes. On failure advice may say more. */
MUST_CHECK struct err agent_start(struct agent *agent, struct lane *lanes, struct advice *advice);

/* Destroys the one KEK that the configuration of an AGENT_DESTROY names, and makes sure that
 * nothing of it is left. That it was gone already, or but a part of it still there, is no error.
 * ERR_REFUSED: it is no key of the ring that is deactivated or compromised; nothing was done. After
 * any other error the KEK is whole, or may be there in part: to be called again. */
MUST_CHECK struct err agent_destroy(struct lane *lane, struct advice *advice);

/* Answers requests until the peer closes (returns), or breaks the protocol (ends the process). */
void lane_serve(struct lane *lane);

/* The first packet on lane 0: who the token is, or why there is none. */
void lane_send_hello(struct lane *lane, struct err e, const struct advice *advice);

#endif
