/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's children: when they start, how they end, and when they start again. */
#ifndef P11KMS_CHILDREN_H
#define P11KMS_CHILDREN_H

#include "backoff.h"
#include "config.h"
#include "control.h"
#include "listeners.h"
#include "side_agent.h"

enum { UNDYING_MAX = 3 };

struct child {
    const char *name; /* for the log */
    pid_t pid;        /* 0: none runs */
    int64_t started_ns;
    int64_t due_ns; /* when the next may start; clock_monotonic_ns() */
    struct backoff backoff;
    struct cause_log causes;
};

struct children {
    struct child front;
    int control;   /* our end of the front end's control socket; -1: none */
    bool ready;    /* the front end serves */
    bool stopping; /* what ends now ends for good */
    struct child agent;
    uint64_t generation;    /* of the agent, from 1 */
    uint64_t generations;   /* so many have been given */
    int64_t orphan_due_ns;  /* when an agent that outlives its front end is killed */
    enum control_gone gone; /* why we killed the agent, or are about to; 0: neither */
    int64_t kill_due_ns;    /* when to look whether its login has ended; INT64_MAX: it may run */
    int64_t kill_by_ns;     /* when it is killed all the same */
    int64_t killed_ns;      /* when it was; 0: it was not */
    const char *state_dir;  /* the agent's; set while one runs */
    char gone_text[CONTROL_TEXT_MAX + 1];
    struct side_agent maker;
    struct side_agent heir; /* of the agent; after it took its place, the one that it replaced */
    pid_t undying[UNDYING_MAX]; /* agents that were given up: SIGKILL does not end them */
    size_t n_undying;
    const char *front_end_path;
    char agent_path[PATH_MAX];
};

/* agent_path NULL: p11-kms-agent beside our executable, else in libexecdir. front_end_path NULL:
 * our own executable. */
void children_init(struct children *children, const char *front_end_path, const char *agent_path);

/* Start what may start by now: first the front end, once all have ended, then an agent, and one
 * that makes keys where the front end wants it. What fails is logged and tried again with the same
 * back-off. An agent that outlives its front end for too long is killed; one that hangs in the
 * kernel, so that SIGKILL does not end it, is given up as if it had ended, three times at most. */
void children_start(struct children *children, const struct config *config,
                    const struct listeners *listeners);

/* When children_start has something to do; INT64_MAX while both run. */
int64_t children_due_ns(const struct children *children);

/* Tells the front end; kills it when it does not listen. */
void children_tell(struct children *children, const struct control_message *message, const int *fds,
                   size_t n_fds);

/* SIGKILL to the agent, if one runs; while there is a front end, one that logs in gets
 * LOGIN_PATIENCE_MS to finish that. text is for the log and the front end. */
void children_kill_agent(struct children *children, enum control_gone gone, const char *text);

/* The front end wants another agent beside this one. Nothing where this one is not the agent, or is
 * to be replaced in any case. */
void children_want_heir(struct children *children, uint64_t generation);

/* That heir is the agent from now on; the one before it stays until children_end_agent. */
void children_heir_serves(struct children *children, uint64_t generation);

/* The front end has closed this one's lanes: an heir's, or the agent's before it. */
void children_end_agent(struct children *children, uint64_t generation);

/* SIGKILL to agents of all kinds, whatever they do. */
void children_kill_agents_now(struct children *children);

/* Whether an agent of any kind is logging in. */
bool children_log_in(const struct children *children);

/* Whether an agent runs, of any kind. */
bool children_have_agents(const struct children *children);

/* SIGKILL to the front end, if one runs, and the end of its control socket. */
void children_kill_front_end(struct children *children);

/* An agent at once where one waits for its turn. One that runs stays: requests are in it. */
void children_hurry_agent(struct children *children);

/* Reaps whatever ended, says why, and sets when the next may start. */
void children_reap(struct children *children);

#endif
