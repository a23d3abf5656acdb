/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include <string.h>

enum { START_TIMEOUT_MS = 30000 };

static int at_most(int a, int b)
{
    return a < b ? a : b;
}

/* An agent that tells facts: its lane. */
static struct err start(struct doctor *d, int *ret_lane)
{
    struct lane_reply reply;
    struct doctor_answer *answer = &d->report.module;
    char text[160];
    TRY(own_agent_start(&d->second, AGENT_LOOK, NULL, ret_lane, answer->why));
    int patience_ms = at_most(START_TIMEOUT_MS, d->step_ms);
    struct err e =
        lane_hello(*ret_lane, patience_ms, d->maker.memory, sizeof d->maker.memory, &reply);
    if (e.code == ERR_DEADLINE)
        (void)snprintf(answer->why, sizeof answer->why,
                       "the module did not load and start within %d s: it hangs",
                       patience_ms / 1000);
    else if (err_is(e))
        (void)snprintf(answer->why, sizeof answer->why,
                       "the token agent ended while it loaded the module: %s",
                       err_format(e, text, sizeof text));
    else if (reply.status.code != ERR_NONE)
        (void)snprintf(answer->why, sizeof answer->why, "%s", reply.status.text);
    return err_is(e) ? e : lane_status_err(&reply);
}

static struct err ask(struct doctor *d, int lane, enum facts_part part, struct facts *ret,
                      struct doctor_answer *answer)
{
    struct lane_request request = {.op = LANE_FACTS, .u.facts.part = part};
    struct lane_reply reply;
    TRY(doctor_call(d, lane, &request, &reply, answer->why, sizeof answer->why));
    *ret = reply.u.facts;
    answer->known = true;
    return ERR_OK;
}

static struct err look(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    int lane = -1;
    doctor_progress(d, "loading the module");
    TRY(start(d, &lane));
    TRY(ask(d, lane, FACTS_MODULE, &r->module_facts, &r->module));
    doctor_progress(d, "looking for the token");
    TRY(ask(d, lane, FACTS_TOKEN, &r->token_facts, &r->token));
    /* without these a self-test still tells */
    struct err e = ask(d, lane, FACTS_MECHANISMS, &r->mechanism_facts, &r->mechanisms);
    return e.code == ERR_DEADLINE ? e : ERR_OK;
}

struct err doctor_look(struct doctor *d)
{
    struct err e = look(d);
    agent_process_kill(&d->second.process);
    return e;
}
