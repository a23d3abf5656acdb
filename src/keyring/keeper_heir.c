/* SPDX-License-Identifier: Apache-2.0 */
/* One agent in another's place, with nothing lost: the agent serves until its heir has greeted and
 * looked, and stays until what was in it by then is answered. */
#include "keeper_private.h"

#include <string.h>

static void tell(struct keeper *k, enum control_op op, uint64_t generation, const char *why)
{
    k->hooks.heir(k->hooks.context, op, generation, why);
}

static void expect(struct keeper *k)
{
    k->heir.asked = true;
    k->heir.asked_ns = clock_monotonic_ns();
    k->heir.due_ns = k->heir.asked_ns + ms_ns(START_TIMEOUT_MS);
    k->heir.next_ns = k->heir.asked_ns + ms_ns(FRESH_LOOK_MS);
}

/* One that has come may have looked at the token before whatever this is wanted for. */
void keeper_want_heir(struct keeper *k, const char *why)
{
    if (k->heir.n_lanes > 0 || k->old_lane >= 0)
        k->heir.again = why;
    if (k->heir.asked || k->old_lane >= 0)
        return;
    expect(k);
    tell(k, CONTROL_WANT_HEIR, k->generation, why);
}

static void forget(struct keeper *k)
{
    k->heir.asked = k->heir.readable = false;
    k->heir.n_lanes = 0;
}

void keeper_drop_heir(struct keeper *k)
{
    for (size_t i = 0; i < k->heir.n_lanes; i++)
        (void)close(k->heir.lanes[i]);
    if (k->heir.n_lanes > 0)
        tell(k, CONTROL_END_AGENT, k->heir.generation, "it is not needed");
    forget(k);
}

/* Lanes that come while the agent serves are an heir's, even one's that was given up before they
 * came: taken for the agent's they would end the one that serves. */
bool keeper_takes_heir(struct keeper *k, const struct wishes *w)
{
    if (k->phase != AGENT_UP || k->gone >= k->generation)
        return false;
    if (k->heir.n_lanes > 0) /* the monitor has given that one up */
        keeper_drop_heir(k);
    if (!k->heir.asked)
        expect(k);
    memcpy(k->heir.lanes, w->fds, w->n_fds * sizeof *w->fds);
    k->heir.n_lanes = w->n_fds;
    k->heir.generation = w->generation;
    if (k->old_lane >= 0) /* two of them would be on their way out */
        keeper_drop_heir(k);
    return true;
}

void keeper_take_agent(struct keeper *k, uint64_t generation, const int *fds, size_t n)
{
    keeper_drop_agent(k);
    memcpy(k->lanes, fds, n * sizeof *fds);
    k->n_lanes = n;
    k->generation = generation;
    k->phase = AGENT_STARTING;
    k->began_ns = generation == k->heir.generation ? k->heir.asked_ns : k->since_ns;
    k->start_due_ns = k->since_ns + ms_ns(LOGIN_TOLD_MS);
    k->fresh = true;
    k->explained = k->was_up = false;
    k->wear_mib = 0;
    known_keks_clear(&k->proved);
}

/* Not before it is known how the agent ended. */
static void let_inherit(struct keeper *k)
{
    int fds[AGENT_LANES_MAX];
    size_t n = k->heir.n_lanes;
    if (k->phase != AGENT_NONE || k->lingers || n == 0)
        return;
    memcpy(fds, k->heir.lanes, n * sizeof *fds);
    forget(k);
    keeper_take_agent(k, k->heir.generation, fds, n);
}

static void end_old(struct keeper *k)
{
    if (k->old_lane < 0 || !lane_pool_has_left(k->pool, k->old_generation))
        return;
    (void)close(k->old_lane);
    k->old_lane = -1;
    tell(k, CONTROL_END_AGENT, k->old_generation, "another has taken its place");
}

void keeper_make_room(struct keeper *k, enum err_code code)
{
    if (code != ERR_EXHAUSTED || k->old_lane < 0)
        return;
    lane_pool_drop(k->pool, k->old_generation, "the token has no room for another agent beside it");
    end_old(k);
}

/* The agent's request lanes are the pool's until the heir's come, and go on beside them. */
static void succeed(struct keeper *k, const struct token_identity *token)
{
    const struct keeper_heir heir = k->heir;
    forget(k);
    k->old_lane = k->lanes[0];
    k->old_generation = k->generation;
    k->lanes[0] = -1;
    keeper_take_agent(k, heir.generation, heir.lanes, heir.n_lanes);
    tell(k, CONTROL_HEIR_SERVES, k->generation, "");
    keeper_comes_up(k, token);
    int64_t took = clock_monotonic_ns() - k->heir.asked_ns;
    if (took * FRESH_LOOK_PART > ms_ns(FRESH_LOOK_MS))
        k->heir.next_ns = k->heir.asked_ns + took * FRESH_LOOK_PART;
    end_old(k);
}

/* On a token with too few sessions for both, the agent has to go first. */
static void refused(struct keeper *k, const struct lane_status *status)
{
    k->hooks.warn(k->hooks.context, "no agent can take the other's place", status->text);
    keeper_drop_heir(k);
    if (status->code == ERR_EXHAUSTED)
        keeper_condemn(k, CONDEMN_RENEW, "a fresh agent is needed, and there is no room for two");
}

void keeper_greet_heir(struct keeper *k)
{
    struct lane_reply reply;
    struct err e = lane_hello(k->heir.lanes[0], 0, k->memory, sizeof k->memory, &reply);
    if (err_is(e))
        keeper_drop_heir(k); /* the agent goes on; a later look wants another */
    else if (reply.status.code != ERR_NONE)
        refused(k, &reply.status);
    else
        succeed(k, &reply.u.hello);
}

static const char *worn_out(const struct keeper *k, const struct lane_wear *wear)
{
    const bool aged = clock_monotonic_ns() >= k->since_ns + ms_ns(WORN_MS);
    if (wear->memory_mib >= k->wear_mib + (aged ? WORN_MIB : WORN_AT_ONCE_MIB))
        return "it has grown, as with modules that leak";
    return wear->operations >= WORN_OPERATIONS ? "it has done ten million operations" : NULL;
}

void keeper_note_wear(struct keeper *k, const struct lane_wear *wear)
{
    const int64_t now = clock_monotonic_ns();
    if (k->wear_mib == 0)
        k->wear_mib = wear->memory_mib;
    const char *why = worn_out(k, wear);
    if (!why || k->heir.asked || k->old_lane >= 0 || now < k->worn_due_ns ||
        keyring_attended(k->keyring))
        return;
    k->worn_due_ns = now + ms_ns(WORN_AGAIN_MS);
    keeper_want_heir(k, why);
}

void keeper_tend_heir(struct keeper *k)
{
    const char *again = k->heir.again;
    end_old(k);
    let_inherit(k);
    if (k->heir.asked && clock_monotonic_ns() >= k->heir.due_ns)
        keeper_drop_heir(k);
    if (again && k->phase == AGENT_UP && !k->heir.asked && k->old_lane < 0) {
        k->heir.again = NULL;
        keeper_want_heir(k, again);
    }
}
