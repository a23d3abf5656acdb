/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_init.h"

#include "agent_process.h"
#include "cleanup.h"
#include "io.h"
#include "ring_look.h"
#include "ring_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>

enum { START_TIMEOUT_MS = 30000, MESSAGE_MAX = 512 };

struct session {
    const struct config *config;
    const char *agent_path;
    ring_init_progress *progress;
    void *context;
    char *message; /* MESSAGE_MAX */
    int lock;      /* held until the end; -1: not yet */
    struct agent_process agent;
    struct token_identity token;
    struct ring_look look;
    struct object_id made; /* the KEK that is to become active */
    uint64_t number;
    uint8_t memory[LANE_PACKET_MAX];
};

__attribute__((format(printf, 3, 4))) static struct err say(struct session *s, struct err e,
                                                            const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(s->message, MESSAGE_MAX, format, arguments);
    va_end(arguments);
    return e;
}

static void session_end(struct session *s)
{
    agent_process_kill(&s->agent);
    ring_look_clear(&s->look);
    close_p(&s->lock);
}

/* An error of the lane itself, or the agent's own words. */
static struct err explain(struct session *s, struct err e, const struct lane_reply *reply)
{
    char text[160];
    if (err_is(e))
        return say(s, e, "the token agent failed: %s", err_format(e, text, sizeof text));
    if (reply->status.code != ERR_NONE)
        return say(s, lane_status_err(reply), "%s", reply->status.text);
    return ERR_OK;
}

static struct err call(struct session *s, struct lane_request *request, struct lane_reply *ret)
{
    struct lane_reply reply;
    int64_t timeout = s->config->token.generate_timeout_ms;
    request->number = ++s->number;
    struct err e =
        lane_call(s->agent.lane[0], request, (int)timeout, s->memory, sizeof s->memory, &reply);
    TRY(explain(s, e, &reply));
    *ret = reply;
    return ERR_OK;
}

/* Every agent is new to the token: what one wrote, the next must find. */
static struct err start_agent(struct session *s)
{
    struct agent_config c = {.role = AGENT_MAKE, .lanes = 1};
    struct lane_reply reply;
    agent_process_kill(&s->agent);
    (void)snprintf(c.module, sizeof c.module, "%s", s->config->token.module);
    (void)snprintf(c.uri, sizeof c.uri, "%s", s->config->token.uri);
    (void)snprintf(c.pin_source, sizeof c.pin_source, "%s", s->config->token.pin_source);
    (void)snprintf(c.state_dir, sizeof c.state_dir, "%s", s->config->state_dir);
    (void)snprintf(c.ring, sizeof c.ring, "%s", s->config->ring.name);
    struct err e = agent_process_start(s->agent_path, &c, &s->agent);
    if (err_is(e))
        return say(s, e, "the token agent %s could not be started", s->agent_path);
    e = lane_hello(s->agent.lane[0], START_TIMEOUT_MS, s->memory, sizeof s->memory, &reply);
    TRY(explain(s, e, &reply));
    s->token = reply.u.hello;
    return ERR_OK;
}

static struct err look(struct session *s)
{
    struct lane_reply reply = {.op = LANE_LIST};
    ring_look_clear(&s->look);
    struct err e = ring_look_take(s->agent.lane[0], (int)s->config->token.generate_timeout_ms,
                                  s->config->ring.name, &s->look, &reply.status);
    if (err_is(e) && reply.status.code != ERR_NONE)
        return say(s, e, "%s", reply.status.text);
    return explain(s, e, &reply);
}

/* --- what must not be papered over ------------------------------------------------------- */

static void note_known(void *context, const struct key_id *key_id)
{
    struct key_id *known = context;
    *known = *key_id;
}

static struct err refuse_if_known(struct session *s)
{
    struct key_id known = {""};
    const char *state = s->config->state_dir;
    struct err e = ring_state_known(state, s->config->ring.name, note_known, &known);
    if (err_is(e))
        return say(s, e, "stateDir %s cannot be read", state);
    if (!known.text[0])
        return ERR_OK;
    return say(s, err_make(ERR_REFUSED, "init"),
               "this host knows KEK %s, and the token does not show it: restore the token. Only if "
               "nothing sealed with it is needed any more, remove %s/ring-%s.active and "
               "%s/canaries/%s.*, then run init again",
               known.text, state, s->config->ring.name, state, s->config->ring.name);
}

/* --- the first KEK ----------------------------------------------------------------------- */

static struct err self_test(struct session *s, enum scheme scheme)
{
    struct lane_request request = {.op = LANE_SELFTEST};
    struct lane_reply reply;
    char why[MESSAGE_MAX];
    request.u.selftest.scheme = scheme;
    s->progress(s->context, "self-test of the token: generate, keep, relabel, seal, open, destroy");
    struct err e = call(s, &request, &reply);
    if (!err_is(e))
        return e;
    (void)snprintf(why, sizeof why, "%s", s->message);
    return say(s, e, "the token does not pass for scheme %s, and this version has no other: %.380s",
               scheme_name(scheme), why);
}

static struct err generate(struct session *s, enum scheme scheme)
{
    struct lane_request request = {.op = LANE_GENERATE};
    struct lane_reply reply;
    struct key_label label = {.generation = 1, .scheme = scheme, .state = KEY_PRE_ACTIVE};
    (void)snprintf(label.ring, sizeof label.ring, "%s", s->config->ring.name);
    request.u.generate.label = label;
    s->progress(s->context, "generating the KEK in the token");
    TRY(call(s, &request, &reply));
    s->made = reply.u.made;
    return ERR_OK;
}

static struct err activate(struct session *s, const struct kek *kek)
{
    struct lane_request request = {.op = LANE_RELABEL};
    struct lane_reply reply;
    request.u.relabel.id = kek->id;
    request.u.relabel.label = kek->label;
    request.u.relabel.label.state = KEY_ACTIVE;
    s->progress(s->context, "activating it");
    return call(s, &request, &reply);
}

static struct err store_canary(struct session *s, const struct kek *kek)
{
    struct lane_request request = {.op = LANE_PROBE};
    struct lane_reply reply;
    request.u.probe.scheme = kek->label.scheme;
    request.u.probe.key_id = kek->key_id;
    TRY(call(s, &request, &reply));
    struct err e = ring_state_set_canary(s->config->state_dir, &kek->key_id, reply.u.envelope);
    return err_is(e) ? say(s, e, "stateDir %s cannot be written", s->config->state_dir) : ERR_OK;
}

/* A KEK of a ring where none is active: only an init that was cut short leaves it. */
static const struct kek *unfinished(const struct session *s)
{
    bool only = s->look.n == 1 && s->look.keys[0].label.state == KEY_PRE_ACTIVE &&
                s->look.keys[0].label.generation == 1;
    return only ? &s->look.keys[0] : NULL;
}

static const struct kek *find_made(const struct session *s)
{
    for (size_t i = 0; i < s->look.n; i++)
        if (object_id_equal(&s->look.keys[i].id, &s->made))
            return &s->look.keys[i];
    return NULL;
}

/* A new KEK counts only after a fresh agent has found it and opened its canary. */
static struct err finish(struct session *s)
{
    char names[256];
    s->progress(s->context, "looking for it with a fresh agent");
    TRY(start_agent(s));
    TRY(look(s));
    const struct kek *kek = find_made(s);
    if (!kek)
        return say(s, err_make(ERR_TOKEN, "init"),
                   "the token said that it made the KEK, but a fresh agent does not find it: is "
                   "its store full?");
    if (kek->wrong != 0 || kek->ambiguous)
        return say(s, err_make(ERR_TOKEN, "init"),
                   "the token made KEK %s with other attributes than asked for: %s",
                   kek->key_id.text, key_attributes_list(kek->wrong, names, sizeof names));
    TRY(store_canary(s, kek));
    TRY(activate(s, kek));
    TRY(start_agent(s));
    return look(s);
}

static struct err conclude(struct session *s, enum ring_init_result result,
                           struct ring_init_report *ret)
{
    struct key_id known = {""};
    struct health health;
    size_t active = 0;
    const char *ring = s->config->ring.name;
    /* A damaged memory is no reason to fail: it is written anew below. */
    (void)err_is(ring_state_current(s->config->state_dir, ring, &known));
    switch (ring_look_judge(&s->look, ring, &known, &active, &health)) {
    case VERDICT_SEALS:
        break;
    case VERDICT_MISSING:
        return say(s, err_make(ERR_REFUSED, "init"), "%s", health.text);
    case VERDICT_EMPTY:
    case VERDICT_UNFIT:
        return say(s, err_make(ERR_TOKEN, "init"), "%s", health.text);
    }
    ret->result = result;
    ret->token = s->token;
    ret->kek = s->look.keys[active];
    struct err e = ring_state_set_current(s->config->state_dir, ring, &ret->kek.key_id);
    return err_is(e) ? say(s, e, "stateDir %s cannot be written", s->config->state_dir) : ERR_OK;
}

/* Two inits on one host would make twins: harmless, and needless. */
static struct err take_turn(struct session *s)
{
    char path[PATH_MAX];
    TRY(path_join(s->config->state_dir, "init.lock", path, sizeof path));
    s->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (s->lock < 0 || flock(s->lock, LOCK_EX) != 0)
        return err_errno(errno, "init.lock");
    return ERR_OK;
}

static struct err run(struct session *s, struct ring_init_report *ret)
{
    enum scheme scheme =
        s->config->ring.scheme == SCHEME_NONE ? SCHEME_AES_GCM : s->config->ring.scheme;
    struct err e = directory_make(s->config->state_dir, 0700);
    if (!err_is(e))
        e = take_turn(s);
    if (err_is(e))
        return say(s, e, "stateDir %s cannot be made or written", s->config->state_dir);
    s->progress(s->context, "looking at the token");
    TRY(start_agent(s));
    TRY(look(s));
    const struct kek *half = unfinished(s);
    if (half) {
        s->made = half->id;
        TRY(finish(s));
        return conclude(s, RING_INIT_COMPLETED, ret);
    }
    if (s->look.n > 0)
        return conclude(s, RING_INIT_EXISTING, ret);
    TRY(refuse_if_known(s));
    TRY(self_test(s, scheme));
    TRY(generate(s, scheme));
    TRY(finish(s));
    return conclude(s, RING_INIT_CREATED, ret);
}

struct err ring_init(const struct config *config, const char *agent_path,
                     ring_init_progress *progress, void *context, struct ring_init_report *ret,
                     char message[static 512])
{
    CLEANUP(session_end)
    struct session s = {.config = config,
                        .agent_path = agent_path,
                        .progress = progress,
                        .context = context,
                        .message = message,
                        .lock = -1,
                        .agent = {.pid = -1}};
    message[0] = '\0';
    return run(&s, ret);
}
