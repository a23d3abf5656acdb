/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "login.h"

/* Only what makes, relabels or destroys keys may write to the token. */
static struct err open_sessions(struct agent *agent, struct lane *lanes)
{
    enum agent_role role = agent->config.role;
    bool writes = (role == AGENT_MAKE || role == AGENT_DESTROY) && !agent->config.external;
    for (uint32_t i = 0; i < agent->config.lanes; i++)
        TRY(p11_session_open(agent->module, &agent->token, writes, &lanes[i].session));
    return ERR_OK;
}

struct err agent_start(struct agent *agent, struct lane *lanes, struct advice *advice)
{
    if (agent->config.external && key_select_parse(agent->config.select, &agent->select))
        return err_make(ERR_INTERNAL, "ring.select"); /* agent_config_get has checked it */
    TRY(key_cache_new(&agent->keys));
    TRY(p11_module_load(agent->config.module, &agent->module, advice));
    if (agent->config.role == AGENT_LOOK)
        return ERR_OK; /* the module has facts to tell where no token is, or none that logs us in */
    TRY(p11_token_find(agent->module, agent->config.uri, &agent->token, advice));
    TRY(p11_token_quirks(agent->module, agent->config.module, &agent->token));
    TRY(open_sessions(agent, lanes));
    return agent_login(agent, &lanes[0].session, advice);
}
