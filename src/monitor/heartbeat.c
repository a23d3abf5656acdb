/* SPDX-License-Identifier: Apache-2.0 */
#include "heartbeat.h"

static int64_t ms_ns(int64_t ms)
{
    return ms * 1000000;
}

void heartbeat_init(struct heartbeat *heartbeat, uint64_t watchdog_us)
{
    *heartbeat = (struct heartbeat){.every_ns = ms_ns(HEARTBEAT_EVERY_MS),
                                    .patience_ns = ms_ns(HEARTBEAT_PATIENCE_MS)};
    if (watchdog_us > 0 && watchdog_us / 4 < (uint64_t)HEARTBEAT_EVERY_MS * 1000)
        heartbeat->every_ns = (int64_t)(watchdog_us / 4) * 1000;
    if (watchdog_us > 0 && watchdog_us / 2 < (uint64_t)HEARTBEAT_PATIENCE_MS * 1000)
        heartbeat->patience_ns = (int64_t)(watchdog_us / 2) * 1000;
}

static void enter(struct heartbeat *heartbeat, enum heart_phase phase, int64_t now)
{
    heartbeat->phase = phase;
    heartbeat->since_ns = now;
    heartbeat->due_ns = 0;
}

void heartbeat_start(struct heartbeat *heartbeat, int64_t now)
{
    enter(heartbeat, HEART_STARTING, now);
}

void heartbeat_ready(struct heartbeat *heartbeat)
{
    enter(heartbeat, HEART_ANSWERED, 0); /* long ago: a question is due */
}

void heartbeat_end(struct heartbeat *heartbeat)
{
    enter(heartbeat, HEART_NONE, 0);
}

int64_t heartbeat_due_ns(struct heartbeat *heartbeat)
{
    switch (heartbeat->phase) {
    case HEART_STARTING:
        heartbeat->due_ns = heartbeat->since_ns + ms_ns(HEARTBEAT_START_MS);
        break;
    case HEART_ASKED:
        heartbeat->due_ns = heartbeat->since_ns + heartbeat->patience_ns;
        break;
    case HEART_ANSWERED:
        heartbeat->due_ns = heartbeat->since_ns + heartbeat->every_ns;
        break;
    case HEART_NONE:
        heartbeat->due_ns = INT64_MAX;
        break;
    }
    return heartbeat->due_ns;
}

enum heartbeat_verdict heartbeat_look(struct heartbeat *heartbeat, int64_t now)
{
    bool waits = heartbeat->phase == HEART_STARTING || heartbeat->phase == HEART_ASKED;
    if (waits && heartbeat->due_ns > 0 && now - heartbeat->due_ns > ms_ns(HEARTBEAT_OVERSLEPT_MS))
        heartbeat->since_ns = now;
    if (now < heartbeat_due_ns(heartbeat))
        return HEARTBEAT_WAIT;
    if (waits)
        return HEARTBEAT_HUNG;
    enter(heartbeat, HEART_ASKED, now);
    heartbeat->number++;
    return HEARTBEAT_ASK;
}

bool heartbeat_answer(struct heartbeat *heartbeat, uint64_t number, int64_t now)
{
    if (heartbeat->phase != HEART_ASKED || number != heartbeat->number)
        return false;
    enter(heartbeat, HEART_ANSWERED, now);
    return true;
}
