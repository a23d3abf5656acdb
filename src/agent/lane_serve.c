/* SPDX-License-Identifier: Apache-2.0 */
#include "agent.h"

#include "hold.h"
#include "io.h"
#include "login.h"
#include "ops.h"
#include "status.h"

#include <string.h>

/* An agent of AGENT_DESTROY is asked nothing. */
enum {
    SERVE = 1 << AGENT_SERVE,
    MAKE = 1 << AGENT_MAKE,
    LOOK = 1 << AGENT_LOOK,
    TRIES = 1 << AGENT_TRY
};

/* The closed set of what may be asked. */
static const struct op_row {
    unsigned roles;
    bool retry;  /* once more after a lost session or login; never where a key is made */
    bool writes; /* makes or changes objects: never in an external ring, whose keys are not ours */
    op_function *run;
} ops[] = {
    [LANE_LIST] = {SERVE | MAKE | TRIES, true, false, op_list},
    [LANE_SEAL] = {SERVE, true, false, op_seal},
    [LANE_OPEN] = {SERVE, true, false, op_open},
    [LANE_PROBE] = {SERVE | MAKE | TRIES, true, false, op_probe},
    [LANE_SELFTEST] = {MAKE, false, true, op_selftest},
    [LANE_GENERATE] = {MAKE, false, true, op_generate},
    [LANE_RELABEL] = {MAKE, true, true, op_relabel},
    [LANE_FACTS] = {LOOK, false, false, op_facts},
    [LANE_TRIAL] = {MAKE | TRIES, false, true, op_trial},
};

/* A peer that breaks the protocol, or a kernel that fails us: start afresh. No C_Logout here or
 * anywhere: it would log out whoever shares the login. */
static _Noreturn void give_up(void)
{
    hold_exit(1);
}

/* What this agent can mend by itself. */
static bool is_mendable(struct err e, const struct advice *advice)
{
    enum remedy remedy = status_remedy(e, advice);
    return err_is(e) && (remedy == REMEDY_SESSION || remedy == REMEDY_LOGIN);
}

/* Both, whichever it was: a token that lost all sessions has logged us out, and one that refuses
 * who is not logged in may leave the operation open. */
static struct err mend(struct lane *lane, struct advice *advice)
{
    struct err e = p11_session_reopen(&lane->session);
    key_cache_clear(lane->agent->keys); /* handles may not outlive what the token just lost */
    return err_is(e) ? e : agent_login(lane->agent, &lane->session, advice);
}

/* The request failed by e, and mending ended with `why`. Lane 0, by which the front end judges us,
 * may be well all the same: so that no lane fails for ever, it is told to start afresh. Not where
 * the PIN is what is wrong: a new agent may try none either. */
static struct err give_to_new_agent(struct err e, struct err why, struct advice *advice)
{
    struct lane_status told;
    status_make(why, advice, &told);
    return told.remedy == REMEDY_PIN ? e : advise(advice, e, REMEDY_AGENT, "%s", told.text);
}

static struct err run_again(struct lane *lane, const struct op_row *row,
                            const struct lane_request *request, struct lane_reply *reply,
                            struct err e, struct advice *advice)
{
    advice->text[0] = '\0';
    struct err again = mend(lane, advice);
    if (err_is(again))
        return give_to_new_agent(e, again, advice);
    advice->text[0] = '\0';
    again = row->run(lane, request, reply, advice);
    return is_mendable(again, advice) ? give_to_new_agent(again, again, advice) : again;
}

static struct err run(struct lane *lane, const struct lane_request *request,
                      struct lane_reply *reply, struct advice *advice)
{
    const struct op_row *row = &ops[request->op];
    if ((row->roles & (1U << lane->agent->config.role)) == 0)
        return advise(advice, err_make(ERR_DENIED, "agent"), REMEDY_CALLER,
                      "this agent was not started for that");
    if (row->writes && lane->agent->config.external)
        return advise(advice, err_make(ERR_REFUSED, "agent"), REMEDY_CALLER,
                      "ring %s is external: p11-kms never makes or changes its keys",
                      lane->agent->config.ring);
    struct err e = row->run(lane, request, reply, advice);
    return row->retry && is_mendable(e, advice) ? run_again(lane, row, request, reply, e, advice)
                                                : e;
}

static void send_reply(struct lane *lane, const struct lane_reply *reply)
{
    struct writer w = writer_over(lane->room->reply, sizeof lane->room->reply);
    uint8_t page[LANE_LIST_PACKET_MAX];
    if (reply->op == LANE_LIST) /* holds nothing secret */
        w = writer_over(page, sizeof page);
    lane_put_reply(&w, reply);
    if (w.full || err_is(packet_send(lane->fd, writer_bytes(&w), NULL, 0)))
        give_up();
}

static void answer(struct lane *lane, struct bytes packet)
{
    struct lane_request request;
    struct advice advice = {.text = ""};
    if (err_is(lane_get_request(packet, &request)))
        give_up();
    struct lane_reply reply = {.op = request.op, .number = request.number};
    struct err e = run(lane, &request, &reply, &advice);
    status_make(e, &advice, &reply.status);
    send_reply(lane, &reply);
    wipe(lane->room, sizeof *lane->room);
}

void lane_serve(struct lane *lane)
{
    for (;;) {
        size_t len;
        struct err e = packet_receive(lane->fd, lane->room->request, sizeof lane->room->request,
                                      &len, NULL, 0, NULL);
        if (e.code == ERR_UNAVAILABLE)
            return;
        if (err_is(e))
            give_up();
        answer(lane, bytes_of(lane->room->request, len));
    }
}

void lane_send_hello(struct lane *lane, struct err e, const struct advice *advice)
{
    const struct p11_token *token = &lane->agent->token;
    struct lane_reply reply = {.op = LANE_HELLO};
    status_make(e, advice, &reply.status);
    if (!err_is(e)) {
        memcpy(reply.u.hello.label, token->label, sizeof reply.u.hello.label);
        memcpy(reply.u.hello.manufacturer, token->manufacturer, sizeof reply.u.hello.manufacturer);
        memcpy(reply.u.hello.model, token->model, sizeof reply.u.hello.model);
        memcpy(reply.u.hello.serial, token->serial, sizeof reply.u.hello.serial);
        reply.u.hello.quirks = token->quirks;
    }
    send_reply(lane, &reply);
}
