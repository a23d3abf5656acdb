/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "welch.h"

#include <math.h>
#include <string.h>

enum { MANY = 20000 };

static struct timings of(uint32_t *ns, size_t n)
{
    struct timings t = {ns, n, n};
    timings_sort(&t);
    return t;
}

static void near(double got, double expected)
{
    if (fabs(got - expected) > 0.0005)
        fail_msg("%f is not %f", got, expected);
}

/* Even noise of 0 to 999, always the same. */
static void fill(uint32_t *ns, uint32_t base, uint32_t seed)
{
    for (size_t i = 0; i < MANY; i++) {
        seed = seed * 1664525 + 1013904223;
        ns[i] = base + (seed >> 8) % 1000;
    }
}

/* Means 13 and 19, variances 20/3 and 40. */
static void t_is_welchs(void **state)
{
    (void)state;
    uint32_t a[] = {16, 10, 14, 12}, b[] = {27, 11, 19, 23, 15};
    struct timings x = of(a, 4), y = of(b, 5);
    near(welch_t(&x, &y, INFINITY), -6 / sqrt(20.0 / 3 / 4 + 40.0 / 5));
    near(welch_t(&y, &x, INFINITY), 6 / sqrt(20.0 / 3 / 4 + 40.0 / 5));
    near(welch_t(&x, &x, INFINITY), 0);
    near(welch_t(&x, &y, 16), (12 - 13) / sqrt(4.0 / 3 + 8.0 / 2)); /* 10 12 14, 11 15 */
    near(welch_t(&x, &y, 11), 0);
    near(timings_fast_mean(&x), 11);
}

static void sets_without_spread_differ_wholly_or_not(void **state)
{
    (void)state;
    uint32_t a[] = {5, 5, 5}, b[] = {6, 6, 6};
    struct timings x = of(a, 3), y = of(b, 3);
    assert_true(welch_t(&x, &y, INFINITY) == -INFINITY);
    assert_true(welch_t(&y, &x, INFINITY) == INFINITY);
    near(welch_t(&x, &x, INFINITY), 0);
}

static void equal_noise_is_not_told_apart(void **state)
{
    (void)state;
    static uint32_t a[MANY], b[MANY];
    fill(a, 10000, 1);
    fill(b, 10000, 2);
    struct timings x = of(a, MANY), y = of(b, MANY);
    assert_true(fabs(welch_worst(&x, &y)) < 4.5);
}

/* 30 ns of 10,000; the noise has a deviation of 289. */
static void a_small_difference_is_seen(void **state)
{
    (void)state;
    static uint32_t a[MANY], b[MANY];
    fill(a, 10000, 1);
    fill(b, 10030, 2);
    struct timings x = of(a, MANY), y = of(b, MANY);
    assert_true(welch_worst(&x, &y) < -8);
    assert_true(welch_worst(&y, &x) > 8);
}

/* One timing in 40 is a millisecond late: over all of them 30 ns are nothing. */
static void it_is_seen_behind_long_delays(void **state)
{
    (void)state;
    static uint32_t a[MANY], b[MANY];
    fill(a, 10000, 1);
    fill(b, 10030, 2);
    for (size_t i = 0; i < MANY; i += 40) {
        a[i] += 1000000 + (uint32_t)i * 37;
        b[i] += 1000000 + (uint32_t)i * 31;
    }
    struct timings x = of(a, MANY), y = of(b, MANY);
    assert_true(fabs(welch_t(&x, &y, INFINITY)) < 4.5);
    assert_true(welch_worst(&x, &y) < -8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(t_is_welchs),
        cmocka_unit_test(sets_without_spread_differ_wholly_or_not),
        cmocka_unit_test(equal_noise_is_not_told_apart),
        cmocka_unit_test(a_small_difference_is_seen),
        cmocka_unit_test(it_is_seen_behind_long_delays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
