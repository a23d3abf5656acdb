/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_destroy.h"

#include "cleanup.h"
#include "login_lock.h"
#include "maker.h"
#include "own_agent.h"
#include "ring_retired.h"
#include "text.h"

#include <string.h>

enum { START_TIMEOUT_MS = 30000 };

struct session {
    const struct config *config;
    struct key_id key_id;
    struct object_id id;
    int lock; /* held until the end; -1: not yet */
    struct own_agent agent;
    struct ring_rules rules;
    struct maker maker;
    const struct kek *kek, *active; /* in the newest look; kek: NULL if it is not there */
};

static struct err state_failed(struct session *s, struct err e)
{
    return err_is(e) ? maker_say(&s->maker, e, "stateDir %s cannot be read or written",
                                 s->config->state_dir)
                     : ERR_OK;
}

static void session_end(struct session *s)
{
    maker_end(&s->maker);
    close_p(&s->lock);
}

/* A fresh agent's look: the KEK, or that it is gone. A token that does not show the ring's active
 * KEK shows nothing about the others. */
static struct err look(struct session *s)
{
    struct ring_memory known = {.generation = 0};
    struct health health;
    size_t active = 0;
    const char *state = s->config->state_dir, *ring = s->config->ring.name;
    s->kek = s->active = NULL;
    TRY(maker_fresh(&s->maker));
    TRY(state_failed(s, ring_state_current(state, ring, &known)));
    if (ring_look_judge(&s->maker.look, ring, &known, &active, &health) != VERDICT_SEALS)
        return maker_say(&s->maker, err_make(ERR_REFUSED, "destroy"),
                         "nothing is destroyed in a sick ring: %s", health.text);
    s->active = &s->maker.look.keys[active];
    s->kek = maker_find(&s->maker, &s->id);
    return ERR_OK;
}

/* --- whether ----------------------------------------------------------------------------- */

/* When this host first saw it so: now, where neither a daemon nor this command has run here since.
 */
static struct err retired_since(struct session *s, int64_t now_ms, int64_t *ret)
{
    const char *state = s->config->state_dir;
    struct err e = ring_retired_since(state, &s->kek->key_id, ret);
    if (e.code != ERR_NOT_FOUND && e.code != ERR_INVALID)
        return e;
    TRY(ring_retired_note(state, s->kek, now_ms));
    *ret = now_ms;
    return ERR_OK;
}

static struct err judge(struct session *s)
{
    struct ring_memory known = {.generation = 0};
    const char *state = s->config->state_dir;
    int64_t now_ms = clock_wall_ms(), since_ms = now_ms;
    TRY(state_failed(s, ring_state_current(state, s->config->ring.name, &known)));
    if (s->kek->label.state >= KEY_DEACTIVATED)
        TRY(state_failed(s, retired_since(s, now_ms, &since_ms)));
    return ring_retired_judge(&s->maker.look, s->kek, s->active, &known.key_id, since_ms, now_ms,
                              s->maker.text);
}

/* --- doing it ---------------------------------------------------------------------------- */

/* The one agent that destroys. What it says is not the last word: a fresh look is. */
static struct err let_it_destroy(struct session *s)
{
    struct lane_reply reply = {.op = LANE_HELLO};
    int lane;
    char text[160];
    TRY(own_agent_start(&s->agent, AGENT_DESTROY, &s->id, &lane, s->maker.text));
    struct err e =
        lane_hello_patiently(lane, START_TIMEOUT_MS + s->maker.timeout_ms, s->config->state_dir,
                             s->maker.memory, sizeof s->maker.memory, &reply);
    if (err_is(e))
        return maker_say(&s->maker, e, "the token agent failed: %s",
                         err_format(e, text, sizeof text));
    if (reply.status.code != ERR_NONE)
        return maker_say(&s->maker, lane_status_err(&reply), "%s", reply.status.text);
    return ERR_OK;
}

/* A KEK that a look shows no more may be there in part, which only this agent finds: it destroys
 * that too, and says whether nothing is left. */
static struct err destroy_rest(struct session *s)
{
    char why[MAKER_TEXT_MAX + 1];
    struct err e = let_it_destroy(s);
    if (!err_is(e))
        return ERR_OK;
    memcpy(why, s->maker.text, sizeof why);
    return maker_say(&s->maker, e,
                     "KEK %s opens nothing any more, but part of it may still be on the token: "
                     "%.200s; run the command again",
                     s->key_id.text, why);
}

static struct err finish(struct session *s, enum ring_destroy_result result,
                         struct ring_destroy_report *ret)
{
    TRY(state_failed(s, ring_retired_finish(s->config->state_dir, &s->key_id)));
    ret->result = result;
    ret->active = s->active->key_id;
    return ERR_OK;
}

static struct err conclude(struct session *s, struct err done, struct ring_destroy_report *ret)
{
    char why[MAKER_TEXT_MAX + 1];
    memcpy(why, s->maker.text, sizeof why);
    struct err e = look(s);
    if (err_is(e)) {
        char then[MAKER_TEXT_MAX + 1];
        memcpy(then, s->maker.text, sizeof then);
        return maker_say(&s->maker, e,
                         "whether KEK %s is gone is not known: %.200s; run the command again",
                         s->key_id.text, then);
    }
    if (!s->kek) {
        if (err_is(done))
            TRY(destroy_rest(s));
        return finish(s, RING_DESTROYED, ret);
    }
    TRY(state_failed(s, ring_retired_abandon(s->config->state_dir, &s->key_id)));
    if (err_is(done))
        return maker_say(&s->maker, done, "KEK %s was not destroyed: %.380s", s->key_id.text, why);
    return maker_say(&s->maker, err_make(ERR_TOKEN, "destroy"),
                     "the token said that it destroyed KEK %s, and a fresh agent still finds it",
                     s->key_id.text);
}

/* Only a destruction that was begun here may end with a KEK that is not there: anything else is a
 * loss, and stays one. */
static struct err gone_already(struct session *s, struct ring_destroy_report *ret)
{
    bool begun = false;
    TRY(state_failed(s, ring_retired_begun(s->config->state_dir, &s->key_id, &begun)));
    if (begun) {
        TRY(destroy_rest(s));
        return finish(s, RING_ALREADY_GONE, ret);
    }
    return maker_say(
        &s->maker, err_make(ERR_NOT_FOUND, "destroy"),
        "the token does not show KEK %s, and this host did not destroy it: if it is lost, "
        "see `p11-kms status`",
        s->key_id.text);
}

/* A KEK of which anything was destroyed is not in a look: its first object went first. What was
 * begun once and left this one whole must not excuse its loss later, whether or not it goes now. */
static struct err begin_anew(struct session *s)
{
    return state_failed(s, ring_retired_abandon(s->config->state_dir, &s->key_id));
}

static struct err run(struct session *s, ring_destroy_confirm *confirm, void *context,
                      struct ring_destroy_report *ret)
{
    TRY(state_failed(s, own_agent_take_turn(s->config->state_dir, &s->lock)));
    TRY(look(s));
    ret->key_id = s->key_id;
    ret->token = s->maker.token;
    if (!s->kek)
        return gone_already(s, ret);
    TRY(begin_anew(s));
    TRY(key_label_format(&s->kek->label, ret->label));
    TRY(judge(s));
    TRY(confirm(context, ret));
    TRY(look(s)); /* confirming may have taken hours */
    if (!s->kek)
        return gone_already(s, ret);
    TRY(judge(s));
    TRY(state_failed(s, ring_retired_begin(s->config->state_dir, &s->key_id, clock_wall_ms())));
    return conclude(s, let_it_destroy(s), ret);
}

struct err ring_destroy(const struct config *config, const char *agent_path,
                        const struct key_id *key_id, ring_destroy_confirm *confirm, void *context,
                        struct ring_destroy_report *ret, char message[static 512])
{
    char ring[RING_NAME_MAX + 1];
    CLEANUP(session_end)
    struct session s = {.config = config,
                        .key_id = *key_id,
                        .rules = {.external = false},
                        .lock = -1,
                        .agent = {config, agent_path, {.pid = -1}, 0, false}};
    s.maker = (struct maker){.source = own_agent_source(&s.agent),
                             .state_dir = config->state_dir,
                             .rules = &s.rules,
                             .timeout_ms = (int)config->token.generate_timeout_ms};
    memcpy(s.rules.name, config->ring.name, sizeof s.rules.name);
    struct err e = key_id_parse(bytes_of_string(key_id->text), ring, &s.id);
    if (config->ring.mode == RING_EXTERNAL)
        e = maker_say(
            &s.maker, err_make(ERR_REFUSED, "keys destroy"),
            "ring.mode is external: keys that you made are yours to destroy, with your token's "
            "own tools");
    else if (err_is(e) || strcmp(ring, config->ring.name) != 0)
        e = maker_say(&s.maker, err_make(ERR_USAGE, "KEY_ID"), "%.160s is no key_id of ring %s",
                      key_id->text, config->ring.name);
    else
        e = run(&s, confirm, context, ret);
    (void)snprintf(message, 512, "%s", s.maker.text);
    return e;
}
