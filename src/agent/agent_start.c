/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "login.h"

static struct err open_sessions(struct agent *agent, struct lane *lanes)
{
    for (uint32_t i = 0; i < agent->config.lanes; i++)
        TRY(p11_session_open(agent->module, agent->token.slot, agent->config.role != AGENT_SERVE,
                             &lanes[i].session));
    return ERR_OK;
}

struct err agent_start(struct agent *agent, struct lane *lanes, struct advice *advice)
{
    TRY(key_cache_new(&agent->keys));
    TRY(p11_module_load(agent->config.module, &agent->module, advice));
    TRY(p11_token_find(agent->module, agent->config.uri, &agent->token, advice));
    TRY(open_sessions(agent, lanes));
    return agent_login(agent, &lanes[0].session, advice);
}
