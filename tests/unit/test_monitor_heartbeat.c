/* SPDX-License-Identifier: Apache-2.0 */
/* When the front end is asked, and when it counts as hung. */
#include "heartbeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define S INT64_C(1000000000)

static struct heartbeat heart;

static int serving(void **state)
{
    (void)state;
    heartbeat_init(&heart, 0);
    heartbeat_start(&heart, 100 * S);
    heartbeat_ready(&heart);
    return 0;
}

static void nobody_is_asked_before_it_serves(void **state)
{
    (void)state;
    heartbeat_init(&heart, 0);
    assert_true(heartbeat_due_ns(&heart) == INT64_MAX);
    assert_int_equal(heartbeat_look(&heart, 1000 * S), HEARTBEAT_WAIT);
    heartbeat_start(&heart, 1000 * S);
    assert_true(heartbeat_due_ns(&heart) == 1030 * S);
    assert_int_equal(heartbeat_look(&heart, 1029 * S), HEARTBEAT_WAIT);
    assert_int_equal(heartbeat_look(&heart, 1030 * S), HEARTBEAT_HUNG);
}

static void it_is_asked_again_after_each_answer(void **state)
{
    (void)state;
    assert_int_equal(heartbeat_look(&heart, 101 * S), HEARTBEAT_ASK);
    uint64_t first = heart.number;
    assert_int_equal(heartbeat_look(&heart, 102 * S), HEARTBEAT_WAIT);
    assert_true(heartbeat_answer(&heart, first, 103 * S));
    assert_true(heartbeat_due_ns(&heart) == 105 * S);
    assert_int_equal(heartbeat_look(&heart, 104 * S), HEARTBEAT_WAIT);
    assert_int_equal(heartbeat_look(&heart, 105 * S), HEARTBEAT_ASK);
    assert_int_not_equal(heart.number, first);
}

static void only_the_last_question_can_be_answered(void **state)
{
    (void)state;
    assert_false(heartbeat_answer(&heart, 0, 100 * S));
    assert_int_equal(heartbeat_look(&heart, 101 * S), HEARTBEAT_ASK);
    assert_false(heartbeat_answer(&heart, heart.number + 1, 102 * S));
    assert_true(heartbeat_answer(&heart, heart.number, 102 * S));
    assert_false(heartbeat_answer(&heart, heart.number, 102 * S)); /* once */
}

static void who_does_not_answer_hangs(void **state)
{
    (void)state;
    assert_int_equal(heartbeat_look(&heart, 101 * S), HEARTBEAT_ASK);
    assert_true(heartbeat_due_ns(&heart) == 111 * S);
    assert_int_equal(heartbeat_look(&heart, 111 * S - 1), HEARTBEAT_WAIT);
    assert_int_equal(heartbeat_look(&heart, 111 * S), HEARTBEAT_HUNG);
}

/* We were stopped together with it, by a debugger, a freezer or a hypervisor. */
static void who_comes_late_gives_it_its_time_again(void **state)
{
    (void)state;
    assert_int_equal(heartbeat_look(&heart, 101 * S), HEARTBEAT_ASK);
    assert_true(heartbeat_due_ns(&heart) == 111 * S); /* how long we meant to wait */
    assert_int_equal(heartbeat_look(&heart, 500 * S), HEARTBEAT_WAIT);
    assert_true(heartbeat_due_ns(&heart) == 510 * S);
    assert_int_equal(heartbeat_look(&heart, 510 * S + S / 2), HEARTBEAT_HUNG);
}

static void a_new_front_end_begins_anew(void **state)
{
    (void)state;
    assert_int_equal(heartbeat_look(&heart, 101 * S), HEARTBEAT_ASK);
    uint64_t old = heart.number;
    heartbeat_end(&heart);
    assert_int_equal(heartbeat_look(&heart, 200 * S), HEARTBEAT_WAIT);
    heartbeat_start(&heart, 200 * S);
    heartbeat_ready(&heart);
    assert_int_equal(heartbeat_look(&heart, 201 * S), HEARTBEAT_ASK);
    assert_false(heartbeat_answer(&heart, old, 202 * S));
}

static void systemds_watchdog_sets_the_pace(void **state)
{
    (void)state;
    heartbeat_init(&heart, 4000000);
    assert_true(heart.every_ns == S && heart.patience_ns == 2 * S);
    heartbeat_init(&heart, 30000000);
    assert_true(heart.every_ns == 2 * S && heart.patience_ns == 10 * S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_asked_before_it_serves),
        cmocka_unit_test_setup(it_is_asked_again_after_each_answer, serving),
        cmocka_unit_test_setup(only_the_last_question_can_be_answered, serving),
        cmocka_unit_test_setup(who_does_not_answer_hangs, serving),
        cmocka_unit_test_setup(who_comes_late_gives_it_its_time_again, serving),
        cmocka_unit_test_setup(a_new_front_end_begins_anew, serving),
        cmocka_unit_test(systemds_watchdog_sets_the_pace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
