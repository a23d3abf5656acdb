/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and their text. */
#include "exposition.h"
#include "timed.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 4, EACH = 20000 };

static void bounds_ascend_and_say_what_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < TIMED_BOUNDS; i++) {
        double seconds = strtod(timed_bounds[i].seconds, NULL);
        assert_true(seconds * 1e9 > (double)timed_bounds[i].ns - 0.5 &&
                    seconds * 1e9 < (double)timed_bounds[i].ns + 0.5);
        assert_true(i == 0 || timed_bounds[i].ns > timed_bounds[i - 1].ns);
    }
}

static void a_bound_belongs_to_its_bucket(void **state)
{
    (void)state;
    for (size_t i = 0; i < TIMED_BOUNDS; i++) {
        struct timed timed;
        struct timed_count count = {.count = 0};
        memset(&timed, 0, sizeof timed);
        timed_add(&timed, timed_bounds[i].ns);
        timed_add(&timed, timed_bounds[i].ns + 1);
        timed_read(&timed, &count);
        assert_int_equal(count.bucket[i], 1);
        assert_int_equal(count.bucket[i + 1], 1);
        assert_int_equal(count.count, 2);
        assert_int_equal(count.sum_ns, 2 * timed_bounds[i].ns + 1);
    }
}

static void less_than_nothing_is_nothing(void **state)
{
    (void)state;
    static struct timed timed;
    struct timed_count count = {.count = 0};
    timed_add(&timed, -5);
    timed_read(&timed, &count);
    assert_int_equal(count.bucket[0], 1);
    assert_int_equal(count.sum_ns, 0);
}

static struct timed shared;

static void *add_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < EACH; i++)
        timed_add(&shared, i % 2 ? 50 : 400000);
    return NULL;
}

static void no_thread_loses_a_count(void **state)
{
    (void)state;
    pthread_t threads[THREADS];
    struct timed_count count = {.count = 0};
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i], NULL);
    timed_read(&shared, &count);
    assert_int_equal(count.count, THREADS * EACH);
    assert_int_equal(count.bucket[0], THREADS * EACH / 2);
    assert_int_equal(count.bucket[2], THREADS * EACH / 2);
    assert_int_equal(count.sum_ns, (uint64_t)THREADS * EACH / 2 * (50 + 400000));
}

static void a_histogram_is_cumulative(void **state)
{
    (void)state;
    char text[4096];
    struct writer w = writer_over(text, sizeof text);
    struct timed_count count = {.count = 0};
    static struct timed timed;
    timed_add(&timed, 100);
    timed_add(&timed, 200000);
    timed_add(&timed, INT64_C(999000000000));
    timed_read(&timed, &count);
    expose_family(&w, "x_seconds", "histogram", "Help.");
    expose_histogram(&w, "x_seconds", "op=\"a\"", &count);
    put_u8(&w, 0);
    assert_false(w.full);
    static const char begin[] = "# HELP x_seconds Help.\n# TYPE x_seconds histogram\n"
                                "x_seconds_bucket{op=\"a\",le=\"0.0001\"} 1\n"
                                "x_seconds_bucket{op=\"a\",le=\"0.00025\"} 2\n";
    assert_memory_equal(text, begin, sizeof begin - 1);
    assert_non_null(strstr(text, "x_seconds_bucket{op=\"a\",le=\"180\"} 2\n"
                                 "x_seconds_bucket{op=\"a\",le=\"+Inf\"} 3\n"
                                 "x_seconds_sum{op=\"a\"} 999.000200100\n"
                                 "x_seconds_count{op=\"a\"} 3\n"));
}

static void numbers_are_written_whole_or_not_at_all(void **state)
{
    (void)state;
    char text[64];
    struct writer w = writer_over(text, sizeof text);
    expose_number(&w, "a", "", UINT64_MAX);
    expose_milliseconds(&w, "b", "c=\"d\"", -1500);
    put_u8(&w, 0);
    assert_string_equal(text, "a 18446744073709551615\nb{c=\"d\"} -1.500\n");
    w = writer_over(text, 8);
    expose_number(&w, "a", "", UINT64_MAX);
    assert_true(w.full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_ascend_and_say_what_they_are),
        cmocka_unit_test(a_bound_belongs_to_its_bucket),
        cmocka_unit_test(less_than_nothing_is_nothing),
        cmocka_unit_test(no_thread_loses_a_count),
        cmocka_unit_test(a_histogram_is_cumulative),
        cmocka_unit_test(numbers_are_written_whole_or_not_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
