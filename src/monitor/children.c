/* SPDX-License-Identifier: Apache-2.0 */
#include "children.h"

#include "agent_process.h"
#include "cleanup.h"
#include "front_end_process.h"
#include "io.h"
#include "log.h"
#include "login_lock.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

/* How long an agent may take to end a token call when its front end has ended. */
static const int64_t orphan_ns = INT64_C(3000000000);
/* What SIGKILL has not ended by then hangs in the kernel, as in the driver of a card. */
static const int64_t undying_ns = INT64_C(5000000000);
static const int64_t login_patience_ns = LOGIN_PATIENCE_MS * INT64_C(1000000);

void children_init(struct children *children, const char *front_end_path, const char *agent_path)
{
    memset(children, 0, sizeof *children);
    children->front.name = "front end";
    children->agent.name = "agent";
    children->control = -1;
    children->kill_due_ns = INT64_MAX;
    side_agent_init(&children->maker);
    side_agent_init(&children->heir);
    children->front_end_path = front_end_path ? front_end_path : "/proc/self/exe";
    if (agent_path)
        (void)snprintf(children->agent_path, PATH_MAX, "%s", agent_path);
    else
        agent_process_find(children->agent_path);
}

static void log_cause(struct child *child, enum log_priority priority, const char *cause)
{
    uint64_t times;
    if (cause_log_due(&child->causes, cause, clock_monotonic_ns(), &times))
        log_event(priority, "a child ended and is started again", LOG_S("child", child->name),
                  LOG_S("cause", cause), LOG_N("times", times));
}

/* since_ns: when what has ended began to work. */
static void wait_for_next(struct child *child, int64_t since_ns)
{
    child->due_ns = backoff_due_ns(&child->backoff, since_ns, clock_monotonic_ns());
}

static void started(struct child *child, pid_t pid)
{
    child->pid = pid;
    child->started_ns = clock_monotonic_ns();
    log_event(LOG_PRI_DEBUG, "started", LOG_S("child", child->name), LOG_N("pid", pid));
}

static void not_started(struct child *child, struct err e)
{
    char text[128];
    log_cause(child, LOG_PRI_ERROR, err_format(e, text, sizeof text));
    wait_for_next(child, clock_monotonic_ns());
}

static void start_front_end(struct children *children, const struct config *config,
                            const struct listeners *listeners)
{
    pid_t pid;
    struct err e =
        front_end_start(children->front_end_path, config, listeners, &pid, &children->control);
    if (err_is(e)) {
        not_started(&children->front, e);
        return;
    }
    started(&children->front, pid);
    children->ready = false;
    /* The agent before it ended with it; the new pair starts at once. */
    children->agent.due_ns = 0;
}

static void copy_agent_config(const struct config *config, enum agent_role role, uint32_t lanes,
                              struct agent_config *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->role = role;
    ret->lanes = lanes;
    (void)snprintf(ret->module, sizeof ret->module, "%s", config->token.module);
    (void)snprintf(ret->uri, sizeof ret->uri, "%s", config->token.uri);
    (void)snprintf(ret->pin_source, sizeof ret->pin_source, "%s", config->token.pin_source);
    (void)snprintf(ret->state_dir, sizeof ret->state_dir, "%s", config->state_dir);
    (void)snprintf(ret->ring, sizeof ret->ring, "%s", config->ring.name);
    ret->external = config->ring.mode == RING_EXTERNAL;
    (void)snprintf(ret->select, sizeof ret->select, "%s", config->ring.select);
    ret->waive = config_waivers(config);
}

static void tell_lanes(struct children *children, uint64_t generation, struct agent_process *agent)
{
    const struct control_message message = {
        .op = CONTROL_LANES, .generation = generation, .count = agent->lanes};
    children_tell(children, &message, agent->lane, agent->lanes);
    agent_process_close_lanes(agent);
}

static void start_agent(struct children *children, const struct config *config)
{
    struct agent_config agent_config;
    struct agent_process agent;
    copy_agent_config(config, AGENT_SERVE, config->token.sessions + 1, &agent_config);
    struct err e = agent_process_start(children->agent_path, &agent_config, &agent);
    if (err_is(e)) {
        not_started(&children->agent, e);
        return;
    }
    started(&children->agent, agent.pid);
    children->gone = 0;
    children->killed_ns = 0;
    children->state_dir = config->state_dir;
    children->generation = ++children->generations;
    tell_lanes(children, children->generation, &agent);
}

/* Numbered as it starts: later than whatever was offered before it. */
static void run_heir(struct children *children, const struct config *config)
{
    struct agent_config agent_config;
    struct agent_process agent;
    copy_agent_config(config, AGENT_SERVE, config->token.sessions + 1, &agent_config);
    children->heir.state_dir = config->state_dir;
    if (children->heir.pid == 0 && children->heir.wanted != 0)
        children->heir.wanted = ++children->generations;
    struct err e = side_agent_run(&children->heir, children->agent_path, &agent_config, &agent);
    if (err_is(e)) /* the agent stays, and the front end asks again */
        log_cause(&children->agent, LOG_PRI_WARNING, "another could not be started in its place");
    else if (agent.lanes > 0)
        tell_lanes(children, children->heir.running, &agent);
}

static void tell_maker_gone(struct children *children, const char *text)
{
    struct control_message message = {.op = CONTROL_MAKER_GONE,
                                      .generation = children->maker.running};
    (void)snprintf(message.text, sizeof message.text, "%s", text);
    children_tell(children, &message, NULL, 0);
}

static void run_maker(struct children *children, const struct config *config)
{
    struct agent_config agent_config;
    struct agent_process agent;
    char text[128];
    copy_agent_config(config, AGENT_MAKE, 1, &agent_config);
    children->maker.state_dir = config->state_dir;
    struct err e = side_agent_run(&children->maker, children->agent_path, &agent_config, &agent);
    if (err_is(e))
        tell_maker_gone(children, err_format(e, text, sizeof text));
    if (err_is(e) || agent.lanes == 0)
        return;
    log_event(LOG_PRI_DEBUG, "started", LOG_S("child", "agent that makes keys"),
              LOG_N("pid", children->maker.pid));
    const struct control_message message = {.op = CONTROL_MAKER,
                                            .generation = children->maker.running};
    children_tell(children, &message, agent.lane, agent.lanes);
    agent_process_close_lanes(&agent);
}

bool children_have_agents(const struct children *children)
{
    return children->agent.pid != 0 || children->maker.pid != 0 || children->heir.pid != 0;
}

static bool is_orphan(const struct children *children)
{
    return children->front.pid == 0 && children->agent.pid != 0;
}

static bool agent_logs_in(const struct children *children)
{
    return children->agent.pid != 0 &&
           login_lock_holder(children->state_dir) == children->agent.pid;
}

/* Not inside C_Login: see login_lock.h. No agent could take its place there in any case. */
static void kill_agent(struct children *children)
{
    int64_t now = clock_monotonic_ns();
    children->kill_due_ns = INT64_MAX;
    if (now < children->kill_by_ns && agent_logs_in(children)) {
        children->kill_due_ns = now + LOGIN_LOOK_MS * INT64_C(1000000);
    } else {
        (void)kill(children->agent.pid, SIGKILL);
        children->killed_ns = now;
    }
}

static void agent_ended(struct children *children, int status);
static void maker_ended(struct children *children, int status);

static bool give_up(struct children *children, pid_t pid, int64_t killed_ns)
{
    if (pid == 0 || killed_ns == 0 || clock_monotonic_ns() < killed_ns + undying_ns ||
        children->n_undying == UNDYING_MAX)
        return false;
    children->undying[children->n_undying++] = pid;
    log_event(LOG_PRI_ERROR,
              "an agent hangs in the kernel: SIGKILL does not end it, and it is given up",
              LOG_N("pid", pid));
    return true;
}

/* Else none would take its place, nor the front end's. SIGKILL is their wait status too. */
static void give_up_undying(struct children *children)
{
    if (give_up(children, children->agent.pid, children->killed_ns)) {
        children->agent.pid = 0;
        agent_ended(children, SIGKILL);
    }
    if (give_up(children, children->maker.pid, children->maker.killed_ns)) {
        children->maker.pid = 0;
        maker_ended(children, SIGKILL);
    }
    if (give_up(children, children->heir.pid, children->heir.killed_ns))
        children->heir.pid = 0;
}

static void forget_undying(struct children *children, pid_t pid)
{
    for (size_t i = 0; i < children->n_undying; i++)
        if (children->undying[i] == pid)
            children->undying[i] = children->undying[--children->n_undying];
}

void children_start(struct children *children, const struct config *config,
                    const struct listeners *listeners)
{
    int64_t now = clock_monotonic_ns();
    give_up_undying(children);
    if (is_orphan(children) && now >= children->orphan_due_ns) {
        children->orphan_due_ns = INT64_MAX;
        children_kill_agent(children, GONE_RETIRED, "its front end ended");
    }
    if (children->agent.pid != 0 && now >= children->kill_due_ns)
        kill_agent(children);
    if (children->front.pid == 0 && !children_have_agents(children) &&
        now >= children->front.due_ns)
        start_front_end(children, config, listeners);
    if (children->front.pid != 0 && children->control >= 0 && children->agent.pid == 0 &&
        now >= children->agent.due_ns)
        start_agent(children, config);
    run_heir(children, config);
    run_maker(children, config);
}

static int64_t agents_due_ns(const struct children *children)
{
    if (is_orphan(children))
        return children->orphan_due_ns;
    if (children->agent.pid != 0 || (children->front.pid != 0 && children->control < 0))
        return INT64_MAX; /* whatever comes next begins with a death */
    if (children->front.pid != 0)
        return children->agent.due_ns;
    return children_have_agents(children) ? INT64_MAX : children->front.due_ns;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t give_up_due_ns(const struct children *children, pid_t pid, int64_t killed_ns)
{
    bool waits = pid != 0 && killed_ns != 0 && children->n_undying < UNDYING_MAX;
    return waits ? killed_ns + undying_ns : INT64_MAX;
}

static int64_t side_due_ns(const struct children *children, const struct side_agent *side)
{
    return earlier(side_agent_due_ns(side), give_up_due_ns(children, side->pid, side->killed_ns));
}

int64_t children_due_ns(const struct children *children)
{
    int64_t beside =
        earlier(side_due_ns(children, &children->maker), side_due_ns(children, &children->heir));
    int64_t agent = earlier(children->kill_due_ns,
                            give_up_due_ns(children, children->agent.pid, children->killed_ns));
    return earlier(beside, earlier(agent, agents_due_ns(children)));
}

void children_tell(struct children *children, const struct control_message *message, const int *fds,
                   size_t n_fds)
{
    if (children->control < 0)
        return;
    struct err e = control_send(children->control, message, fds, n_fds);
    if (!err_is(e) || e.code == ERR_UNAVAILABLE) /* gone: its death is on the way */
        return;
    char text[128];
    log_event(LOG_PRI_ERROR, "the front end does not listen and is killed",
              LOG_S("error", err_format(e, text, sizeof text)));
    children_kill_front_end(children);
}

void children_kill_agent(struct children *children, enum control_gone gone, const char *text)
{
    if (children->agent.pid == 0 || children->gone != 0)
        return;
    children->gone = gone;
    (void)snprintf(children->gone_text, sizeof children->gone_text, "%s", text);
    /* Without a front end nobody is answered until the agent has gone: it has had its time. */
    children->kill_by_ns = children->front.pid == 0 ? 0 : clock_monotonic_ns() + login_patience_ns;
    kill_agent(children);
}

void children_kill_agents_now(struct children *children)
{
    if (children->agent.pid != 0)
        (void)kill(children->agent.pid, SIGKILL);
    side_agent_kill(&children->maker);
    side_agent_kill(&children->heir);
}

void children_want_heir(struct children *children, uint64_t generation)
{
    if (generation == children->generation && children->agent.pid != 0 && children->gone == 0)
        side_agent_want(&children->heir, generation);
}

/* What stays beside an agent that took its place is no heir: nothing new is given to it. */
static bool has_heir(const struct children *children)
{
    return side_agent_stays(&children->heir) && children->heir.running > children->generation;
}

/* The heir, which runs, is the agent. */
static void inherit(struct children *children)
{
    struct side_agent *heir = &children->heir;
    children->agent.pid = heir->pid;
    children->agent.started_ns = clock_monotonic_ns();
    children->generation = heir->running;
    children->gone = 0;
    children->kill_due_ns = INT64_MAX;
    children->killed_ns = heir->killed_ns;
    heir->pid = 0;
}

/* One that has ended meanwhile is one that the front end takes for the agent: so it is told of that
 * one's end, once the one before it is gone too. */
void children_heir_serves(struct children *children, uint64_t generation)
{
    struct side_agent *heir = &children->heir;
    const struct side_agent before = {.pid = children->agent.pid,
                                      .running = children->generation,
                                      .kill_due_ns = children->kill_due_ns,
                                      .kill_by_ns = children->kill_by_ns,
                                      .killed_ns = children->killed_ns,
                                      .state_dir = children->state_dir};
    if (heir->pid != 0 && heir->running == generation) {
        inherit(children);
        *heir = before;
    } else if (generation > children->generation && children->agent.pid != 0) {
        children->generation = generation;
        children_kill_agent(children, GONE_RETIRED, "the one in its place has ended");
    }
}

/* An heir that the front end has given up may be the agent by now. */
void children_end_agent(struct children *children, uint64_t generation)
{
    if (generation == children->generation)
        children_kill_agent(children, GONE_RETIRED, "it was given up before it served");
    else
        side_agent_retire(&children->heir, generation);
}

bool children_log_in(const struct children *children)
{
    return agent_logs_in(children) || side_agent_logs_in(&children->maker) ||
           side_agent_logs_in(&children->heir);
}

void children_kill_front_end(struct children *children)
{
    if (children->control >= 0)
        (void)close(children->control);
    children->control = -1;
    if (children->front.pid != 0)
        (void)kill(children->front.pid, SIGKILL);
}

void children_hurry_agent(struct children *children)
{
    backoff_reset(&children->agent.backoff);
    children->agent.due_ns = 0;
}

static const char *describe(int status, const char *path, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        (void)snprintf(text, size, "killed by signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status) == 127)
        (void)snprintf(text, size, "%s cannot be run (exit code 127)", path);
    else
        (void)snprintf(text, size, "exited with code %d", WEXITSTATUS(status));
    return text;
}

static void agent_ended(struct children *children, int status)
{
    struct control_message message = {.op = CONTROL_AGENT_GONE, .generation = children->generation};
    message.number = (uint32_t)(WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
    if (children->gone != 0) {
        message.gone = children->gone;
        (void)snprintf(message.text, sizeof message.text, "%s", children->gone_text);
    } else {
        message.gone = WIFSIGNALED(status) ? GONE_KILLED : GONE_EXITED;
        (void)describe(status, children->agent_path, message.text, sizeof message.text);
    }
    children_tell(children, &message, NULL, 0);
    children->heir.wanted = 0;
    if (children->stopping)
        return;
    if (children->front.pid != 0 && has_heir(children)) {
        log_cause(&children->agent, LOG_PRI_WARNING, message.text);
        inherit(children);
        return;
    }
    if (children->gone == GONE_RETIRED || children->front.pid == 0) {
        children->agent.due_ns = 0; /* as planned: no cause, no back-off */
        return;
    }
    log_cause(&children->agent, LOG_PRI_WARNING, message.text);
    wait_for_next(&children->agent, children->agent.started_ns);
}

static void maker_ended(struct children *children, int status)
{
    char text[PATH_MAX + 64];
    tell_maker_gone(children, describe(status, children->agent_path, text, sizeof text));
}

static void front_end_ended(struct children *children, int status)
{
    char text[PATH_MAX + 64];
    int64_t since = children->ready ? children->front.started_ns : clock_monotonic_ns();
    children_kill_front_end(children);
    /* Its lanes have ended, and so it ends by itself. It may be in C_Login, and killed there it
     * would leave a PIN that counts as refused. One that was condemned before has no longer. */
    children->orphan_due_ns = children->kill_by_ns = clock_monotonic_ns() + orphan_ns;
    side_agent_retire(&children->maker, 0);
    side_agent_retire(&children->heir, 0);
    children->ready = false;
    if (children->stopping)
        return;
    log_cause(&children->front, LOG_PRI_ERROR,
              describe(status, children->front_end_path, text, sizeof text));
    wait_for_next(&children->front, since);
}

void children_reap(struct children *children)
{
    int status;
    pid_t pid;
    /* Any child: where we are process 1 of a container, orphans become ours. */
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (pid == children->agent.pid) {
            children->agent.pid = 0; /* reaped: its number may be anybody's now */
            children->kill_due_ns = INT64_MAX;
            agent_ended(children, status);
        } else if (pid == children->maker.pid) {
            children->maker.pid = 0;
            maker_ended(children, status);
        } else if (pid == children->heir.pid) { /* its lanes' end tells */
            children->heir.pid = 0;
        } else if (pid == children->front.pid) {
            children->front.pid = 0;
            front_end_ended(children, status);
        } else {
            forget_undying(children, pid);
        }
    }
}
