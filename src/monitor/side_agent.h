/* SPDX-License-Identifier: Apache-2.0 */
/* An agent beside the one that serves: one that makes keys, the heir of the one that serves, or the
 * one whose heir serves. One of a kind at a time, started when the front end asks for it, never
 * again by itself. */
#ifndef P11KMS_SIDE_AGENT_H
#define P11KMS_SIDE_AGENT_H

#include "agent_process.h"

#include <stdint.h>

struct side_agent {
    pid_t pid;             /* 0: none runs */
    uint64_t running;      /* its number: for the front end */
    uint64_t wanted;       /* to be started when none runs; 0: none */
    int64_t kill_due_ns;   /* when it has had time enough to end; INT64_MAX: it may run */
    int64_t kill_by_ns;    /* when it is killed even if it logs in */
    int64_t killed_ns;     /* when it was, and it ends when the kernel lets it; 0: it was not */
    const char *state_dir; /* where it logs in; set before the first runs */
};

void side_agent_init(struct side_agent *side);

/* Another one is wanted, in place of the one that runs. */
void side_agent_want(struct side_agent *side, uint64_t number);

/* The front end has closed this one's lanes, or has ended itself (number 0: whichever runs). It may
 * be in C_Login, and killed there it would leave a PIN that counts as refused: so it gets a
 * while. */
void side_agent_retire(struct side_agent *side, uint64_t number);

/* Kills one that has had its time; starts the wanted one when none runs. Its lanes are the
 * caller's; ret->lanes is 0 when none was started. An error: the wanted one could not be started,
 * and is not wanted any more; side->running names it. */
MUST_CHECK struct err side_agent_run(struct side_agent *side, const char *path,
                                     const struct agent_config *config, struct agent_process *ret);

/* When side_agent_run has something to do; INT64_MAX: when one ends. */
int64_t side_agent_due_ns(const struct side_agent *side);

/* Whether one runs that nobody has told to end. */
bool side_agent_stays(const struct side_agent *side);

/* SIGKILL, if one runs. */
void side_agent_kill(struct side_agent *side);

/* Whether one runs and is logging in. */
bool side_agent_logs_in(const struct side_agent *side);

#endif
