/* SPDX-License-Identifier: Apache-2.0 */
/* Starting an agent, and what it is told: a sealed memfd on fd 3, then its lanes from fd 4. */
#ifndef P11KMS_AGENT_PROCESS_H
#define P11KMS_AGENT_PROCESS_H

#include "attributes.h"
#include "key_select.h"

#include <limits.h>
#include <sys/types.h>

enum {
    AGENT_CONFIG_FD = 3,
    AGENT_FIRST_LANE_FD = 4,
    AGENT_LANES_MAX = 65, /* 64 for requests, and lane 0 for probes */
    AGENT_CONFIG_MAX = 16384,
    TOKEN_URI_MAX = 1023
};

/* What an agent may be asked to do. */
enum agent_role {
    AGENT_SERVE = 1, /* list, seal, open, probe */
    AGENT_MAKE,      /* list, probe, self-test, generate, relabel */
    AGENT_DESTROY,   /* nothing: it destroys one key, says so in its hello, and ends */
    AGENT_LOOK,      /* facts: it opens no session and does not log in, so that it can tell why */
    AGENT_TRY /* list, probe, and a trial's seals and opens, in sessions as AGENT_SERVE has */
};

/* The validated token section and what else an agent must know. */
struct agent_config {
    enum agent_role role;
    uint32_t lanes;              /* all of them, lane 0 included */
    char module[PATH_MAX];       /* absolute */
    char uri[TOKEN_URI_MAX + 1]; /* RFC 7512, checked */
    char pin_source[PATH_MAX];   /* credential:NAME | file:PATH | protected */
    char state_dir[PATH_MAX];    /* where the PIN record lives */
    char ring[RING_NAME_MAX + 1];
    struct object_id doomed;         /* AGENT_DESTROY: its one key; others: len 0 */
    bool external;                   /* the ring's keys are the operator's: nothing is ever made */
    char select[KEY_SELECT_MAX + 1]; /* which objects they are; empty for a managed ring */
    uint32_t waive;                  /* enum key_waiver; 0 for a managed ring */
};

/* Whether the PIN is given at the token itself. */
bool pin_source_is_protected(const char *source);

/* The bytes of the memfd. ERR_INTERNAL when they do not decode. */
void agent_config_put(struct writer *w, const struct agent_config *config);
MUST_CHECK struct err agent_config_get(struct bytes raw, struct agent_config *ret);

/* A running agent, seen by whoever started it: lanes[] are our ends, close-on-exec. */
struct agent_process {
    pid_t pid;
    uint32_t lanes;
    int lane[AGENT_LANES_MAX];
};

/* The agent's program: p11-kms-agent beside our own executable, else in libexecdir. */
void agent_process_find(char ret[static PATH_MAX]);

/* fork + exec of `path`; the child gets fd 0 from /dev/null, our stdout and stderr, the memfd and
 * its lane ends, and nothing else; it dies with us (PR_SET_PDEATHSIG). Call it from the main
 * thread of a single-threaded process. */
MUST_CHECK struct err agent_process_start(const char *path, const struct agent_config *config,
                                          struct agent_process *ret);

/* Closes our lane ends: an idle agent sees it and exits. */
void agent_process_close_lanes(struct agent_process *agent);

/* SIGKILL and wait. For the CLI; the monitor reaps by itself. */
void agent_process_kill(struct agent_process *agent);

#endif
