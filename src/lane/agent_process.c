/* SPDX-License-Identifier: Apache-2.0 */
#include "agent_process.h"

#include "child.h"
#include "cleanup.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

void agent_config_put(struct writer *w, const struct agent_config *config)
{
    put_u8(w, (uint8_t)config->role);
    put_u32(w, config->lanes);
    put_sized(w, bytes_of_string(config->module));
    put_sized(w, bytes_of_string(config->uri));
    put_sized(w, bytes_of_string(config->pin_source));
    put_sized(w, bytes_of_string(config->state_dir));
    put_sized(w, bytes_of_string(config->ring));
    put_sized(w, object_id_bytes(&config->doomed));
    put_u8(w, config->external);
    put_sized(w, bytes_of_string(config->select));
    put_u32(w, config->waive);
}

/* Only an agent that destroys may know of a key to destroy, and never an operator's own. */
static bool get_doomed(struct reader *r, enum agent_role role, struct object_id *ret)
{
    struct bytes id = get_sized(r);
    return role == AGENT_DESTROY ? !err_is(object_id_from(id, ret)) : id.len == 0;
}

static bool get_string(struct reader *r, char *ret, size_t size)
{
    return bytes_to_string(get_sized(r), ret, size) && !r->bad;
}

/* A managed ring selects by label and waives nothing. */
static bool ring_holds(const struct agent_config *c)
{
    struct key_select select;
    if (!ring_name_valid(c->ring))
        return false;
    if (!c->external)
        return c->select[0] == '\0' && c->waive == 0;
    return !key_select_parse(c->select, &select) &&
           (c->waive & ~(uint32_t)(WAIVE_LOCAL | WAIVE_USAGE)) == 0;
}

bool pin_source_is_protected(const char *source)
{
    return strcmp(source, "protected") == 0;
}

struct err agent_config_get(struct bytes raw, struct agent_config *ret)
{
    struct agent_config c = {.role = 0};
    struct reader r = reader_over(raw);
    c.role = (enum agent_role)get_u8(&r);
    c.lanes = get_u32(&r);
    bool strings =
        get_string(&r, c.module, sizeof c.module) && get_string(&r, c.uri, sizeof c.uri) &&
        get_string(&r, c.pin_source, sizeof c.pin_source) &&
        get_string(&r, c.state_dir, sizeof c.state_dir) && get_string(&r, c.ring, sizeof c.ring);
    bool doomed = strings && get_doomed(&r, c.role, &c.doomed);
    c.external = get_u8(&r) != 0;
    bool select = get_string(&r, c.select, sizeof c.select);
    c.waive = get_u32(&r);
    if (!doomed || !select || !reader_done(&r) || c.lanes < 1 || c.lanes > AGENT_LANES_MAX ||
        c.role < AGENT_SERVE || c.role > AGENT_TRY || (c.external && c.role == AGENT_DESTROY) ||
        !ring_holds(&c))
        return err_make(ERR_INTERNAL, "agent_config_get");
    *ret = c;
    return ERR_OK;
}

void agent_process_find(char ret[static PATH_MAX])
{
    static const char name[] = "p11-kms-agent";
    char own[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", own, sizeof own - 1);
    own[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(own, '/');
    if (slash) {
        *slash = '\0';
        if (!err_is(path_join(own, name, ret, PATH_MAX)) && access(ret, X_OK) == 0)
            return;
    }
    (void)snprintf(ret, PATH_MAX, "%s/%s", P11KMS_LIBEXECDIR, name);
}

/* In the child. */
static _Noreturn void child_exec(const char *path, int *sources, uint32_t n, pid_t parent)
{
    _Static_assert((int)AGENT_CONFIG_FD == (int)CHILD_FIRST_FD, "the agent's first descriptor");
    char *const argv[] = {(char[]){"p11-kms-agent"}, NULL};
    child_prepare(sources, n, parent);
    (void)execv(path, argv); /* vendors' modules are set up by environment variables too */
    _exit(127);
}

void agent_process_close_lanes(struct agent_process *agent)
{
    for (uint32_t i = 0; i < agent->lanes; i++)
        (void)close(agent->lane[i]);
    agent->lanes = 0;
}

struct err agent_process_start(const char *path, const struct agent_config *config,
                               struct agent_process *ret)
{
    uint8_t raw[AGENT_CONFIG_MAX];
    struct writer w = writer_over(raw, sizeof raw);
    struct agent_process agent = {.pid = -1};
    int theirs[1 + AGENT_LANES_MAX], pair[2];
    uint32_t n = 0;
    struct err e = ERR_OK;

    agent_config_put(&w, config);
    if (w.full || config->lanes < 1 || config->lanes > AGENT_LANES_MAX)
        return err_make(ERR_INTERNAL, "agent_process_start");
    TRY(memfd_sealed("p11-kms-agent", writer_bytes(&w), &theirs[n++]));
    while (agent.lanes < config->lanes && !err_is(e)) {
        e = packet_pair(pair);
        if (err_is(e))
            break;
        agent.lane[agent.lanes++] = pair[0];
        theirs[n++] = pair[1];
    }
    if (!err_is(e)) {
        pid_t parent = getpid();
        agent.pid = fork();
        if (agent.pid == 0)
            child_exec(path, theirs, n, parent);
        if (agent.pid < 0)
            e = err_errno(errno, "fork");
    }
    for (uint32_t i = 0; i < n; i++)
        (void)close(theirs[i]);
    if (err_is(e))
        agent_process_close_lanes(&agent);
    else
        *ret = agent;
    return e;
}

void agent_process_kill(struct agent_process *agent)
{
    agent_process_close_lanes(agent);
    if (agent->pid <= 0)
        return;
    (void)kill(agent->pid, SIGKILL);
    while (waitpid(agent->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    agent->pid = -1;
}
