/* SPDX-License-Identifier: Apache-2.0 */
#include "maker_process.h"

#include "text.h"

#include <signal.h>
#include <unistd.h>

static const int64_t grace_ns = INT64_C(3000000000);

void maker_process_init(struct maker_process *maker)
{
    *maker = (struct maker_process){.kill_due_ns = INT64_MAX};
}

static void give_grace(struct maker_process *maker)
{
    if (maker->pid != 0 && maker->kill_due_ns == INT64_MAX)
        maker->kill_due_ns = clock_monotonic_ns() + grace_ns;
}

void maker_process_want(struct maker_process *maker, uint64_t number)
{
    maker->wanted = number;
    give_grace(maker);
}

void maker_process_retire(struct maker_process *maker, uint64_t number)
{
    if (number == 0 || number == maker->wanted)
        maker->wanted = 0;
    if (number == 0 || number == maker->running)
        give_grace(maker);
}

void maker_process_kill(struct maker_process *maker)
{
    if (maker->pid != 0)
        (void)kill(maker->pid, SIGKILL);
}

struct err maker_process_run(struct maker_process *maker, const char *path,
                             const struct agent_config *config, int *ret_lane)
{
    struct agent_process agent;
    *ret_lane = -1;
    if (maker->pid != 0 && clock_monotonic_ns() >= maker->kill_due_ns) {
        maker_process_kill(maker);
        maker->kill_due_ns = INT64_MAX;
    }
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
