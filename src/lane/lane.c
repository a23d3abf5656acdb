/* SPDX-License-Identifier: Apache-2.0 */
#include "lane.h"

#include "io.h"
#include "lane_facts.h"
#include "lane_tally.h"
#include "text.h"

#include <string.h>

/* The first byte of every packet: front end and agent of different builds must not talk. */
enum { LANE_VERSION = 6, REPLY_BIT = 0x80 };

static void put_text(struct writer *w, const char *text)
{
    put_sized(w, bytes_of_string(text));
}

static bool get_text(struct reader *r, char *ret, size_t size)
{
    return bytes_to_string(get_sized(r), ret, size);
}

static void put_label(struct writer *w, const struct key_label *label)
{
    put_text(w, label->ring);
    put_u32(w, label->generation);
    put_u8(w, (uint8_t)label->scheme);
    put_u8(w, (uint8_t)label->state);
}

static bool get_label(struct reader *r, struct key_label *ret)
{
    bool ring = get_text(r, ret->ring, sizeof ret->ring);
    ret->generation = get_u32(r);
    ret->scheme = (enum scheme)get_u8(r);
    ret->state = (enum key_state)get_u8(r);
    return ring;
}

static bool get_object_id(struct reader *r, struct object_id *ret)
{
    return !err_is(object_id_from(get_sized(r), ret));
}

void lane_put_request(struct writer *w, const struct lane_request *request)
{
    put_u8(w, LANE_VERSION);
    put_u8(w, (uint8_t)request->op);
    put_u64(w, request->number);
    switch (request->op) {
    case LANE_LIST:
        put_text(w, request->u.list.ring);
        put_u32(w, request->u.list.cursor);
        break;
    case LANE_SEAL:
        put_u8(w, (uint8_t)request->u.seal.family);
        put_u8(w, (uint8_t)request->u.seal.scheme);
        put_u8(w, request->u.seal.verify);
        put_text(w, request->u.seal.key_id.text);
        put_sized(w, request->u.seal.plaintext);
        break;
    case LANE_OPEN:
        put_u8(w, (uint8_t)request->u.open.family);
        put_u8(w, request->u.open.verify);
        put_sized(w, request->u.open.envelope);
        break;
    case LANE_PROBE:
        put_u8(w, (uint8_t)request->u.probe.scheme);
        put_text(w, request->u.probe.key_id.text);
        put_sized(w, request->u.probe.canary);
        break;
    case LANE_SELFTEST:
        put_u8(w, (uint8_t)request->u.selftest.scheme);
        put_sized(w, object_id_bytes(&request->u.selftest.trial));
        break;
    case LANE_GENERATE:
        put_label(w, &request->u.generate.label);
        break;
    case LANE_RELABEL:
        put_sized(w, object_id_bytes(&request->u.relabel.id));
        put_u8(w, (uint8_t)request->u.relabel.seen);
        put_label(w, &request->u.relabel.label);
        break;
    case LANE_FACTS:
        put_u8(w, (uint8_t)request->u.facts.part);
        break;
    case LANE_TRIAL:
        put_u8(w, (uint8_t)request->u.trial.step);
        put_u8(w, (uint8_t)request->u.trial.scheme);
        put_sized(w, object_id_bytes(&request->u.trial.trial));
        put_u32(w, request->u.trial.ms);
        break;
    case LANE_HELLO: /* has no request */
        w->full = true;
        break;
    }
}

static bool get_trial_id(struct reader *r, struct object_id *ret)
{
    struct bytes id = get_sized(r);
    return id.len == 0 || (id.len == UUID_BYTES && !err_is(object_id_from(id, ret)));
}

static bool get_trial(struct reader *r, struct lane_request *q)
{
    q->u.trial.step = (enum trial_step)get_u8(r);
    q->u.trial.scheme = (enum scheme)get_u8(r);
    bool id = get_trial_id(r, &q->u.trial.trial) && q->u.trial.trial.len > 0;
    q->u.trial.ms = get_u32(r);
    return id && q->u.trial.step >= TRIAL_MAKE && q->u.trial.step < TRIAL_STEPS &&
           q->u.trial.ms <= TRIAL_MS_MAX;
}

static bool get_request_body(struct reader *r, struct lane_request *q)
{
    switch (q->op) {
    case LANE_LIST: {
        bool ring = get_text(r, q->u.list.ring, sizeof q->u.list.ring);
        q->u.list.cursor = get_u32(r);
        return ring;
    }
    case LANE_SEAL: {
        q->u.seal.family = (enum family)get_u8(r);
        q->u.seal.scheme = (enum scheme)get_u8(r);
        q->u.seal.verify = get_u8(r) != 0;
        bool key_id = get_text(r, q->u.seal.key_id.text, sizeof q->u.seal.key_id.text);
        q->u.seal.plaintext = get_sized(r);
        return key_id;
    }
    case LANE_OPEN:
        q->u.open.family = (enum family)get_u8(r);
        q->u.open.verify = get_u8(r) != 0;
        q->u.open.envelope = get_sized(r);
        return true;
    case LANE_PROBE: {
        q->u.probe.scheme = (enum scheme)get_u8(r);
        bool key_id = get_text(r, q->u.probe.key_id.text, sizeof q->u.probe.key_id.text);
        q->u.probe.canary = get_sized(r);
        return key_id;
    }
    case LANE_SELFTEST:
        q->u.selftest.scheme = (enum scheme)get_u8(r);
        return get_trial_id(r, &q->u.selftest.trial);
    case LANE_GENERATE:
        return get_label(r, &q->u.generate.label);
    case LANE_RELABEL: {
        bool id = get_object_id(r, &q->u.relabel.id);
        q->u.relabel.seen = (enum key_state)get_u8(r);
        return id && get_label(r, &q->u.relabel.label);
    }
    case LANE_FACTS:
        q->u.facts.part = (enum facts_part)get_u8(r);
        return q->u.facts.part >= FACTS_MODULE && q->u.facts.part <= FACTS_MECHANISMS;
    case LANE_TRIAL:
        return get_trial(r, q);
    case LANE_HELLO:
        break;
    }
    return false;
}

struct err lane_get_request(struct bytes packet, struct lane_request *ret)
{
    struct lane_request q;
    struct reader r = reader_over(packet);
    memset(&q, 0, sizeof q);
    bool version = get_u8(&r) == LANE_VERSION;
    q.op = (enum lane_op)get_u8(&r);
    q.number = get_u64(&r);
    if (!version || !get_request_body(&r, &q) || !reader_done(&r))
        return err_make(ERR_INTERNAL, "lane_get_request");
    *ret = q;
    return ERR_OK;
}

void lane_put_key(struct writer *w, const struct listed_key *key)
{
    put_sized(w, object_id_bytes(&key->id));
    put_text(w, key->label);
    put_u8(w, key->ambiguous);
    put_u32(w, key->attributes.known);
    put_u32(w, key->attributes.value);
    put_u32(w, key->attributes.length);
    put_u32(w, key->attributes.excused);
    put_u8(w, (uint8_t)key->attributes.type);
}

struct err lane_next_key(struct bytes *records, struct listed_key *ret)
{
    struct listed_key key;
    struct reader r = reader_over(*records);
    memset(&key, 0, sizeof key);
    bool fields = get_object_id(&r, &key.id) && get_text(&r, key.label, sizeof key.label);
    key.ambiguous = get_u8(&r) != 0;
    key.attributes.known = get_u32(&r);
    key.attributes.value = get_u32(&r);
    key.attributes.length = get_u32(&r);
    key.attributes.excused = get_u32(&r);
    key.attributes.type = (enum key_type)get_u8(&r);
    if (!fields || r.bad || key.attributes.type > KEY_TYPE_LAST)
        return err_make(ERR_INTERNAL, "lane_next_key");
    *records = r.rest;
    *ret = key;
    return ERR_OK;
}

static void put_reply_body(struct writer *w, const struct lane_reply *reply)
{
    switch (reply->op) {
    case LANE_HELLO:
        put_text(w, reply->u.hello.label);
        put_text(w, reply->u.hello.manufacturer);
        put_text(w, reply->u.hello.model);
        put_text(w, reply->u.hello.serial);
        put_u32(w, reply->u.hello.quirks);
        break;
    case LANE_LIST:
        put_u32(w, reply->u.list.next);
        put_u32(w, reply->u.list.count);
        put_u32(w, reply->u.list.nameless);
        put_sized(w, reply->u.list.records);
        break;
    case LANE_PROBE:
        put_u64(w, reply->wear.operations);
        put_u32(w, reply->wear.memory_mib);
        put_sized(w, reply->u.envelope);
        break;
    case LANE_SEAL:
        put_sized(w, reply->u.envelope);
        break;
    case LANE_OPEN:
        put_sized(w, reply->u.plaintext);
        break;
    case LANE_GENERATE:
        put_sized(w, object_id_bytes(&reply->u.made));
        break;
    case LANE_FACTS:
        lane_put_facts(w, &reply->u.facts);
        break;
    case LANE_TRIAL:
        put_u32(w, reply->u.trial.count);
        put_u64(w, reply->u.trial.ns);
        break;
    case LANE_SELFTEST:
    case LANE_RELABEL:
        break;
    }
}

void lane_put_reply(struct writer *w, const struct lane_reply *reply)
{
    put_u8(w, LANE_VERSION);
    put_u8(w, (uint8_t)(reply->op | REPLY_BIT));
    put_u64(w, reply->number);
    put_u8(w, (uint8_t)reply->status.code);
    if (reply->status.code == ERR_NONE) {
        put_reply_body(w, reply);
        return;
    }
    put_u8(w, (uint8_t)reply->status.remedy);
    put_u64(w, reply->status.ckr);
    put_text(w, reply->status.text);
}

static bool get_token(struct reader *r, struct token_identity *ret)
{
    bool names = get_text(r, ret->label, sizeof ret->label) &&
                 get_text(r, ret->manufacturer, sizeof ret->manufacturer) &&
                 get_text(r, ret->model, sizeof ret->model) &&
                 get_text(r, ret->serial, sizeof ret->serial);
    ret->quirks = get_u32(r);
    return names;
}

static bool get_reply_body(struct reader *r, struct lane_reply *p)
{
    switch (p->op) {
    case LANE_HELLO:
        return get_token(r, &p->u.hello);
    case LANE_LIST:
        p->u.list.next = get_u32(r);
        p->u.list.count = get_u32(r);
        p->u.list.nameless = get_u32(r);
        p->u.list.records = get_sized(r);
        return p->u.list.count <= LANE_LIST_PAGE;
    case LANE_PROBE:
        p->wear.operations = get_u64(r);
        p->wear.memory_mib = get_u32(r);
        p->u.envelope = get_sized(r);
        return true;
    case LANE_SEAL:
        p->u.envelope = get_sized(r);
        return true;
    case LANE_OPEN:
        p->u.plaintext = get_sized(r);
        return true;
    case LANE_GENERATE:
        return get_object_id(r, &p->u.made);
    case LANE_FACTS:
        return lane_get_facts(r, &p->u.facts);
    case LANE_TRIAL:
        p->u.trial.count = get_u32(r);
        p->u.trial.ns = get_u64(r);
        return true;
    case LANE_SELFTEST:
    case LANE_RELABEL:
        return true;
    }
    return false;
}

static bool get_status(struct reader *r, struct lane_status *ret)
{
    ret->remedy = (enum remedy)get_u8(r);
    ret->ckr = get_u64(r);
    return get_text(r, ret->text, sizeof ret->text) && ret->remedy <= REMEDY_PIN;
}

struct err lane_get_reply(struct bytes packet, struct lane_reply *ret)
{
    struct lane_reply p;
    struct reader r = reader_over(packet);
    memset(&p, 0, sizeof p);
    bool version = get_u8(&r) == LANE_VERSION;
    uint8_t op = get_u8(&r);
    p.op = (enum lane_op)(op & ~REPLY_BIT);
    p.number = get_u64(&r);
    p.status.code = (enum err_code)get_u8(&r);
    bool body = p.status.code == ERR_NONE ? get_reply_body(&r, &p) : get_status(&r, &p.status);
    if (!version || (op & REPLY_BIT) == 0 || !body || !reader_done(&r) ||
        p.status.code >= ERR_CODES)
        return err_make(ERR_INTERNAL, "lane_get_reply");
    *ret = p;
    return ERR_OK;
}

static const char *op_name(enum lane_op op)
{
    static const char *const names[] = {
        [LANE_HELLO] = "agent start", [LANE_LIST] = "list keys",  [LANE_SEAL] = "seal",
        [LANE_OPEN] = "open",         [LANE_PROBE] = "probe",     [LANE_SELFTEST] = "self-test",
        [LANE_GENERATE] = "generate", [LANE_RELABEL] = "relabel", [LANE_FACTS] = "facts",
        [LANE_TRIAL] = "trial",
    };
    return op >= LANE_HELLO && op <= LANE_TRIAL ? names[op] : "lane";
}

struct err lane_status_err(const struct lane_reply *reply)
{
    const struct lane_status *s = &reply->status;
    if (s->ckr != 0)
        return err_ckr(s->code, s->ckr, op_name(reply->op));
    return err_make(s->code, op_name(reply->op));
}

static struct err receive_reply(int fd, int timeout_ms, uint64_t number, enum lane_op op,
                                void *memory, size_t size, struct lane_reply *ret)
{
    struct lane_reply reply;
    size_t len;
    TRY(fd_wait_readable(fd, timeout_ms));
    TRY(packet_receive(fd, memory, size, &len, NULL, 0, NULL));
    TRY(lane_get_reply(bytes_of(memory, len), &reply));
    if (reply.number != number || reply.op != op)
        return err_make(ERR_INTERNAL, "reply to another request");
    *ret = reply;
    return ERR_OK;
}

struct err lane_send(int fd, const struct lane_request *request, void *memory, size_t size)
{
    struct writer w = writer_over(memory, size);
    lane_put_request(&w, request);
    return w.full ? err_make(ERR_INTERNAL, "lane_call")
                  : packet_send(fd, writer_bytes(&w), NULL, 0);
}

struct err lane_receive(int fd, const struct lane_request *request, int timeout_ms, void *memory,
                        size_t size, struct lane_reply *ret)
{
    return receive_reply(fd, timeout_ms, request->number, request->op, memory, size, ret);
}

/* Waits until the watch is due, if that comes first; yields what is left of the time. */
static int keep_watch(const struct lane_watch *watch, int fd, int timeout_ms)
{
    int64_t left_ms = (watch->due_ns - clock_monotonic_ns()) / 1000000;
    if (left_ms >= timeout_ms)
        return timeout_ms;
    int first_ms = left_ms > 0 ? (int)left_ms : 0;
    if (fd_wait_readable(fd, first_ms).code == ERR_DEADLINE)
        watch->late(watch->context);
    return timeout_ms - first_ms;
}

static struct err call(int fd, const struct lane_request *request, int timeout_ms,
                       const struct lane_watch *watch, void *memory, size_t size,
                       struct lane_reply *ret)
{
    TRY(lane_send(fd, request, memory, size));
    if (watch)
        timeout_ms = keep_watch(watch, fd, timeout_ms);
    return lane_receive(fd, request, timeout_ms, memory, size, ret);
}

struct err lane_call_watched(int fd, struct lane_request *request, int timeout_ms,
                             const struct lane_watch *watch, void *memory, size_t size,
                             struct lane_reply *ret)
{
    int64_t began_ns = clock_monotonic_ns();
    struct err e = call(fd, request, timeout_ms, watch, memory, size, ret);
    lane_tally_add(request->op, err_is(e) ? e.code : ret->status.code,
                   clock_monotonic_ns() - began_ns);
    return e;
}

struct err lane_call(int fd, struct lane_request *request, int timeout_ms, void *memory,
                     size_t size, struct lane_reply *ret)
{
    return lane_call_watched(fd, request, timeout_ms, NULL, memory, size, ret);
}

struct err lane_hello(int fd, int timeout_ms, void *memory, size_t size, struct lane_reply *ret)
{
    return receive_reply(fd, timeout_ms, 0, LANE_HELLO, memory, size, ret);
}
