/* SPDX-License-Identifier: Apache-2.0 */
#include "own_agent.h"

#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

void own_agent_path(const struct cli *cli, char ret[static PATH_MAX])
{
    const char *given = cli_value(cli, "agent");
    if (given)
        (void)snprintf(ret, PATH_MAX, "%s", given);
    else
        agent_process_find(ret);
}

struct err own_agent_start(struct own_agent *agent, enum agent_role role,
                           const struct object_id *doomed, int *ret_lane,
                           char text[static MAKER_TEXT_MAX + 1])
{
    struct agent_config c = {.role = role, .lanes = agent->lanes ? agent->lanes : 1};
    agent_process_kill(&agent->process);
    (void)snprintf(c.module, sizeof c.module, "%s", agent->config->token.module);
    (void)snprintf(c.uri, sizeof c.uri, "%s", agent->config->token.uri);
    (void)snprintf(c.pin_source, sizeof c.pin_source, "%s", agent->config->token.pin_source);
    (void)snprintf(c.state_dir, sizeof c.state_dir, "%s", agent->config->state_dir);
    (void)snprintf(c.ring, sizeof c.ring, "%s", agent->config->ring.name);
    c.external = agent->config->ring.mode == RING_EXTERNAL;
    (void)snprintf(c.select, sizeof c.select, "%s", agent->config->ring.select);
    c.waive = config_waivers(agent->config);
    if (doomed)
        c.doomed = *doomed;
    struct err e = agent_process_start(agent->path, &c, &agent->process);
    if (err_is(e))
        (void)snprintf(text, MAKER_TEXT_MAX + 1, "the token agent %s could not be started",
                       agent->path);
    else
        *ret_lane = agent->process.lane[0];
    return e;
}

static struct err start_maker(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1])
{
    struct own_agent *agent = context;
    return own_agent_start(agent, agent->serves ? AGENT_SERVE : AGENT_MAKE, NULL, ret_lane, text);
}

static void end(void *context)
{
    struct own_agent *agent = context;
    agent_process_kill(&agent->process);
}

struct maker_source own_agent_source(struct own_agent *agent)
{
    return (struct maker_source){start_maker, end, agent};
}

struct err own_agent_check_owner(struct cli *cli, const char *state_dir)
{
    struct stat st;
    if (stat(state_dir, &st) != 0 || st.st_uid == geteuid())
        return ERR_OK; /* where there is none, the command makes it or says why it cannot */
    const struct passwd *owner = getpwuid(st.st_uid);
    char number[24];
    (void)snprintf(number, sizeof number, "uid %u", (unsigned)st.st_uid);
    return cli_error(cli, err_make(ERR_REFUSED, "stateDir"),
                     "stateDir %s belongs to %s: run %s as that user, with systemd-run or "
                     "runuser (docs/install.md says how)",
                     state_dir, owner ? owner->pw_name : number, cli->command->name);
}

struct err own_agent_take_turn(const char *state_dir, int *ret_lock)
{
    char path[PATH_MAX];
    TRY(directory_make(state_dir, 0700));
    TRY(path_join(state_dir, "init.lock", path, sizeof path));
    int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (lock >= 0 && flock(lock, LOCK_EX) == 0) {
        *ret_lock = lock;
        return ERR_OK;
    }
    struct err e = err_errno(errno, "init.lock");
    close_p(&lock);
    return e;
}
