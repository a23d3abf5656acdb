/* SPDX-License-Identifier: Apache-2.0 */
#include "openers.h"
#include "fixture.h"

#include <pthread.h>

/* What a thread does on a lane. */
struct opener {
    pthread_t thread;
    int lane;
    unsigned times, opened;
    struct bytes envelope, expected;
};

static void *open_often(void *argument)
{
    struct opener *o = argument;
    uint8_t packet[LANE_PACKET_MAX];
    struct lane_reply reply;
    bool opened = true;
    for (unsigned i = 0; opened && i < o->times; i++) {
        struct lane_request request = {.op = LANE_OPEN, .number = i + 1};
        request.u.open.family = FAMILY_V2;
        request.u.open.verify = true;
        request.u.open.envelope = o->envelope;
        opened = !err_is(lane_call(o->lane, &request, CALL_MS, packet, sizeof packet, &reply)) &&
                 reply.status.code == ERR_NONE && bytes_equal(reply.u.plaintext, o->expected);
        o->opened += opened;
    }
    return NULL;
}

void open_at_once(const int *lanes, size_t n, unsigned times, struct bytes envelope,
                  struct bytes expected)
{
    struct opener openers[OPENERS_MAX];
    assert_true(n <= OPENERS_MAX);
    for (size_t i = 0; i < n; i++) {
        openers[i] = (struct opener){
            .lane = lanes[i], .times = times, .envelope = envelope, .expected = expected};
        assert_int_equal(pthread_create(&openers[i].thread, NULL, open_often, &openers[i]), 0);
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(pthread_join(openers[i].thread, NULL), 0);
    for (size_t i = 0; i < n; i++)
        if (openers[i].opened < openers[i].times)
            fail_msg("beside another thread only %u of %u are opened", openers[i].opened,
                     openers[i].times);
}
