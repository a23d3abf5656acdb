/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include "io.h"

#include <string.h>
#include <unistd.h>

static void put_text(struct writer *w, const char *text)
{
    put_sized(w, bytes_of_string(text));
}

void control_put(struct writer *w, const struct control_message *message)
{
    put_u8(w, (uint8_t)message->op);
    switch (message->op) {
    case CONTROL_LANES:
        put_u64(w, message->generation);
        put_u32(w, message->count);
        break;
    case CONTROL_AGENT_GONE:
        put_u64(w, message->generation);
        put_u8(w, (uint8_t)message->gone);
        put_u32(w, message->number);
        put_text(w, message->text);
        break;
    case CONTROL_CONDEMN:
        put_u64(w, message->generation);
        put_u8(w, (uint8_t)message->reason);
        put_text(w, message->text);
        break;
    case CONTROL_HEALTH:
        put_u8(w, message->ok);
        put_text(w, message->text);
        break;
    case CONTROL_MAKER_GONE:
        put_u64(w, message->generation);
        put_text(w, message->text);
        break;
    case CONTROL_MAKER:
    case CONTROL_WANT_MAKER:
    case CONTROL_END_MAKER:
    case CONTROL_PING:
    case CONTROL_PONG:
    case CONTROL_WANT_HEIR:
    case CONTROL_HEIR_SERVES:
    case CONTROL_END_AGENT:
        put_u64(w, message->generation);
        break;
    case CONTROL_RELOAD:
    case CONTROL_STOP:
    case CONTROL_READY:
        break;
    }
}

static bool get_text(struct reader *r, struct control_message *m)
{
    return bytes_to_string(get_sized(r), m->text, sizeof m->text);
}

static bool get_body(struct reader *r, struct control_message *m)
{
    switch (m->op) {
    case CONTROL_LANES:
        m->generation = get_u64(r);
        m->count = get_u32(r);
        return m->count >= 1;
    case CONTROL_AGENT_GONE:
        m->generation = get_u64(r);
        m->gone = (enum control_gone)get_u8(r);
        m->number = get_u32(r);
        return get_text(r, m) && m->gone >= GONE_EXITED && m->gone <= GONE_RETIRED;
    case CONTROL_CONDEMN:
        m->generation = get_u64(r);
        m->reason = (enum control_reason)get_u8(r);
        return get_text(r, m) && m->reason >= CONDEMN_TIMEOUT && m->reason <= CONDEMN_RENEW;
    case CONTROL_HEALTH:
        m->ok = get_u8(r) != 0;
        return get_text(r, m);
    case CONTROL_MAKER_GONE:
        m->generation = get_u64(r);
        return get_text(r, m);
    case CONTROL_MAKER:
    case CONTROL_WANT_MAKER:
    case CONTROL_END_MAKER:
    case CONTROL_PING:
    case CONTROL_PONG:
    case CONTROL_WANT_HEIR:
    case CONTROL_HEIR_SERVES:
    case CONTROL_END_AGENT:
        m->generation = get_u64(r);
        return !r->bad;
    case CONTROL_RELOAD:
    case CONTROL_STOP:
    case CONTROL_READY:
        return true;
    }
    return false;
}

struct err control_get(struct bytes packet, struct control_message *ret)
{
    struct control_message m;
    struct reader r = reader_over(packet);
    memset(&m, 0, sizeof m);
    m.op = (enum control_op)get_u8(&r);
    if (!get_body(&r, &m) || !reader_done(&r))
        return err_make(ERR_INTERNAL, "control_get");
    *ret = m;
    return ERR_OK;
}

struct err control_send(int fd, const struct control_message *message, const int *fds, size_t n_fds)
{
    uint8_t packet[CONTROL_PACKET_MAX];
    struct writer w = writer_over(packet, sizeof packet);
    control_put(&w, message);
    if (w.full)
        return err_make(ERR_INTERNAL, "control_send");
    return packet_send(fd, writer_bytes(&w), fds, n_fds);
}

static size_t descriptors_of(const struct control_message *message)
{
    if (message->op == CONTROL_LANES)
        return message->count;
    return message->op == CONTROL_RELOAD || message->op == CONTROL_MAKER ? 1 : 0;
}

struct err control_receive(int fd, struct control_message *ret, int *fds, size_t max_fds,
                           size_t *ret_n_fds)
{
    uint8_t packet[CONTROL_PACKET_MAX];
    struct control_message message;
    size_t len, n_fds = 0;
    TRY(packet_receive(fd, packet, sizeof packet, &len, fds, max_fds, &n_fds));
    struct err e = control_get(bytes_of(packet, len), &message);
    if (!err_is(e) && n_fds != descriptors_of(&message))
        e = err_make(ERR_INTERNAL, "control_receive");
    if (err_is(e)) {
        while (n_fds > 0)
            (void)close(fds[--n_fds]);
        return e;
    }
    *ret = message;
    if (ret_n_fds)
        *ret_n_fds = n_fds;
    return ERR_OK;
}
