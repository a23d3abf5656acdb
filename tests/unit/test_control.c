/* SPDX-License-Identifier: Apache-2.0 */
/* The words between monitor and front end. */
#include "control.h"

#include "io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct control_message messages[] = {
    {.op = CONTROL_LANES, .generation = 7, .count = 5},
    {.op = CONTROL_AGENT_GONE, .generation = 7, .gone = GONE_KILLED, .number = 9, .text = "killed"},
    {.op = CONTROL_RELOAD},
    {.op = CONTROL_STOP},
    {.op = CONTROL_READY},
    {.op = CONTROL_CONDEMN, .generation = 7, .reason = CONDEMN_TIMEOUT, .text = "too slow"},
    {.op = CONTROL_HEALTH, .ok = true, .text = "ok"},
    {.op = CONTROL_MAKER, .generation = 3},
    {.op = CONTROL_MAKER_GONE, .generation = 3, .text = "killed"},
    {.op = CONTROL_WANT_MAKER, .generation = 3},
    {.op = CONTROL_END_MAKER, .generation = 3},
    {.op = CONTROL_PING, .generation = 3},
    {.op = CONTROL_PONG, .generation = 3},
    {.op = CONTROL_WANT_HEIR, .generation = 3},
    {.op = CONTROL_HEIR_SERVES, .generation = 4},
    {.op = CONTROL_END_AGENT, .generation = 3},
};

static void every_message_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        uint8_t packet[CONTROL_PACKET_MAX];
        struct control_message got;
        struct writer w = writer_over(packet, sizeof packet);
        control_put(&w, &messages[i]);
        assert_false(w.full);
        assert_false(err_is(control_get(writer_bytes(&w), &got)));
        assert_int_equal(got.op, messages[i].op);
        assert_int_equal(got.generation, messages[i].generation);
        assert_int_equal(got.count, messages[i].count);
        assert_int_equal(got.gone, messages[i].gone);
        assert_int_equal(got.number, messages[i].number);
        assert_int_equal(got.reason, messages[i].reason);
        assert_int_equal(got.ok, messages[i].ok);
        assert_string_equal(got.text, messages[i].text);
    }
}

static void anything_else_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        uint8_t packet[CONTROL_PACKET_MAX];
        struct control_message got;
        struct writer w = writer_over(packet, sizeof packet);
        control_put(&w, &messages[i]);
        for (size_t len = 0; len < w.len; len++)
            assert_true(err_is(control_get(bytes_of(packet, len), &got)));
        put_u8(&w, 0);
        assert_true(err_is(control_get(writer_bytes(&w), &got)));
        packet[0] = 0x55; /* no such op */
        assert_true(err_is(control_get(writer_bytes(&w), &got)));
    }
}

static void descriptors_must_be_as_many_as_said(void **state)
{
    struct control_message got, lanes = {.op = CONTROL_LANES, .generation = 1, .count = 2};
    int pair[2], fds[4];
    size_t n = 0;
    (void)state;
    assert_false(err_is(packet_pair(pair)));
    assert_false(err_is(control_send(pair[0], &lanes, (int[]){0, 0}, 2)));
    assert_false(err_is(control_receive(pair[1], &got, fds, 4, &n)));
    assert_int_equal(n, 2);
    (void)close(fds[0]);
    (void)close(fds[1]);
    assert_false(err_is(control_send(pair[0], &lanes, (int[]){0}, 1)));
    assert_int_equal(control_receive(pair[1], &got, fds, 4, &n).code, ERR_INTERNAL);
    (void)close(pair[0]);
    assert_int_equal(control_receive(pair[1], &got, fds, 4, &n).code, ERR_UNAVAILABLE);
    (void)close(pair[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_comes_back),
        cmocka_unit_test(anything_else_is_refused),
        cmocka_unit_test(descriptors_must_be_as_many_as_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
