/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper's files share: keeper.c, the thread and what others ask of it; keeper_look.c and
 * keeper_prove.c, what it finds out about the token; keeper_heir.c, one agent in another's place;
 * keeper_lone.c, older KEKs that fail alone. */
#ifndef P11KMS_KEEPER_PRIVATE_H
#define P11KMS_KEEPER_PRIVATE_H

#include "agent_process.h"
#include "keeper.h"
#include "known_keks.h"
#include "ring_look.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    START_TIMEOUT_MS = 30000, /* a network HSM's library may take its time to start */
    LOGIN_TOLD_MS = 3000,     /* a login that takes longer may wait for somebody at the token */
    SICK_EVERY_MS = 1000,
    ABSENCE_GRACE_MS = 1000,  /* an agent that is replaced in less is no outage */
    HUNG_GRACE_LESS_MS = 500, /* Status was untrue for a while already */
    LANELESS_GRACE_MS = 100,  /* a process that dies closes its lanes one after the other */
    FRESH_LOOK_MS = 3000,     /* how often a missing KEK is looked for by a fresh agent */
    FRESH_LOOK_PART = 10,     /* and no more than this part of the time */
    STALE_MS = 60000,         /* but what one has proved stands no longer than this */
    USED_MAX = 64,            /* KEKs that wait for their proof; more wait for their next use */
    SUSPECTS_MAX = 16,
    NAMED_MAX = 64,
    LONE_MAX = 64,
    LONE_TOLD_MS = 3000,
    LONE_RENEW_MS = 300000, /* how often a fresh agent is tried for KEKs that fail alone */
    WORN_MIB = 64,          /* what an agent may grow by after its first look */
    WORN_AT_ONCE_MIB = 512, /* and what it may in less than WORN_MS */
    WORN_MS = 300000,
    WORN_OPERATIONS = 10000000,
    WORN_AGAIN_MS = 60000
};

enum agent_phase { AGENT_NONE, AGENT_STARTING, AGENT_UP };

/* What other threads ask for, guarded by the lock. */
struct wishes {
    bool stop, probe, rescan;
    const char *replace; /* why the agent must go; NULL: it may stay */
    enum control_reason replace_reason;
    const char *renew; /* why another should take its place; NULL: none need */
    bool offered;
    uint64_t generation;
    int fds[AGENT_LANES_MAX];
    size_t n_fds;
    uint64_t hung; /* the newest generation that did not answer in time */
    uint64_t gone; /* the newest generation known to be gone */
    char gone_how[128];
};

/* Who is to take the agent's place. */
struct keeper_heir {
    const char *again;          /* why another is wanted after this one; NULL: none is */
    bool asked;                 /* the monitor was asked for it */
    bool readable;              /* it greets, or has died */
    int lanes[AGENT_LANES_MAX]; /* once it has come: n_lanes > 0 */
    size_t n_lanes;
    uint64_t generation;
    int64_t asked_ns;
    int64_t due_ns;  /* when it is given up */
    int64_t next_ns; /* none is started before this for what anybody may ask, and often */
};

/* An older KEK for which an agent was replaced, and with which nothing was opened since. */
struct lone_kek {
    struct object_id id;
    int64_t since_ns;
    bool told; /* that it goes on failing */
};

struct keeper {
    struct keeper_hooks hooks; /* these never change */
    const char *state_dir;
    struct keyring *keyring;
    struct lane_pool *pool;
    int wake_fd;
    pthread_t thread;

    atomic_int_fast64_t proved_ms; /* written by the thread */

    pthread_mutex_t lock; /* guards these */
    struct wishes wishes;
    int64_t timeout_ms, probe_every_ms, rescan_every_ms;
    int64_t looked_ns;    /* when the last look that tells ended */
    uint64_t looks_begun; /* this many */
    uint64_t looks_ended; /* the number of the last; less than begun after one that broke off */
    uint64_t looks_told;  /* the number of the last that could tell those who wait for one */
    bool look_wanted;     /* by somebody whom none that has begun can answer */
    struct object_id used[USED_MAX]; /* to be proved */
    size_t n_used;
    struct known_keks named; /* by Decrypts, and not found */
    struct known_keks lost;  /* given up: whatever names them, they are not missing */
    struct lone_kek lone[LONE_MAX];
    atomic_size_t n_lone;  /* read without the lock, to see whether there are any */
    int64_t lone_renew_ns; /* no fresh agent is tried for them before this */

    /* Guards what stateDir holds, and its files: held while the disk is waited for, so never by
     * a thread that serves requests. */
    pthread_mutex_t memory_lock;
    struct ring_memory known;   /* the KEK that was active on this host last */
    struct known_keks canaries; /* KEKs that have one */
    bool damaged;               /* what was known cannot be read */
    bool unsaved;               /* what is known could not be written */

    /* The thread's own. */
    enum agent_phase phase;
    uint64_t generation;
    int lanes[AGENT_LANES_MAX];
    size_t n_lanes;
    int64_t since_ns;     /* when the phase began */
    int64_t began_ns;     /* when this agent was started */
    int64_t took_ns;      /* from then until it had looked */
    int64_t start_due_ns; /* when a start that goes on is looked at */
    int64_t lost_ns;      /* when the last agent with lanes in the pool was lost */
    int64_t probe_ns, rescan_ns;
    uint64_t hung;       /* from the wishes, kept */
    bool explained;      /* why this agent is to end is known, and told if it must be */
    bool fresh;          /* this agent has not looked yet */
    bool was_up;         /* this agent greeted well */
    bool attached;       /* its request lanes are in the pool */
    int64_t laneless_ns; /* since when the pool has given them up; 0: it has not */
    bool lingers;        /* its lane has ended, but the monitor has not reaped it yet */
    struct keeper_heir heir;
    int old_lane;              /* lane 0 of the agent before: its end ends that; -1: none */
    uint64_t old_generation;   /* that agent's */
    uint64_t gone;             /* from the wishes, kept: it may come before its agent's lanes end */
    char gone_how[128];        /* empty once told */
    struct known_keks missing; /* believed: a fresh agent has not found them either */
    struct object_id suspects[SUSPECTS_MAX]; /* a fresh agent must prove them */
    size_t n_suspects;
    size_t publics; /* that the last look left out: told when they become more */
    struct object_id doubted[SUSPECTS_MAX]; /* probed, and the agent was lost: left alone */
    size_t n_doubted;
    unsigned doubt_losses;    /* agents lost so since a look that left nothing alone */
    int64_t doubt_due_ns;     /* when the next may be risked, where that happens again and again */
    struct known_keks proved; /* older KEKs whose canaries this agent has opened */
    uint32_t wear_mib;        /* what this agent began with; 0: not told yet */
    int64_t worn_due_ns;      /* no agent is replaced for its wear before this */
    struct health health;
    bool pin_blocked; /* the last agent that came as far as the PIN said so */
    struct token_identity token;
    uint8_t memory[LANE_PACKET_MAX];
};

static inline int64_t ms_ns(int64_t ms)
{
    return ms * 1000000;
}

/* What a fresh agent has proved stands for a while: its successors would be condemned in turn, and
 * while one starts nothing is opened at all. */
static inline bool keeper_is_stale(const struct keeper *k)
{
    int64_t stands = k->took_ns * FRESH_LOOK_PART;
    stands = stands < ms_ns(FRESH_LOOK_MS) ? ms_ns(FRESH_LOOK_MS) : stands;
    stands = stands > ms_ns(STALE_MS) ? ms_ns(STALE_MS) : stands;
    return clock_monotonic_ns() - k->since_ns > stands;
}

/* A new agent, which has not greeted, in place of any before it. */
void keeper_take_agent(struct keeper *k, uint64_t generation, const int *fds, size_t n);

/* It has greeted well: takes the first look. */
void keeper_comes_up(struct keeper *k, const struct token_identity *token);

/* Has the monitor start an heir; its lanes, if these are an heir's; its hello, or its end. */
void keeper_want_heir(struct keeper *k, const char *why);
bool keeper_takes_heir(struct keeper *k, const struct wishes *w);
void keeper_greet_heir(struct keeper *k);

/* A new agent could not start, for that: one whose place was taken leaves the token to it, should
 * there be no room for both. */
void keeper_make_room(struct keeper *k, enum err_code code);

/* There is no heir any more, if there was one. */
void keeper_drop_heir(struct keeper *k);

/* Ends the agent whose place was taken, once nothing is in it; makes the heir the agent where that
 * has gone; gives up an heir that does not come; asks for the one that was wanted meanwhile. */
void keeper_tend_heir(struct keeper *k);

/* Closes the keeper's lanes; the phase is AGENT_NONE then. */
void keeper_drop_agent(struct keeper *k);

/* Its lane 0 has ended: it is dead or dying, and condemned if it takes its time. */
void keeper_lane_ended(struct keeper *k);

/* Has the agent replaced, and drops it with its request lanes. */
void keeper_condemn(struct keeper *k, enum control_reason reason, const char *why);

/* Tells that the token is away: health, waiting requests, parked requests. */
void keeper_outage(struct keeper *k, const char *text);

/* Of calls to an agent that has greeted: Status waits for the first look no longer than for the
 * agent. */
struct lane_watch keeper_watch(struct keeper *k);

/* Of an agent that has not greeted: tells what takes so long, or loses it. */
void keeper_start_goes_on(struct keeper *k, int64_t now);

/* Modules leak, and what an agent has used up ends with it: one that has grown, or has worked for
 * long, gets an heir. Not where a person would be asked for a PIN because of that. */
void keeper_note_wear(struct keeper *k, const struct lane_wear *wear);

/* Tells those who wait for a look that there can be none. */
void keeper_look_in_vain(struct keeper *k);

/* Whether somebody may wait for a look that has not begun, or has broken off. */
bool keeper_look_wanted(struct keeper *k);

/* Publishes a look, with the index of the KEK that seals, or SIZE_MAX. False: no memory. */
bool keeper_publish_view(struct keeper *k, const struct ring_look *look, size_t active,
                         const struct health *health);

/* ring_look_judge or ring_external_judge, as the ring's mode is. */
enum verdict keeper_judge(struct keeper *k, struct ring_look *look, size_t *ret_active,
                          struct health *ret_health);

/* Tells what is new to be said of an external ring's keys; nothing in a managed ring. */
void keeper_tell_external(struct keeper *k, const struct ring_look *look);

/* Lists the ring, judges it, proves the active KEK, publishes. Loses the agent if it must. */
void keeper_look_at_ring(struct keeper *k);

/* Proves the active KEK; looks at the whole ring where that is not enough. */
void keeper_probe_active(struct keeper *k);

/* Proves one of the older KEKs that were used. */
void keeper_prove_used(struct keeper *k);

enum proof { PROOF_HOLDS, PROOF_CHANGED, PROOF_OUTAGE };

/* Opens the KEK's canary, or makes one. With PROOF_OUTAGE the agent is lost and all is said. */
enum proof keeper_prove(struct keeper *k, const struct kek *kek);

/* What earlier looks knew of these KEKs; and, of a fresh agent, the proof of those that are
 * suspected or quarantined. False: the agent is lost. */
bool keeper_carry_over(struct keeper *k, struct ring_look *look);

/* Lane 0 or the token failed: health and agent, as the error calls for. */
void keeper_broken_lane(struct keeper *k, struct err e);
void keeper_sick_token(struct keeper *k, const struct lane_status *status);

struct ring_memory keeper_known(struct keeper *k);
int keeper_timeout(struct keeper *k);

#endif
