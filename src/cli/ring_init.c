/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_init.h"

#include "cleanup.h"
#include "maker.h"
#include "own_agent.h"
#include "ring_external.h"
#include "ring_plan.h"
#include "ring_state.h"

#include <string.h>

struct session {
    const struct config *config;
    struct ring_rules rules;
    ring_init_progress *progress;
    void *context;
    int lock; /* held until the end; -1: not yet */
    struct own_agent agent;
    struct maker maker;
    struct ring_memory known; /* of this host; empty where it is damaged */
    bool damaged;             /* it cannot be read */
    struct object_id made;    /* the KEK that is to become active */
    struct scheme_choice choice;
};

static void session_end(struct session *s)
{
    maker_end(&s->maker);
    close_p(&s->lock);
}

/* --- what must not be papered over ------------------------------------------------------- */

struct gone {
    const char *there; /* the one KEK that the token shows, or empty */
    struct key_id key_id;
};

static void note_gone(void *context, const struct key_id *key_id)
{
    struct gone *gone = context;
    if (strcmp(key_id->text, gone->there) != 0)
        gone->key_id = *key_id;
}

/* Which KEK this host knows and the token does not show; half: all that it shows, or NULL. */
static struct err find_gone(struct session *s, const struct kek *half, struct key_id *ret)
{
    struct gone gone = {half ? half->key_id.text : "", {""}};
    const char *state = s->config->state_dir;
    struct err e = ring_state_known(state, s->config->ring.name, note_gone, &gone);
    if (err_is(e))
        return maker_say(&s->maker, e, "stateDir %s cannot be read", state);
    if (s->known.key_id.text[0] && !s->known.lost)
        note_gone(&gone, &s->known.key_id);
    *ret = gone.key_id;
    return ERR_OK;
}

static struct err refuse_if_known(struct session *s, const struct kek *half)
{
    struct key_id gone = {""};
    const char *state = s->config->state_dir, *ring = s->config->ring.name;
    if (s->damaged)
        return maker_say(
            &s->maker, err_make(ERR_REFUSED, "init"),
            "the token shows no active KEK, and %s/ring-%s.active, which says whether this host "
            "knows one, is damaged or cannot be read: restore the token. Only if nothing sealed "
            "before is needed any more, remove that file, then run init again",
            state, ring);
    TRY(find_gone(s, half, &gone));
    if (!gone.text[0])
        return ERR_OK;
    return maker_say(
        &s->maker, err_make(ERR_REFUSED, "init"),
        "this host knows KEK %s, and the token does not show it: restore the token. Only if "
        "nothing sealed with it is needed any more, remove %s/ring-%s.active and "
        "%s/canaries/%s.*, then run init again",
        gone.text, state, ring, state, ring);
}

/* Whatever such a KEK has sealed opens with nothing else. No KEK takes its place before somebody
 * who knows has decided. */
static struct err refuse_if_broken(struct session *s)
{
    char text[HEALTH_TEXT_MAX + 1] = "";
    ring_look_add_broken(&s->maker.look, text, sizeof text);
    return text[0] ? maker_say(&s->maker, err_make(ERR_REFUSED, "init"), "%s", text) : ERR_OK;
}

/* --- the first KEK ----------------------------------------------------------------------- */

/* Not 1 after KEKs that were given up: this host takes nothing older than the last of them. */
static uint32_t first_generation(const struct session *s)
{
    return ring_plan_generation(NULL, 0, s->known.lost ? s->known.generation : 0);
}

/* A KEK of a ring where none is active: only an init that was cut short leaves it. */
static const struct kek *unfinished(const struct session *s)
{
    const struct ring_look *look = &s->maker.look;
    bool only = look->n == 1 && look->keys[0].label.state == KEY_PRE_ACTIVE &&
                look->keys[0].label.generation == first_generation(s);
    return only ? &look->keys[0] : NULL;
}

static struct err test_token(struct session *s)
{
    s->progress(s->context, "self-test of the token: generate, keep, relabel, seal, open, destroy");
    s->choice.scheme = s->config->ring.scheme;
    return s->choice.scheme == SCHEME_NONE ? scheme_choose(&s->maker, &s->choice)
                                           : scheme_require(&s->maker, s->choice.scheme);
}

static struct err generate(struct session *s)
{
    TRY(test_token(s));
    s->progress(s->context, "generating the KEK in the token");
    return maker_generate(&s->maker, first_generation(s), s->choice.scheme, &s->made);
}

/* A new KEK counts only after a fresh agent has found it and opened its canary, in a session that
 * may not write, as the daemon's: not every token lets those work. */
static struct err prove(struct session *s)
{
    s->progress(s->context, "looking for it with a fresh agent, as the daemon will");
    s->agent.serves = true;
    struct err e = maker_prove(&s->maker, &s->made);
    s->agent.serves = false;
    return e;
}

static struct err finish(struct session *s)
{
    TRY(prove(s));
    s->progress(s->context, "activating it");
    TRY(maker_fresh(&s->maker));
    TRY(maker_check(&s->maker, &s->made));
    TRY(maker_set_state(&s->maker, maker_find(&s->maker, &s->made), KEY_ACTIVE));
    return maker_look(&s->maker);
}

/* What a daemon has counted under it stands; and where nobody knows whether it was active here
 * before, it may have been sealing without a count. */
static struct err begin_count(struct session *s, const struct key_id *key_id)
{
    const char *state = s->config->state_dir, *ring = s->config->ring.name;
    uint64_t seals;
    if (s->damaged || ring_state_seals(state, ring, key_id, &seals).code != ERR_NOT_FOUND)
        return ERR_OK;
    return ring_state_set_seals(state, ring, key_id, 0);
}

static struct err remember(struct session *s, const struct kek *active)
{
    const char *state = s->config->state_dir, *ring = s->config->ring.name;
    const struct ring_memory memory = {.key_id = active->key_id,
                                       .generation = active->label.generation};
    struct err e = begin_count(s, &active->key_id);
    if (!err_is(e))
        e = ring_state_set_current(state, ring, &memory);
    return err_is(e) ? maker_say(&s->maker, e, "stateDir %s cannot be written", state) : ERR_OK;
}

static struct err conclude(struct session *s, enum ring_init_result result,
                           struct ring_init_report *ret)
{
    struct health health;
    size_t active = 0;
    const char *ring = s->config->ring.name;
    switch (ring_look_judge(&s->maker.look, ring, &s->known, &active, &health)) {
    case VERDICT_SEALS:
        break;
    case VERDICT_MISSING:
        return maker_say(&s->maker, err_make(ERR_REFUSED, "init"), "%s", health.text);
    case VERDICT_EMPTY:
    case VERDICT_UNFIT:
        return maker_say(&s->maker, err_make(ERR_TOKEN, "init"), "%s", health.text);
    }
    ret->result = result;
    ret->token = s->maker.token;
    ret->choice = s->choice;
    ret->kek = s->maker.look.keys[active];
    return strcmp(s->known.key_id.text, ret->kek.key_id.text) == 0 && !s->known.lost
               ? ERR_OK
               : remember(s, &ret->kek);
}

static struct err look(struct session *s)
{
    /* two inits on one host would make twins: harmless, and needless */
    struct err e = own_agent_take_turn(s->config->state_dir, &s->lock);
    if (err_is(e))
        return maker_say(&s->maker, e, "stateDir %s cannot be made or written",
                         s->config->state_dir);
    s->progress(s->context, "looking at the token");
    return maker_fresh(&s->maker);
}

/* A damaged memory is no reason to fail where a KEK is active: it is written anew then. */
static void recall(struct session *s)
{
    s->damaged = err_is(ring_state_current(s->config->state_dir, s->config->ring.name, &s->known));
}

static struct err run(struct session *s, struct ring_init_report *ret)
{
    TRY(look(s));
    recall(s);
    const struct kek *half = unfinished(s);
    if (half || s->maker.look.n == 0)
        TRY(refuse_if_broken(s));
    if (half) {
        TRY(refuse_if_known(s, half));
        s->made = half->id;
        TRY(finish(s));
        return conclude(s, RING_INIT_COMPLETED, ret);
    }
    if (s->maker.look.n > 0)
        return conclude(s, RING_INIT_EXISTING, ret);
    TRY(refuse_if_known(s, NULL));
    TRY(generate(s));
    TRY(finish(s));
    return conclude(s, RING_INIT_CREATED, ret);
}

static struct session session_of(const struct config *config, const char *agent_path,
                                 ring_init_progress *progress, void *context)
{
    struct session s = {
        .config = config,
        .rules = {.external = config->ring.mode == RING_EXTERNAL, .waive = config_waivers(config)},
        .progress = progress,
        .context = context,
        .lock = -1,
        .agent = {config, agent_path, {.pid = -1}, 0, false}};
    memcpy(s.rules.name, config->ring.name, sizeof s.rules.name);
    return s;
}

/* What points to the session itself, which must not move from here on. */
static void equip(struct session *s)
{
    s->maker = (struct maker){.source = own_agent_source(&s->agent),
                              .state_dir = s->config->state_dir,
                              .rules = &s->rules,
                              .timeout_ms = (int)s->config->token.generate_timeout_ms};
}

struct err ring_init(const struct config *config, const char *agent_path,
                     ring_init_progress *progress, void *context, struct ring_init_report *ret,
                     char message[static 512])
{
    CLEANUP(session_end)
    struct session s = session_of(config, agent_path, progress, context);
    equip(&s);
    struct err e = run(&s, ret);
    (void)snprintf(message, 512, "%s", s.maker.text);
    return e;
}

/* --- an external ring -------------------------------------------------------------------- */

void ring_survey_clear(struct ring_survey *survey)
{
    free(survey->keys);
    *survey = (struct ring_survey){.keys = NULL};
}

static void judge_external(struct session *s, struct ring_survey *survey)
{
    struct ring_memory known = {.generation = 0};
    size_t active;
    /* A damaged memory is the daemon's to tell. */
    (void)err_is(ring_state_current(s->config->state_dir, s->rules.name, &known));
    if (ring_external_look(&s->maker.look, s->config->state_dir, &s->rules, &s->config->ring.active,
                           &known.key_id, &active, &survey->health) == VERDICT_SEALS)
        survey->health = (struct health){.ok = true, .text = "ok"};
}

/* A fault of the key is told with it; an agent that is lost ends the survey. */
static struct err try_key(struct session *s, struct survey_key *key)
{
    struct lane_reply reply;
    if (!kek_usable(&key->kek)) {
        (void)ring_external_refusal(&key->kek, key->fault, sizeof key->fault);
        return ERR_OK;
    }
    struct err e = maker_probe(&s->maker, &key->kek, bytes_of(NULL, 0), &reply);
    if (e.code == ERR_UNAVAILABLE || e.code == ERR_DEADLINE)
        return e;
    if (err_is(e))
        (void)snprintf(key->fault, sizeof key->fault, "%s", s->maker.text);
    return ERR_OK;
}

static struct err survey_all(struct session *s, struct ring_survey *survey)
{
    TRY(look(s));
    judge_external(s, survey);
    const struct ring_look *found = &s->maker.look;
    survey->token = s->maker.token;
    survey->nameless = found->foreign;
    survey->keys = calloc(found->n + 1, sizeof *survey->keys);
    if (!survey->keys)
        return maker_say(&s->maker, err_make(ERR_EXHAUSTED, "survey"), "out of memory");
    s->progress(s->context, "sealing and opening with each key that is fit");
    for (; survey->n < found->n; survey->n++) {
        struct survey_key *key = &survey->keys[survey->n];
        key->kek = found->keys[survey->n];
        TRY(try_key(s, key));
        survey->n_usable += key->fault[0] == '\0';
    }
    return ERR_OK;
}

struct err ring_survey(const struct config *config, const char *agent_path,
                       ring_init_progress *progress, void *context, struct ring_survey *ret,
                       char message[static 512])
{
    CLEANUP(session_end)
    struct session s = session_of(config, agent_path, progress, context);
    CLEANUP(ring_survey_clear) struct ring_survey survey = {.keys = NULL};
    equip(&s);
    struct err e = survey_all(&s, &survey);
    (void)snprintf(message, 512, "%s", s.maker.text);
    if (err_is(e))
        return e;
    *ret = survey;
    survey.keys = NULL;
    return ERR_OK;
}
