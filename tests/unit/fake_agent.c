/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_agent.h"

#include "io.h"

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LANES = 8, OPS = LANE_TRIAL + 1, PROBED_MAX = 8 };

struct held {
    size_t len; /* 0: nothing held */
    uint8_t packet[LANE_LIST_PACKET_MAX];
};

/* How often a KEK was probed. */
struct probed {
    struct key_id key_id;
    unsigned times;
};

struct fake_agent {
    pthread_t thread;
    int wake_fd;
    size_t n;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    int fds[LANES];
    bool stop, verify;
    struct fake_rule rules[OPS];
    unsigned seen[OPS];
    struct probed probed[PROBED_MAX];
    size_t n_probed;
    struct held held[LANES];
    uint8_t material;
    struct lane_wear wear;
    size_t n_keys, page;
    struct listed_key keys[FAKE_KEYS_MAX];
    struct fake_token *token; /* whose keys they are, or NULL */
    uint8_t records[LANE_LIST_PACKET_MAX];
    uint8_t envelope[ENVELOPE_MAX];
};

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void close_lane_locked(struct fake_agent *agent, size_t lane)
{
    if (agent->fds[lane] >= 0) {
        (void)shutdown(agent->fds[lane], SHUT_RDWR); /* our own poll may hold it open */
        (void)close(agent->fds[lane]);
    }
    agent->fds[lane] = -1;
    agent->held[lane].len = 0;
}

static void close_lanes_locked(struct fake_agent *agent)
{
    for (size_t i = 0; i < agent->n; i++)
        close_lane_locked(agent, i);
}

/* --- answers ----------------------------------------------------------------------------- */

static struct bytes sealed(struct fake_agent *agent, enum family family, struct key_id key_id,
                           struct bytes plaintext)
{
    struct writer w = writer_over(agent->envelope, sizeof agent->envelope);
    envelope_put_header(&w, SCHEME_AES_GCM, family, &key_id);
    put_bytes(&w, plaintext);
    return writer_bytes(&w);
}

static void list(struct fake_agent *agent, uint32_t cursor, struct lane_reply *reply)
{
    struct writer w = writer_over(agent->records, sizeof agent->records);
    if (agent->token && cursor == 0)
        agent->n_keys = fake_token_list(agent->token, agent->keys);
    size_t end = cursor + agent->page < agent->n_keys ? cursor + agent->page : agent->n_keys;
    for (size_t i = cursor; i < end; i++)
        lane_put_key(&w, &agent->keys[i]);
    must(!w.full);
    reply->u.list.next = end < agent->n_keys ? (uint32_t)end : 0;
    reply->u.list.count = (uint32_t)(end - cursor);
    reply->u.list.records = writer_bytes(&w);
}

static void open_envelope(const struct lane_request *q, struct lane_reply *reply)
{
    struct envelope envelope;
    if (err_is(envelope_parse(q->u.open.envelope, &envelope)) ||
        envelope.family != q->u.open.family)
        reply->status = (struct lane_status){ERR_AUTH, REMEDY_CALLER, 0, "does not open"};
    else
        reply->u.plaintext = envelope.fields;
}

/* The KEK's place among those that were probed, or the next free one. */
static struct probed *probed_of(struct fake_agent *agent, const struct key_id *key_id)
{
    size_t i = 0;
    while (i < agent->n_probed && strcmp(agent->probed[i].key_id.text, key_id->text) != 0)
        i++;
    must(i < PROBED_MAX);
    return &agent->probed[i];
}

static void count_probe(struct fake_agent *agent, const struct key_id *key_id)
{
    struct probed *probed = probed_of(agent, key_id);
    probed->key_id = *key_id;
    agent->n_probed += probed->times++ == 0;
}

static void probe(struct fake_agent *agent, const struct lane_request *q, struct lane_reply *reply)
{
    struct bytes canary = q->u.probe.canary;
    struct bytes made =
        sealed(agent, FAMILY_CANARY, q->u.probe.key_id, bytes_of(&agent->material, 1));
    reply->wear = agent->wear;
    if (canary.len == 0)
        reply->u.envelope = made;
    else if (!bytes_equal(canary, made))
        reply->status = (struct lane_status){ERR_AUTH, REMEDY_CALLER, 0, "canary does not open"};
}

static void work(struct fake_agent *agent, const struct lane_request *q, struct lane_reply *reply)
{
    switch (q->op) {
    case LANE_LIST:
        list(agent, q->u.list.cursor, reply);
        break;
    case LANE_SEAL:
        agent->verify = q->u.seal.verify;
        reply->u.envelope = sealed(agent, q->u.seal.family, q->u.seal.key_id, q->u.seal.plaintext);
        break;
    case LANE_OPEN:
        agent->verify = q->u.open.verify;
        open_envelope(q, reply);
        break;
    case LANE_PROBE:
        probe(agent, q, reply);
        break;
    default:
        must(!agent->token || fake_token_answer(agent->token, q, reply) || q->op == LANE_SELFTEST);
        break;
    }
}

/* --- misbehaviour ------------------------------------------------------------------------ */

static void send_packet(int fd, struct bytes packet)
{
    if (fd >= 0 && err_is(packet_send(fd, packet, NULL, 0)))
        return; /* the other side has gone: its right */
}

static void send_empty(int fd)
{
    int copies[3] = {fd, fd, fd};
    if (err_is(packet_send(fd, bytes_of("", 0), copies, 3)))
        abort();
}

static void act_locked(struct fake_agent *agent, size_t lane, enum fake_act act,
                       struct lane_reply *reply)
{
    static const uint8_t garbage[2 * LANE_LIST_PACKET_MAX] = {0xff, 0xff, 0xff};
    struct held *room = &agent->held[lane];
    reply->number += act == FAKE_WRONG_NUMBER;
    if (act == FAKE_WRONG_OP)
        *reply = (struct lane_reply){.op = LANE_SELFTEST, .number = reply->number};
    struct writer w = writer_over(room->packet, sizeof room->packet);
    lane_put_reply(&w, reply);
    must(!w.full);
    room->len = act == FAKE_HOLD ? w.len : 0;
    switch (act) {
    case FAKE_HOLD:
        break;
    case FAKE_CLOSE:
        close_lanes_locked(agent);
        break;
    case FAKE_GARBAGE:
        send_packet(agent->fds[lane], bytes_of(garbage, 20));
        break;
    case FAKE_TOO_LONG:
        send_packet(agent->fds[lane], bytes_of(garbage, sizeof garbage));
        break;
    case FAKE_EMPTY:
        send_empty(agent->fds[lane]);
        break;
    case FAKE_TWICE:
        send_packet(agent->fds[lane], writer_bytes(&w));
        send_packet(agent->fds[lane], writer_bytes(&w));
        break;
    default:
        send_packet(agent->fds[lane], writer_bytes(&w));
        break;
    }
}

/* --- the thread -------------------------------------------------------------------------- */

static void serve_locked(struct fake_agent *agent, size_t lane)
{
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_request request;
    size_t len;
    if (err_is(packet_receive(agent->fds[lane], packet, sizeof packet, &len, NULL, 0, NULL))) {
        (void)close(agent->fds[lane]); /* the front end has closed it */
        agent->fds[lane] = -1;
        return;
    }
    must(!err_is(lane_get_request(bytes_of(packet, len), &request)));
    if (request.op == LANE_PROBE)
        count_probe(agent, &request.u.probe.key_id);
    const struct fake_rule *rule = &agent->rules[request.op];
    struct lane_reply reply = {.op = request.op, .number = request.number};
    if (rule->act == FAKE_FAIL)
        reply.status = rule->status;
    else
        work(agent, &request, &reply);
    if (rule->act == FAKE_OTHER)
        reply.u.envelope = sealed(agent, FAMILY_V2, fake_key_id(999), bytes_of("x", 1));
    act_locked(agent, lane, rule->act, &reply);
    agent->seen[request.op]++;
    pthread_cond_broadcast(&agent->changed);
}

void (*fake_agent_aside)(bool begins);

static void *run(void *argument)
{
    struct fake_agent *agent = argument;
    struct pollfd polled[LANES + 1];
    eventfd_t count;
    if (fake_agent_aside)
        fake_agent_aside(true);
    for (bool on = true; on;) {
        pthread_mutex_lock(&agent->lock);
        polled[LANES] = (struct pollfd){.fd = agent->wake_fd, .events = POLLIN};
        for (size_t i = 0; i < LANES; i++)
            polled[i] = (struct pollfd){.fd = i < agent->n ? agent->fds[i] : -1, .events = POLLIN};
        pthread_mutex_unlock(&agent->lock);
        must(poll(polled, LANES + 1, -1) > 0);
        (void)eventfd_read(agent->wake_fd, &count);
        pthread_mutex_lock(&agent->lock);
        for (size_t i = 0; i < agent->n; i++)
            if (polled[i].revents != 0 && agent->fds[i] == polled[i].fd)
                serve_locked(agent, i);
        on = !agent->stop;
        pthread_mutex_unlock(&agent->lock);
    }
    return NULL;
}

/* --- for tests --------------------------------------------------------------------------- */

struct fake_agent *fake_agent_new(size_t n, int *ret_fds)
{
    struct fake_agent *agent = calloc(1, sizeof *agent);
    must(agent && n <= LANES);
    agent->n = n;
    agent->material = 1;
    agent->page = 1;
    agent->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (size_t i = 0; i < n; i++) {
        int pair[2];
        must(!err_is(packet_pair(pair)));
        agent->fds[i] = pair[0];
        ret_fds[i] = pair[1];
    }
    pthread_mutex_init(&agent->lock, NULL);
    pthread_cond_init(&agent->changed, NULL);
    must(pthread_create(&agent->thread, NULL, run, agent) == 0);
    return agent;
}

void fake_agent_free(struct fake_agent *agent)
{
    if (!agent)
        return;
    pthread_mutex_lock(&agent->lock);
    agent->stop = true;
    pthread_mutex_unlock(&agent->lock);
    (void)eventfd_write(agent->wake_fd, 1);
    pthread_join(agent->thread, NULL);
    close_lanes_locked(agent);
    (void)close(agent->wake_fd);
    pthread_cond_destroy(&agent->changed);
    pthread_mutex_destroy(&agent->lock);
    free(agent);
}

void fake_agent_rule(struct fake_agent *agent, enum lane_op op, enum fake_act act)
{
    pthread_mutex_lock(&agent->lock);
    agent->rules[op] = (struct fake_rule){.act = act};
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_fail(struct fake_agent *agent, enum lane_op op, enum err_code code,
                     enum remedy remedy, const char *text)
{
    struct fake_rule rule = {FAKE_FAIL, {.code = code, .remedy = remedy}};
    (void)snprintf(rule.status.text, sizeof rule.status.text, "%s", text);
    pthread_mutex_lock(&agent->lock);
    agent->rules[op] = rule;
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_keys(struct fake_agent *agent, const struct listed_key *keys, size_t n, size_t page)
{
    must(n <= FAKE_KEYS_MAX);
    pthread_mutex_lock(&agent->lock);
    if (n > 0)
        memcpy(agent->keys, keys, n * sizeof *keys);
    agent->n_keys = n;
    agent->page = page;
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_share(struct fake_agent *agent, struct fake_token *token)
{
    pthread_mutex_lock(&agent->lock);
    agent->token = token;
    agent->page = 3;
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_material(struct fake_agent *agent, uint8_t material)
{
    pthread_mutex_lock(&agent->lock);
    agent->material = material;
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_wear(struct fake_agent *agent, uint32_t memory_mib, uint64_t operations)
{
    pthread_mutex_lock(&agent->lock);
    agent->wear = (struct lane_wear){.operations = operations, .memory_mib = memory_mib};
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_hello(struct fake_agent *agent)
{
    struct lane_reply reply = {.op = LANE_HELLO};
    (void)snprintf(reply.u.hello.label, sizeof reply.u.hello.label, "fake");
    pthread_mutex_lock(&agent->lock);
    const struct fake_rule *rule = &agent->rules[LANE_HELLO];
    if (rule->act == FAKE_FAIL)
        reply.status = rule->status;
    act_locked(agent, 0, rule->act, &reply);
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_release(struct fake_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    for (size_t op = 0; op < OPS; op++)
        if (agent->rules[op].act == FAKE_HOLD)
            agent->rules[op].act = FAKE_ANSWER;
    for (size_t i = 0; i < agent->n; i++) {
        if (agent->held[i].len > 0)
            send_packet(agent->fds[i], bytes_of(agent->held[i].packet, agent->held[i].len));
        agent->held[i].len = 0;
    }
    pthread_mutex_unlock(&agent->lock);
}

void fake_agent_die(struct fake_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    close_lanes_locked(agent);
    pthread_mutex_unlock(&agent->lock);
    (void)eventfd_write(agent->wake_fd, 1);
}

void fake_agent_break(struct fake_agent *agent, size_t lane)
{
    pthread_mutex_lock(&agent->lock);
    close_lane_locked(agent, lane);
    pthread_mutex_unlock(&agent->lock);
    (void)eventfd_write(agent->wake_fd, 1);
}

unsigned fake_agent_seen(struct fake_agent *agent, enum lane_op op)
{
    pthread_mutex_lock(&agent->lock);
    unsigned seen = agent->seen[op];
    pthread_mutex_unlock(&agent->lock);
    return seen;
}

void fake_agent_wait_seen(struct fake_agent *agent, enum lane_op op, unsigned least)
{
    pthread_mutex_lock(&agent->lock);
    while (agent->seen[op] < least)
        pthread_cond_wait(&agent->changed, &agent->lock);
    pthread_mutex_unlock(&agent->lock);
}

unsigned fake_agent_probes_of(struct fake_agent *agent, struct key_id key_id)
{
    pthread_mutex_lock(&agent->lock);
    unsigned times = probed_of(agent, &key_id)->times;
    pthread_mutex_unlock(&agent->lock);
    return times;
}

void fake_agent_wait_probes_of(struct fake_agent *agent, struct key_id key_id, unsigned least)
{
    pthread_mutex_lock(&agent->lock);
    while (probed_of(agent, &key_id)->times < least)
        pthread_cond_wait(&agent->changed, &agent->lock);
    pthread_mutex_unlock(&agent->lock);
}

bool fake_agent_last_verify(struct fake_agent *agent)
{
    pthread_mutex_lock(&agent->lock);
    bool verify = agent->verify;
    pthread_mutex_unlock(&agent->lock);
    return verify;
}

static struct object_id fake_id(uint16_t tail)
{
    static const uint8_t stem[UUID_BYTES - 2] = {1,    0x92, 0xf0, 0xc1, 0x2b, 0x3c, 0x7d,
                                                 0x4e, 0x8f, 0x50, 0x61, 0x72, 0x83, 0x94};
    struct object_id id = {.len = UUID_BYTES};
    memcpy(id.data, stem, sizeof stem);
    id.data[UUID_BYTES - 2] = (uint8_t)(tail >> 8);
    id.data[UUID_BYTES - 1] = (uint8_t)tail;
    return id;
}

struct listed_key fake_key(uint32_t generation, enum key_state state, uint16_t tail)
{
    struct key_label label = {"k8s", generation, SCHEME_AES_GCM, 0, state};
    struct listed_key key = {.id = fake_id(tail)};
    key.attributes = (struct key_attributes){.known = ATTR_BIT(ATTR_COUNT) - 1,
                                             .value = ATTR_BIT(ATTR_COUNT) - 1,
                                             .length = 32,
                                             .type = KEY_TYPE_AES};
    key.attributes.value &= ~key_attributes_wrong(SCHEME_AES_GCM, 0, &key.attributes);
    must(!err_is(key_label_format(&label, key.label)));
    return key;
}

struct listed_key fake_key_object(const struct listed_key *of, enum scheme scheme, uint32_t role)
{
    struct key_label label;
    struct listed_key key = *of;
    must(!err_is(key_label_parse(bytes_of_string(of->label), &label)));
    label.scheme = scheme;
    label.role = role;
    must(!err_is(key_label_format(&label, key.label)));
    must(!err_is(object_id_of_role(&of->id, scheme, role, &key.id)));
    const struct key_demand *demand = key_demand(scheme, role, 0);
    key.attributes.type = demand->type;
    key.attributes.length = demand->length_min;
    key.attributes.value ^= key_attributes_wrong(scheme, role, &key.attributes);
    return key;
}

struct key_id fake_key_id(uint16_t tail)
{
    struct key_id key_id;
    struct object_id id = fake_id(tail);
    must(!err_is(key_id_make("k8s", &id, &key_id)));
    return key_id;
}

size_t fake_envelope(enum family family, const struct key_id *key_id, const char *plaintext,
                     uint8_t memory[static ENVELOPE_MAX])
{
    struct writer w = writer_over(memory, ENVELOPE_MAX);
    envelope_put_header(&w, SCHEME_AES_GCM, family, key_id);
    put_bytes(&w, bytes_of_string(plaintext));
    return w.len;
}
