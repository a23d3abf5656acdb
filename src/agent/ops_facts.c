/* SPDX-License-Identifier: Apache-2.0 */
/* What module and token say of themselves. No session and no login: these facts are wanted most
 * where there is none. */
#include "ops.h"
#include "p11_facts.h"

static struct err tell_token(const struct agent *agent, struct p11_token *token,
                             struct token_facts *ret)
{
    TRY(p11_facts_token(agent->module, token->slot, ret));
    TRY(p11_token_quirks(agent->module, agent->config.module, token));
    ret->quirks = token->quirks;
    return ERR_OK;
}

struct err op_facts(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                    struct advice *advice)
{
    const struct agent *agent = lane->agent;
    struct facts *facts = &ret->u.facts;
    struct p11_token token;
    facts->part = request->u.facts.part;
    if (facts->part == FACTS_MODULE)
        return p11_facts_module(agent->module, &facts->u.module);
    TRY(p11_token_find(agent->module, agent->config.uri, &token, advice));
    if (facts->part == FACTS_TOKEN)
        return tell_token(agent, &token, &facts->u.token);
    return p11_facts_mechanisms(agent->module, token.slot, facts->u.mechanism);
}
