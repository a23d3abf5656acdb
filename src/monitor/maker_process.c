/* SPDX-License-Identifier: Apache-2.0 */
#include "maker_process.h"

#include "login_lock.h"
#include "text.h"

#include <signal.h>
#include <unistd.h>

static const int64_t grace_ns = INT64_C(3000000000);
static const int64_t login_patience_ns = LOGIN_PATIENCE_MS * INT64_C(1000000);

void maker_process_init(struct maker_process *maker)
{
    *maker = (struct maker_process){.kill_due_ns = INT64_MAX};
}

/* What was promised before may be cut short, and never grows. */
static void give_grace(struct maker_process *maker, int64_t login_ns)
{
    int64_t now = clock_monotonic_ns(), by_ns = now + login_ns;
    if (maker->pid == 0)
        return;
    if (maker->kill_due_ns == INT64_MAX) {
        maker->kill_due_ns = now + grace_ns;
        maker->kill_by_ns = by_ns;
    } else if (by_ns < maker->kill_by_ns) {
        maker->kill_by_ns = by_ns;
    }
}

void maker_process_want(struct maker_process *maker, uint64_t number)
{
    maker->wanted = number;
    give_grace(maker, login_patience_ns);
}

void maker_process_retire(struct maker_process *maker, uint64_t number)
{
    if (number == 0 || number == maker->wanted)
        maker->wanted = 0;
    if (number == 0 || number == maker->running)
        give_grace(maker, number == 0 ? grace_ns : login_patience_ns);
}

void maker_process_kill(struct maker_process *maker)
{
    if (maker->pid != 0)
        (void)kill(maker->pid, SIGKILL);
}

bool maker_process_logs_in(const struct maker_process *maker)
{
    return maker->pid != 0 && login_lock_holder(maker->state_dir) == maker->pid;
}

/* Not inside C_Login: see login_lock.h. */
static void kill_when_due(struct maker_process *maker)
{
    int64_t now = clock_monotonic_ns();
    if (maker->pid == 0 || now < maker->kill_due_ns)
        return;
    if (now < maker->kill_by_ns && maker_process_logs_in(maker)) {
        maker->kill_due_ns = now + LOGIN_LOOK_MS * INT64_C(1000000);
        return;
    }
    maker_process_kill(maker);
    maker->kill_due_ns = INT64_MAX;
}

struct err maker_process_run(struct maker_process *maker, const char *path,
                             const struct agent_config *config, int *ret_lane)
{
    struct agent_process agent;
    *ret_lane = -1;
    kill_when_due(maker);
    if (maker->pid != 0 || maker->wanted == 0)
        return ERR_OK;
    maker->running = maker->wanted;
    maker->wanted = 0;
    maker->kill_due_ns = INT64_MAX;
    TRY(agent_process_start(path, config, &agent));
    maker->pid = agent.pid;
    *ret_lane = agent.lane[0];
    return ERR_OK;
}

int64_t maker_process_due_ns(const struct maker_process *maker)
{
    if (maker->pid != 0)
        return maker->kill_due_ns;
    return maker->wanted != 0 ? 0 : INT64_MAX;
}
