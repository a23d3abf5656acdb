/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void waits_grow_to_three_seconds(void **state)
{
    static const int64_t expected[] = {0, 100, 200, 400, 800, 1600, 3000, 3000};
    struct backoff backoff = {0};
    (void)state;
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_int_equal(backoff_next_ms(&backoff), expected[i]);
    for (int i = 0; i < 1000; i++)
        assert_int_equal(backoff_next_ms(&backoff), 3000);
}

static void a_reset_starts_over(void **state)
{
    struct backoff backoff = {5};
    (void)state;
    backoff_reset(&backoff);
    assert_int_equal(backoff_next_ms(&backoff), 0);
    assert_int_equal(backoff_next_ms(&backoff), 100);
}

/* Deaths that are hours apart are no series. */
static void a_long_life_starts_over(void **state)
{
    struct backoff backoff = {0};
    (void)state;
    int64_t now = BACKOFF_WELL_MS * INT64_C(1000000) + 1;
    for (int i = 0; i < 10; i++)
        assert_true(backoff_due_ns(&backoff, 0, now) == now);
    assert_int_equal(backoff.deaths, 1);
}

static void a_wait_is_counted_from_the_start(void **state)
{
    static const int64_t second = 1000000000;
    struct backoff backoff = {16};
    (void)state;
    assert_true(backoff_due_ns(&backoff, 10 * second, 10 * second) == 13 * second);
    assert_true(backoff_due_ns(&backoff, 10 * second, 11 * second) == 13 * second);
    assert_true(backoff_due_ns(&backoff, 10 * second, 14 * second) == 14 * second);
}

static void one_cause_is_said_once_a_minute(void **state)
{
    static struct cause_log log;
    const int64_t second = 1000000000;
    uint64_t times = 0;
    (void)state;
    assert_true(cause_log_due(&log, "no token", 1 * second, &times));
    assert_int_equal(times, 1);
    for (int i = 2; i < 61; i++)
        assert_false(cause_log_due(&log, "no token", i * second, &times));
    assert_true(cause_log_due(&log, "no token", 61 * second, &times));
    assert_int_equal(times, 60);
    assert_false(cause_log_due(&log, "no token", 62 * second, &times));
}

static void another_cause_is_said_at_once(void **state)
{
    static struct cause_log log;
    uint64_t times = 0;
    (void)state;
    assert_true(cause_log_due(&log, "a", 1, &times));
    assert_false(cause_log_due(&log, "a", 2, &times));
    assert_true(cause_log_due(&log, "b", 3, &times));
    assert_int_equal(times, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(waits_grow_to_three_seconds),
        cmocka_unit_test(a_reset_starts_over),
        cmocka_unit_test(a_long_life_starts_over),
        cmocka_unit_test(a_wait_is_counted_from_the_start),
        cmocka_unit_test(one_cause_is_said_once_a_minute),
        cmocka_unit_test(another_cause_is_said_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
