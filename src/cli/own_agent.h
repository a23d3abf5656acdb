/* SPDX-License-Identifier: Apache-2.0 */
/* Agents that a command starts itself, beside the daemon and without it. */
#ifndef P11KMS_OWN_AGENT_H
#define P11KMS_OWN_AGENT_H

#include "agent_process.h"
#include "cli.h"
#include "config.h"
#include "maker.h"

/* For the rows of commands that start agents. */
#define CLI_AGENT_OPTION                                                                           \
    {                                                                                              \
        "agent", "PATH", "the p11-kms-agent to run (default: beside p11-kms, else as installed)"   \
    }

/* At most one at a time. */
struct own_agent {
    const struct config *config;
    const char *path;
    struct agent_process process;
    uint32_t lanes; /* of the next one; 0: one */
    bool serves;    /* the next one for a maker has the sessions of one that serves a daemon */
};

/* The program of --agent, else the one that is found. */
void own_agent_path(const struct cli *cli, char ret[static PATH_MAX]);

/* Starts one, after ending the one before: its lane 0. doomed: for AGENT_DESTROY, else NULL. */
MUST_CHECK struct err own_agent_start(struct own_agent *agent, enum agent_role role,
                                      const struct object_id *doomed, int *ret_lane,
                                      char text[static MAKER_TEXT_MAX + 1]);

/* For a struct maker: each step with an agent of AGENT_MAKE, or of AGENT_SERVE. The own_agent must
 * outlive it. */
struct maker_source own_agent_source(struct own_agent *agent);

/* What a command leaves in stateDir must be readable for the daemon, and so must what the module
 * leaves in its store: a file of root's there keeps a daemon that runs as another user from
 * starting. Says who must run the command where we are not the owner. */
MUST_CHECK struct err own_agent_check_owner(struct cli *cli, const char *state_dir);

/* Makes stateDir, and waits for the turn of this command among those that change the ring. ret_lock
 * is to be closed at the end. */
MUST_CHECK struct err own_agent_take_turn(const char *state_dir, int *ret_lock);

#endif
