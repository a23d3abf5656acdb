/* SPDX-License-Identifier: Apache-2.0 */
#include "maker.h"

#include "login_lock.h"
#include "ring_state.h"

#include <stdarg.h>
#include <string.h>

enum { START_TIMEOUT_MS = 30000 };

struct err maker_say(struct maker *m, struct err e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(m->text, sizeof m->text, format, arguments);
    va_end(arguments);
    return e;
}

/* An error of the lane itself, or the agent's own words. */
static struct err explain(struct maker *m, struct err e, const struct lane_reply *reply)
{
    char text[160];
    if (err_is(e))
        return maker_say(m, e, "the token agent failed: %s", err_format(e, text, sizeof text));
    if (reply->status.code != ERR_NONE)
        return maker_say(m, lane_status_err(reply), "%s", reply->status.text);
    return ERR_OK;
}

static struct err call(struct maker *m, struct lane_request *request, struct lane_reply *ret)
{
    struct lane_reply reply;
    request->number = ++m->number;
    struct err e = lane_call(m->lane, request, m->timeout_ms, m->memory, sizeof m->memory, &reply);
    TRY(explain(m, e, &reply));
    *ret = reply;
    return ERR_OK;
}

void maker_end(struct maker *m)
{
    m->source.end(m->source.context);
    ring_look_clear(&m->look);
}

struct err maker_look(struct maker *m)
{
    struct lane_reply reply = {.op = LANE_LIST};
    ring_look_clear(&m->look);
    struct err e = ring_look_take(m->lane, m->timeout_ms, NULL, m->rules, &m->look, &reply.status);
    if (err_is(e) && reply.status.code != ERR_NONE)
        return maker_say(m, e, "%s", reply.status.text);
    return explain(m, e, &reply);
}

struct err maker_fresh(struct maker *m)
{
    struct lane_reply reply;
    ring_look_clear(&m->look);
    m->text[0] = '\0';
    TRY(m->source.fresh(m->source.context, &m->lane, m->text));
    struct err e = lane_hello_patiently(m->lane, START_TIMEOUT_MS, m->state_dir, m->memory,
                                        sizeof m->memory, &reply);
    TRY(explain(m, e, &reply));
    m->token = reply.u.hello;
    m->number = 0;
    return maker_look(m);
}

const struct kek *maker_find(const struct maker *m, const struct object_id *id)
{
    for (size_t i = 0; i < m->look.n; i++)
        if (object_id_equal(&m->look.keys[i].id, id))
            return &m->look.keys[i];
    return NULL;
}

struct err maker_self_test(struct maker *m, enum scheme scheme)
{
    struct lane_request request = {.op = LANE_SELFTEST};
    struct lane_reply reply;
    request.u.selftest.scheme = scheme;
    request.u.selftest.trial = m->trial;
    return call(m, &request, &reply);
}

struct err maker_generate(struct maker *m, uint32_t generation, enum scheme scheme,
                          struct object_id *ret)
{
    struct lane_request request = {.op = LANE_GENERATE};
    struct lane_reply reply;
    struct key_label label = {.generation = generation, .scheme = scheme, .state = KEY_PRE_ACTIVE};
    (void)snprintf(label.ring, sizeof label.ring, "%s", m->rules->name);
    if (generation > GENERATION_MAX)
        return maker_say(
            m, err_make(ERR_REFUSED, "generate"),
            "ring %s has had %d generations, which is all a label can count: make a new ring",
            m->rules->name, GENERATION_MAX);
    request.u.generate.label = label;
    TRY(call(m, &request, &reply));
    *ret = reply.u.made;
    return ERR_OK;
}

struct err maker_probe(struct maker *m, const struct kek *kek, struct bytes canary,
                       struct lane_reply *ret)
{
    struct lane_request request = {.op = LANE_PROBE};
    request.u.probe.scheme = kek->label.scheme;
    request.u.probe.key_id = kek->key_id;
    request.u.probe.canary = canary;
    return call(m, &request, ret);
}

/* A new KEK's canary is what proves, from now on, that its material is what it was. */
static struct err open_canary(struct maker *m, const struct kek *kek)
{
    struct canary canary = {.len = 0};
    struct lane_reply reply;
    struct err e = ring_state_canary(m->state_dir, &kek->key_id, &canary);
    if (!err_is(e))
        return maker_probe(m, kek, bytes_of(canary.data, canary.len), &reply);
    if (e.code != ERR_NOT_FOUND && e.code != ERR_INVALID)
        return maker_say(m, e, "stateDir %s cannot be read", m->state_dir);
    TRY(maker_probe(m, kek, bytes_of(NULL, 0), &reply));
    e = ring_state_set_canary(m->state_dir, &kek->key_id, reply.u.envelope);
    return err_is(e) ? maker_say(m, e, "stateDir %s cannot be written", m->state_dir) : ERR_OK;
}

struct err maker_check(struct maker *m, const struct object_id *id)
{
    char names[256];
    const struct kek *kek = maker_find(m, id);
    if (!kek)
        return maker_say(
            m, err_make(ERR_TOKEN, "prove"),
            "a fresh agent does not find the KEK that the token said it had made: is its "
            "store full?");
    if (kek->ambiguous)
        return maker_say(m, err_make(ERR_TOKEN, "prove"),
                         "two keys on the token have the CKA_ID of KEK %s", kek->key_id.text);
    if (kek->wrong != 0)
        return maker_say(m, err_make(ERR_TOKEN, "prove"),
                         "the token made KEK %s with other attributes than asked for: %s",
                         kek->key_id.text, key_attributes_list(kek->wrong, names, sizeof names));
    return open_canary(m, kek);
}

struct err maker_prove(struct maker *m, const struct object_id *id)
{
    TRY(maker_fresh(m));
    return maker_check(m, id);
}

struct err maker_set_state(struct maker *m, const struct kek *kek, enum key_state state)
{
    struct lane_request request = {.op = LANE_RELABEL};
    struct lane_reply reply;
    request.u.relabel.id = kek->id;
    request.u.relabel.seen = kek->label.state;
    request.u.relabel.label = kek->label;
    request.u.relabel.label.state = state;
    return call(m, &request, &reply);
}
