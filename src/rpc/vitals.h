/* SPDX-License-Identifier: Apache-2.0 */
/* What health and metrics of the front end are told from. Nothing here waits: every question is
 * answered from memory, whatever the token does. */
#ifndef P11KMS_VITALS_H
#define P11KMS_VITALS_H

#include "control.h"
#include "keeper.h"
#include "rotation.h"
#include "rpc_poller.h"
#include "rpc_server.h"

#include <stdatomic.h>

/* Why an agent was started. */
enum agent_cause {
    AGENT_FIRST,    /* the front end's first */
    AGENT_EXITED,   /* the one before ended by itself */
    AGENT_KILLED,   /* a signal ended it, none of ours */
    AGENT_HUNG,     /* it did not answer in time */
    AGENT_PROTOCOL, /* it broke the lanes' rules */
    AGENT_SICK,     /* the token failed as only a new agent may mend */
    AGENT_RENEWED,  /* a fresh one had to look */
    AGENT_MAKER,    /* one that makes keys */
    AGENT_CAUSES
};

struct vitals {
    struct keyring *keyring; /* all borrowed, and set before anybody asks */
    struct lane_pool *pool;
    const struct keeper *keeper;
    struct rotation *rotation;
    const struct rpc_poller *poller;
    const struct rpc_server *server; /* the KMS socket's */
    int64_t started_ms;

    atomic_int_fast64_t beat_ns;    /* when the main loop last went round */
    atomic_uint_fast64_t condemned; /* the last generation * CONDEMN_REASONS, and why: first said */
    atomic_int cause;               /* enum agent_cause of the next agent */
    atomic_uint_fast64_t agent_starts[AGENT_CAUSES];
};

/* The main loop goes round: at least once a second. */
void vitals_beat(struct vitals *vitals);

/* An agent is condemned: pool and keeper may both say so, and the first one knows why. */
void vitals_condemned(struct vitals *vitals, uint64_t generation, enum control_reason reason);

/* The monitor has reaped an agent; it has started one. */
void vitals_agent_gone(struct vitals *vitals, uint64_t generation, enum control_gone gone);
void vitals_agent_started(struct vitals *vitals, bool maker);

enum { VITALS_CHECKS = 3, VITALS_LATE_MS = 10000 };

/* One condition of health. A live process may have a token that is away. */
struct vitals_check {
    const char *name;
    bool for_ready; /* readyz alone asks it */
    bool ok;
    char text[HEALTH_TEXT_MAX + 1]; /* why not; "ok" when it is */
};

void vitals_check(struct vitals *vitals, struct vitals_check ret[static VITALS_CHECKS]);

/* Whether all checks hold, or all of those that say that the process is alive. */
bool vitals_ready(struct vitals *vitals);
bool vitals_alive(struct vitals *vitals);

#endif
