/* SPDX-License-Identifier: Apache-2.0 */
/* The agent that makes keys: one at a time, started when the front end asks for it, never again by
 * itself. */
#ifndef P11KMS_MAKER_PROCESS_H
#define P11KMS_MAKER_PROCESS_H

#include "agent_process.h"

#include <stdint.h>

struct maker_process {
    pid_t pid;             /* 0: none runs */
    uint64_t running;      /* the front end's number for it */
    uint64_t wanted;       /* to be started when none runs; 0: none */
    int64_t kill_due_ns;   /* when it has had time enough to end; INT64_MAX: it may run */
    int64_t kill_by_ns;    /* when it is killed even if it logs in */
    const char *state_dir; /* where it logs in; set before the first runs */
};

void maker_process_init(struct maker_process *maker);

/* Another one is wanted, in place of the one that runs. */
void maker_process_want(struct maker_process *maker, uint64_t number);

/* The front end has closed this one's lane, or has ended itself (number 0: whichever runs). It may
 * be in C_Login, and killed there it would leave a PIN that counts as refused: so it gets a
 * while. */
void maker_process_retire(struct maker_process *maker, uint64_t number);

/* Kills one that has had its time; starts the wanted one when none runs. *ret_lane is its lane, or
 * -1 when none was started. An error: the wanted one could not be started, and is not wanted any
 * more; maker->running names it. */
MUST_CHECK struct err maker_process_run(struct maker_process *maker, const char *path,
                                        const struct agent_config *config, int *ret_lane);

/* When maker_process_run has something to do; INT64_MAX: when one ends. */
int64_t maker_process_due_ns(const struct maker_process *maker);

/* SIGKILL, if one runs. */
void maker_process_kill(struct maker_process *maker);

/* Whether one runs and is logging in. */
bool maker_process_logs_in(const struct maker_process *maker);

#endif
