/* SPDX-License-Identifier: Apache-2.0 */
/* Looks after the ring: greets each new agent, looks at the token, proves the active KEK by its
 * canary, probes, and publishes what it finds to the keyring. One thread, straight-line code: it
 * may wait for the token, so that nobody else has to. */
#ifndef P11KMS_KEEPER_H
#define P11KMS_KEEPER_H

#include "keyring.h"
#include "lane_pool.h"

/* What the keeper needs from its owner; called on the keeper's thread. */
struct keeper_hooks {
    /* Have this agent replaced. why is for the log. */
    void (*condemn)(void *context, uint64_t generation, enum control_reason reason,
                    const char *why);
    /* Of an agent in another's place: CONTROL_WANT_HEIR, CONTROL_HEIR_SERVES or CONTROL_END_AGENT,
     * for the monitor. why is for the log. */
    void (*heir)(void *context, enum control_op op, uint64_t generation, const char *why);
    /* Health changed. */
    void (*health)(void *context, const struct health *health);
    /* A look at the token, or at its absence, has ended: what waited for that number, or one below
     * it, may go on. Where only a fresh agent sees what is new, it is the last such one's. */
    void (*looked)(void *context, uint64_t number);
    /* Something an operator should read, that is not the health. On any thread. */
    void (*warn)(void *context, const char *message, const char *key_id);
    void *context;
};

struct keeper_options {
    const char *state_dir;
    struct keyring *keyring;
    struct lane_pool *pool;
    int64_t timeout_ms;     /* token.timeout */
    int64_t probe_every_ms; /* while well; 1 s while sick */
    int64_t rescan_every_ms;
    struct keeper_hooks hooks;
};

struct keeper;

/* Reads what this host remembers of the ring, publishes it, and starts the thread. */
MUST_CHECK struct err keeper_new(const struct keeper_options *options, struct keeper **ret);

/* Stops the thread. Accepts NULL. */
void keeper_free(struct keeper *keeper);

/* A new agent's lanes, lane 0 first; the descriptors become the keeper's. Fewer than 2 or more than
 * AGENT_LANES_MAX are closed: such an agent ends. */
void keeper_offer(struct keeper *keeper, uint64_t generation, const int *fds, size_t n);

/* The agent is gone, and how: "killed by signal 9". */
void keeper_agent_gone(struct keeper *keeper, uint64_t generation, const char *how);

/* Something went wrong with the token in a request: probe now. */
void keeper_kick(struct keeper *keeper);

/* The agent has not answered a request in time, and is replaced: its absence began before this. */
void keeper_hung(struct keeper *keeper, uint64_t generation);

/* Only a new agent helps. why is static, for the log. */
void keeper_replace(struct keeper *keeper, enum control_reason reason, const char *why);

/* A fresh agent is needed and the one that serves is well: it serves until another has looked, and
 * then answers what is in it. Nothing where none serves: whoever comes is fresh. why is static, for
 * the log. */
void keeper_renew(struct keeper *keeper, const char *why);

/* A Decrypt names a KEK that the view has not. Yields the number of the look that will tell, if not
 * one after it: the next to begin, LOOK_AGAIN_MS after the last at the earliest. One that ended a
 * moment ago, or is under way, may have missed what another replica has made and activated since.
 */
uint64_t keeper_want_look(struct keeper *keeper);

enum { LOOK_AGAIN_MS = 1000 };

/* A Decrypt named a KEK that a look at a healthy token did not find: it counts as missing until it
 * is found or forgotten. */
void keeper_named(struct keeper *k, const struct key_id *key_id);

/* An older KEK was used for the first time since the last look: its canary is to be opened, or made
 * where there is none. */
void keeper_used(struct keeper *k, const struct object_id *id);

/* A Decrypt with a KEK that is not the active one failed so that a new agent may mend it: the agent
 * is replaced once; while that KEK goes on failing the active one is proved instead, which finds a
 * sick token, and every five minutes an heir is tried, which loses nothing. */
void keeper_older_failed(struct keeper *k, const struct kek *kek);

/* A Decrypt with it succeeded. */
void keeper_older_worked(struct keeper *k, const struct object_id *id);

/* An operator gives a KEK up: it counts as missing no more. On disk when it returns. */
MUST_CHECK struct err keeper_forget(struct keeper *k, const struct key_id *key_id);

/* Looks again soon, whatever the rate limit says: for reloads. */
void keeper_rescan(struct keeper *keeper);

/* When the active KEK was last proved by a probe or a look: Unix time in ms; 0: not by this
 * process. Lock-free. */
int64_t keeper_proved_ms(const struct keeper *keeper);

void keeper_retune(struct keeper *keeper, int64_t timeout_ms, int64_t probe_every_ms,
                   int64_t rescan_every_ms);

#endif
