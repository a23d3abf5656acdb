/* SPDX-License-Identifier: Apache-2.0 */
/* Which clients are ended for the frames they send. */
#include "frame_meter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { DATA = 0, HEADERS = 1, RST = 3, SETTINGS = 4, PING = 6, CONTINUATION = 9 };
enum { END_STREAM = 1, END_HEADERS = 4, FRAME_MAX = 16384 };

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

struct rig {
    struct frame_meter meter;
    int64_t now_ns;
};

static int setup(void **state)
{
    static struct rig rig;
    rig.now_ns = 1000000000;
    frame_meter_start(&rig.meter, rig.now_ns);
    assert_true(frame_meter_received(&rig.meter, bytes_of(preface, FRAME_PREFACE), rig.now_ns));
    *state = &rig;
    return 0;
}

static struct bytes frame(uint8_t type, uint8_t flags, size_t len)
{
    static uint8_t memory[FRAME_HEADER + FRAME_MAX];
    memset(memory, 0xff, sizeof memory); /* a payload that would be odd frames */
    const uint8_t header[FRAME_HEADER] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 1};
    memcpy(memory, header, sizeof header);
    return bytes_of(memory, FRAME_HEADER + len);
}

static bool receive(struct rig *rig, uint8_t type, uint8_t flags, size_t len)
{
    return frame_meter_received(&rig->meter, frame(type, flags, len), rig->now_ns);
}

static void answer(struct rig *rig)
{
    frame_meter_sent(&rig->meter, frame(HEADERS, END_HEADERS, 20));
    frame_meter_sent(&rig->meter, frame(DATA, 0, 100));
    frame_meter_sent(&rig->meter, frame(HEADERS, END_HEADERS | END_STREAM, 20));
}

static void call(struct rig *rig)
{
    assert_true(receive(rig, HEADERS, END_HEADERS, 150));
    assert_true(receive(rig, DATA, END_STREAM, 200));
}

/* How many it takes until the connection is to end; at most `most`. */
static unsigned until_ended(struct rig *rig, uint8_t type, uint8_t flags, size_t len, unsigned most)
{
    unsigned n = 0;
    while (n < most && receive(rig, type, flags, len))
        n++;
    return n;
}

static void a_client_that_works_may_go_on_for_ever(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < 100000; i++) {
        call(rig);
        assert_true(receive(rig, PING, 0, 8)); /* gRPC's bandwidth probes */
        assert_true(receive(rig, 8, 0, 4));
        answer(rig);
    }
    assert_int_equal(rig->meter.open, 0);
}

static void frames_may_be_cut_anywhere(void **state)
{
    struct rig *rig = *state;
    struct bytes whole = frame(HEADERS, END_HEADERS, 300);
    for (unsigned round = 1; round <= 100; round++) {
        for (size_t at = 0, n; at < whole.len; at += n) {
            n = whole.len - at < round ? whole.len - at : round;
            assert_true(
                frame_meter_received(&rig->meter, bytes_of(whole.data + at, n), rig->now_ns));
        }
        assert_int_equal(rig->meter.open, round);
    }
}

static void the_preface_may_come_byte_by_byte(void **state)
{
    struct rig *rig = *state;
    frame_meter_start(&rig->meter, rig->now_ns);
    for (size_t at = 0; at < FRAME_PREFACE; at++)
        assert_true(frame_meter_received(&rig->meter, bytes_of(preface + at, 1), rig->now_ns));
    call(rig);
    assert_int_equal(rig->meter.open, 1);
}

static void replies_that_are_not_read_are_counted(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < METER_OPEN_MAX; i++)
        call(rig);
    assert_false(receive(rig, HEADERS, END_HEADERS, 150));
    assert_non_null(strstr(rig->meter.wrong, "read"));
}

static void calls_taken_back_have_a_rate(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < METER_RESETS_BURST; i++) {
        call(rig);
        assert_true(receive(rig, RST, 0, 4));
    }
    rig->now_ns += 100000000;
    for (unsigned i = 0; i < METER_RESETS_PER_S / 10; i++) {
        call(rig);
        assert_true(receive(rig, RST, 0, 4));
    }
    call(rig);
    assert_false(receive(rig, RST, 0, 4));
}

static void frames_that_ask_for_nothing_have_a_rate(void **state)
{
    static const struct {
        uint8_t type, flags, len;
    } rows[] = {{PING, 0, 8}, {SETTINGS, 0, 0}, {2, 0, 5}, {8, 0, 4}, {0xee, 0, 9}, {DATA, 0, 0}};
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        (void)setup(state);
        assert_int_equal(until_ended(rig, rows[i].type, rows[i].flags, rows[i].len, 1000000),
                         METER_IDLE_BURST);
        (void)setup(state);
        for (unsigned ms = 0; ms < 5000; ms++, rig->now_ns += 1000000)
            for (unsigned n = 0; n < METER_IDLE_PER_S / 1000; n++)
                assert_true(receive(rig, rows[i].type, rows[i].flags, rows[i].len));
    }
}

static void headers_have_an_end(void **state)
{
    struct rig *rig = *state;
    assert_true(receive(rig, HEADERS, 0, FRAME_MAX));
    assert_int_equal(until_ended(rig, CONTINUATION, 0, 1000, 1000),
                     (METER_HEADERS_MAX - FRAME_MAX) / 1000);
}

static void requests_have_an_end(void **state)
{
    struct rig *rig = *state;
    assert_true(receive(rig, HEADERS, END_HEADERS, 150));
    assert_int_equal(until_ended(rig, DATA, 0, FRAME_MAX, 1000), METER_UNFINISHED_MAX / FRAME_MAX);
}

static bool looks_are_fine(struct rig *rig, unsigned n)
{
    bool fine = true;
    while (n-- > 0)
        fine = frame_meter_look(&rig->meter) && fine;
    return fine;
}

static void requests_that_do_not_end_have_their_time(void **state)
{
    struct rig *rig = *state;
    for (unsigned i = 0; i < 3; i++)
        assert_true(receive(rig, HEADERS, END_HEADERS, 150));
    assert_true(looks_are_fine(rig, METER_UNFINISHED_LOOKS));
    assert_true(receive(rig, DATA, END_STREAM, 200)); /* the others get as long again */
    assert_true(looks_are_fine(rig, METER_UNFINISHED_LOOKS));
    assert_true(receive(rig, RST, 0, 4));
    assert_true(looks_are_fine(rig, METER_UNFINISHED_LOOKS));
    assert_true(receive(rig, HEADERS, END_HEADERS, 150)); /* which ends nothing */
    assert_false(looks_are_fine(rig, 1));
    assert_non_null(strstr(rig->meter.wrong, "end"));
}

static void calls_that_wait_for_their_answer_may_wait(void **state)
{
    struct rig *rig = *state;
    assert_true(looks_are_fine(rig, 100));
    for (unsigned i = 0; i < 600; i++)
        call(rig);
    assert_true(receive(rig, HEADERS, END_HEADERS | END_STREAM, 150));
    assert_true(looks_are_fine(rig, 100));
}

/* As a request that is too long is refused before it has all come. */
static void calls_that_we_end_need_no_end_of_their_request(void **state)
{
    struct rig *rig = *state;
    assert_true(receive(rig, HEADERS, END_HEADERS, 150));
    answer(rig);
    assert_true(looks_are_fine(rig, 100));
}

static void what_was_wrong_stays_wrong(void **state)
{
    struct rig *rig = *state;
    (void)until_ended(rig, PING, 0, 8, 1000000);
    rig->now_ns += INT64_C(10000000000);
    assert_false(receive(rig, PING, 0, 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_client_that_works_may_go_on_for_ever, setup),
        cmocka_unit_test_setup(frames_may_be_cut_anywhere, setup),
        cmocka_unit_test_setup(the_preface_may_come_byte_by_byte, setup),
        cmocka_unit_test_setup(replies_that_are_not_read_are_counted, setup),
        cmocka_unit_test_setup(calls_taken_back_have_a_rate, setup),
        cmocka_unit_test_setup(frames_that_ask_for_nothing_have_a_rate, setup),
        cmocka_unit_test_setup(headers_have_an_end, setup),
        cmocka_unit_test_setup(requests_have_an_end, setup),
        cmocka_unit_test_setup(requests_that_do_not_end_have_their_time, setup),
        cmocka_unit_test_setup(calls_that_wait_for_their_answer_may_wait, setup),
        cmocka_unit_test_setup(calls_that_we_end_need_no_end_of_their_request, setup),
        cmocka_unit_test_setup(what_was_wrong_stays_wrong, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
