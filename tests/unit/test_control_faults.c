/* SPDX-License-Identifier: Apache-2.0 */
/* Packets between monitor and front end that are cut, stretched or bring what they must not. */
#include "control.h"
#include "io.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static unsigned fd_count(void)
{
    unsigned n = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    (void)closedir(directory);
    return n;
}

static const struct control_message messages[] = {
    {.op = CONTROL_LANES, .generation = UINT64_MAX, .count = 5},
    {.op = CONTROL_AGENT_GONE, .generation = 7, .gone = GONE_KILLED, .number = 9, .text = "killed"},
    {.op = CONTROL_RELOAD},
    {.op = CONTROL_STOP},
    {.op = CONTROL_READY},
    {.op = CONTROL_CONDEMN, .generation = 3, .reason = CONDEMN_RENEW, .text = "fresh one"},
    {.op = CONTROL_HEALTH, .ok = true, .text = "ok"},
    {.op = CONTROL_HEALTH, .text = ""},
};

enum { MESSAGES = sizeof messages / sizeof *messages };

static struct bytes encode(const struct control_message *message, uint8_t *memory)
{
    struct writer w = writer_over(memory, CONTROL_PACKET_MAX);
    control_put(&w, message);
    assert_false(w.full);
    return writer_bytes(&w);
}

static void the_longest_text_fits(void **state)
{
    (void)state;
    uint8_t memory[CONTROL_PACKET_MAX];
    struct control_message long_one = messages[1], got;
    memset(long_one.text, 'x', CONTROL_TEXT_MAX);
    long_one.text[CONTROL_TEXT_MAX] = '\0';
    assert_false(err_is(control_get(encode(&long_one, memory), &got)));
    assert_string_equal(got.text, long_one.text);
}

static void truncated_and_longer_packets_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < MESSAGES; i++) {
        uint8_t memory[CONTROL_PACKET_MAX];
        struct control_message got = {.number = 77};
        struct bytes packet = encode(&messages[i], memory);
        for (size_t len = 0; len < packet.len; len++)
            assert_int_equal(control_get(bytes_of(memory, len), &got).code, ERR_INTERNAL);
        memory[packet.len] = 0;
        assert_int_equal(control_get(bytes_of(memory, packet.len + 1), &got).code, ERR_INTERNAL);
        assert_int_equal(got.number, 77);
    }
}

static void unknown_ops_are_refused(void **state)
{
    (void)state;
    for (unsigned op = 0; op < 256; op++) {
        const uint8_t packet[1] = {(uint8_t)op};
        struct control_message got;
        bool bare = op == CONTROL_RELOAD || op == CONTROL_STOP || op == CONTROL_READY;
        assert_int_equal(err_is(control_get(bytes_of(packet, 1), &got)), !bare);
    }
}

static void a_wrong_number_of_descriptors_leaves_nothing_open(void **state)
{
    (void)state;
    unsigned before = fd_count();
    for (size_t i = 0; i < MESSAGES; i++) {
        int pair[2], got[PACKET_FDS_MAX];
        size_t n = 77;
        struct control_message message = {.number = 77};
        assert_false(err_is(packet_pair(pair)));
        int copies[3] = {pair[0], pair[1], pair[0]};
        assert_false(err_is(control_send(pair[0], &messages[i], copies, 3)));
        unsigned sent = fd_count();
        assert_int_equal(control_receive(pair[1], &message, got, PACKET_FDS_MAX, &n).code,
                         ERR_INTERNAL);
        assert_int_equal(fd_count(), sent);
        assert_int_equal(n, 77);
        assert_int_equal(message.number, 77);
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    assert_int_equal(fd_count(), before);
}

static void garbage_with_descriptors_leaves_nothing_open(void **state)
{
    (void)state;
    unsigned before = fd_count();
    static const uint8_t garbage[CONTROL_PACKET_MAX + 1] = {0xff};
    const size_t lens[] = {0, 1, CONTROL_PACKET_MAX, CONTROL_PACKET_MAX + 1};
    for (size_t i = 0; i < sizeof lens / sizeof *lens; i++) {
        int pair[2], got[1];
        struct control_message message;
        assert_false(err_is(packet_pair(pair)));
        assert_false(err_is(packet_send(pair[0], bytes_of(garbage, lens[i]), pair, 1)));
        assert_true(err_is(control_receive(pair[1], &message, got, 1, NULL)));
        (void)close(pair[0]);
        (void)close(pair[1]);
    }
    assert_int_equal(fd_count(), before);
}

static void a_closed_peer_is_unavailable(void **state)
{
    (void)state;
    int pair[2];
    struct control_message message = {.op = CONTROL_READY};
    assert_false(err_is(packet_pair(pair)));
    (void)close(pair[1]);
    assert_int_equal(control_send(pair[0], &message, NULL, 0).code, ERR_UNAVAILABLE);
    assert_int_equal(control_receive(pair[0], &message, NULL, 0, NULL).code, ERR_UNAVAILABLE);
    (void)close(pair[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_text_fits),
        cmocka_unit_test(truncated_and_longer_packets_are_refused),
        cmocka_unit_test(unknown_ops_are_refused),
        cmocka_unit_test(a_wrong_number_of_descriptors_leaves_nothing_open),
        cmocka_unit_test(garbage_with_descriptors_leaves_nothing_open),
        cmocka_unit_test(a_closed_peer_is_unavailable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
