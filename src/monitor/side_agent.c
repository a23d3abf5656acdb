/* SPDX-License-Identifier: Apache-2.0 */
#include "side_agent.h"

#include "login_lock.h"
#include "text.h"

#include <signal.h>
#include <unistd.h>

static const int64_t grace_ns = INT64_C(3000000000);
static const int64_t login_patience_ns = LOGIN_PATIENCE_MS * INT64_C(1000000);

void side_agent_init(struct side_agent *side)
{
    *side = (struct side_agent){.kill_due_ns = INT64_MAX};
}

/* What was promised before may be cut short, and never grows. */
static void give_grace(struct side_agent *side, int64_t login_ns)
{
    int64_t now = clock_monotonic_ns(), by_ns = now + login_ns;
    if (side->pid == 0 || side->killed_ns != 0)
        return;
    if (side->kill_due_ns == INT64_MAX) {
        side->kill_due_ns = now + grace_ns;
        side->kill_by_ns = by_ns;
    } else if (by_ns < side->kill_by_ns) {
        side->kill_by_ns = by_ns;
    }
}

void side_agent_want(struct side_agent *side, uint64_t number)
{
    side->wanted = number;
    give_grace(side, login_patience_ns);
}

void side_agent_retire(struct side_agent *side, uint64_t number)
{
    if (number == 0 || number == side->wanted)
        side->wanted = 0;
    if (number == 0 || number == side->running)
        give_grace(side, number == 0 ? grace_ns : login_patience_ns);
}

bool side_agent_stays(const struct side_agent *side)
{
    return side->pid != 0 && side->killed_ns == 0 && side->kill_due_ns == INT64_MAX;
}

void side_agent_kill(struct side_agent *side)
{
    if (side->pid == 0)
        return;
    (void)kill(side->pid, SIGKILL);
    side->killed_ns = clock_monotonic_ns();
}

bool side_agent_logs_in(const struct side_agent *side)
{
    return side->pid != 0 && login_lock_holder(side->state_dir) == side->pid;
}

/* Not inside C_Login: see login_lock.h. */
static void kill_when_due(struct side_agent *side)
{
    int64_t now = clock_monotonic_ns();
    if (side->pid == 0 || now < side->kill_due_ns)
        return;
    if (now < side->kill_by_ns && side_agent_logs_in(side)) {
        side->kill_due_ns = now + LOGIN_LOOK_MS * INT64_C(1000000);
        return;
    }
    side_agent_kill(side);
    side->kill_due_ns = INT64_MAX;
}

struct err side_agent_run(struct side_agent *side, const char *path,
                          const struct agent_config *config, struct agent_process *ret)
{
    ret->lanes = 0;
    kill_when_due(side);
    if (side->pid != 0 || side->wanted == 0)
        return ERR_OK;
    side->running = side->wanted;
    side->wanted = 0;
    side->kill_due_ns = INT64_MAX;
    side->killed_ns = 0;
    TRY(agent_process_start(path, config, ret));
    side->pid = ret->pid;
    return ERR_OK;
}

int64_t side_agent_due_ns(const struct side_agent *side)
{
    if (side->pid != 0)
        return side->kill_due_ns;
    return side->wanted != 0 ? 0 : INT64_MAX;
}
