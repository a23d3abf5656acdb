/* SPDX-License-Identifier: Apache-2.0 */
#include "frame_meter.h"

#include <string.h>

enum frame_type { FRAME_DATA = 0, FRAME_HEADERS = 1, FRAME_RST_STREAM = 3, FRAME_CONTINUATION = 9 };

enum { FLAG_END_STREAM = 1, FLAG_END_HEADERS = 4 };

typedef void on_frame(struct frame_meter *meter, uint8_t type, uint8_t flags, uint32_t len);

void frame_meter_start(struct frame_meter *m, int64_t now_ns)
{
    *m = (struct frame_meter){.in.left = FRAME_PREFACE,
                              .refilled_ns = now_ns,
                              .last_call_ns = now_ns,
                              .resets = METER_RESETS_BURST,
                              .idle = METER_IDLE_BURST};
}

/* --- frames ------------------------------------------------------------------------------ */

static void follow(struct frame_meter *m, struct frame_position *p, struct bytes part,
                   on_frame *frame)
{
    for (size_t at = 0; at < part.len;) {
        if (p->left > 0) {
            size_t skipped = part.len - at < p->left ? part.len - at : p->left;
            p->left -= (uint32_t)skipped;
            at += skipped;
            continue;
        }
        p->header[p->in_header++] = part.data[at++];
        if (p->in_header < FRAME_HEADER)
            continue;
        p->in_header = 0;
        p->left = (uint32_t)p->header[0] << 16 | (uint32_t)p->header[1] << 8 | p->header[2];
        frame(m, p->header[3], p->header[4], p->left);
    }
}

static void close_call(struct frame_meter *m)
{
    if (m->open > 0)
        m->open--;
    if (m->unfinished > m->open)
        m->unfinished = m->open;
}

static void finish_request(struct frame_meter *m)
{
    if (m->unfinished > 0)
        m->unfinished--;
    m->looks = 0;
}

static void spend(struct frame_meter *m, uint32_t *allowance, const char *wrong)
{
    if (*allowance > 0)
        --*allowance;
    else
        m->wrong = wrong;
}

static void begin_call(struct frame_meter *m, uint8_t flags)
{
    if (++m->open > METER_OPEN_MAX)
        m->wrong = "it does not read what is answered";
    if (m->unfinished++ == 0)
        m->looks = 0;
    if (flags & FLAG_END_STREAM)
        finish_request(m);
    m->idle += METER_IDLE_PER_CALL;
    if (m->idle > METER_IDLE_BURST)
        m->idle = METER_IDLE_BURST;
}

static void add_header(struct frame_meter *m, uint8_t flags, uint32_t len)
{
    m->header_bytes += len;
    if (m->header_bytes > METER_HEADERS_MAX)
        m->wrong = "its headers are too long";
    if (flags & FLAG_END_HEADERS)
        m->header_bytes = 0;
}

static void add_data(struct frame_meter *m, uint8_t flags, uint32_t len)
{
    if (len == 0 && !(flags & FLAG_END_STREAM))
        spend(m, &m->idle, "too many empty frames");
    if (flags & FLAG_END_STREAM)
        finish_request(m);
    m->unfinished_bytes = flags & FLAG_END_STREAM ? 0 : m->unfinished_bytes + len;
    if (m->unfinished_bytes > METER_UNFINISHED_MAX)
        m->wrong = "a request without end";
}

static void on_received(struct frame_meter *m, uint8_t type, uint8_t flags, uint32_t len)
{
    switch (type) {
    case FRAME_HEADERS:
        begin_call(m, flags);
        add_header(m, flags, len);
        break;
    case FRAME_CONTINUATION:
        spend(m, &m->idle, "too many frames that ask for nothing");
        add_header(m, flags, len);
        break;
    case FRAME_DATA:
        add_data(m, flags, len);
        break;
    case FRAME_RST_STREAM:
        finish_request(m);
        close_call(m);
        spend(m, &m->resets, "too many calls taken back");
        break;
    default:
        spend(m, &m->idle, "too many frames that ask for nothing");
    }
}

static void on_sent(struct frame_meter *m, uint8_t type, uint8_t flags, uint32_t len)
{
    (void)len;
    if (type == FRAME_RST_STREAM ||
        ((type == FRAME_HEADERS || type == FRAME_DATA) && (flags & FLAG_END_STREAM)))
        close_call(m);
}

/* --- time -------------------------------------------------------------------------------- */

static void refill_one(uint32_t *allowance, uint32_t burst, uint64_t more)
{
    if (*allowance < burst)
        *allowance = burst - *allowance < more ? burst : *allowance + (uint32_t)more;
}

/* In whole milliseconds, of which the allowances are multiples. */
static void refill(struct frame_meter *m, int64_t now_ns)
{
    int64_t ms = (now_ns - m->refilled_ns) / 1000000;
    if (ms <= 0)
        return;
    m->refilled_ns += ms * 1000000;
    refill_one(&m->resets, METER_RESETS_BURST, (uint64_t)ms * METER_RESETS_PER_S / 1000);
    refill_one(&m->idle, METER_IDLE_BURST, (uint64_t)ms * METER_IDLE_PER_S / 1000);
}

bool frame_meter_received(struct frame_meter *m, struct bytes part, int64_t now_ns)
{
    uint32_t open = m->open;
    refill(m, now_ns);
    follow(m, &m->in, part, on_received);
    if (open > 0 || m->open > 0)
        m->last_call_ns = now_ns;
    return !m->wrong;
}

void frame_meter_sent(struct frame_meter *m, struct bytes part)
{
    follow(m, &m->out, part, on_sent);
}

bool frame_meter_look(struct frame_meter *m)
{
    if (m->unfinished > 0 && ++m->looks > METER_UNFINISHED_LOOKS)
        m->wrong = "requests whose end does not come";
    return !m->wrong;
}
