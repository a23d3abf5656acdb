/* SPDX-License-Identifier: Apache-2.0 */
/* What a ring needs next: ages, delays, clocks that jump, twins, and what must stop it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "ring_plan.h"
#include "text.h"

#include <string.h>

enum { KEYS = 6, EVERY = 1000000, DELAY = 5000, JITTER = 300 };

static const int64_t start = INT64_C(1700000000000);

static struct kek keys[KEYS];
static struct ring_facts facts;

/* made_ms counts from start. */
static void put(size_t at, uint32_t generation, enum key_state state, int64_t made_ms)
{
    uint8_t raw[UUID_BYTES] = {0};
    uint64_t made = (uint64_t)(start + made_ms);
    for (unsigned i = 0; i < 6; i++)
        raw[i] = (uint8_t)(made >> (40 - 8 * i));
    raw[6] = 0x70;
    raw[15] = (uint8_t)at;
    memset(&keys[at], 0, sizeof keys[at]);
    assert_false(err_is(object_id_from(bytes_of(raw, sizeof raw), &keys[at].id)));
    keys[at].label =
        (struct key_label){.generation = generation, .scheme = SCHEME_AES_GCM, .state = state};
}

/* A ring with one KEK, made at start and active. */
static int setup(void **state)
{
    (void)state;
    facts = (struct ring_facts){.keys = keys,
                                .n = 1,
                                .active = 0,
                                .now_ms = start + DELAY,
                                .rotate_every_ms = EVERY,
                                .jitter_ms = JITTER,
                                .activation_delay_ms = DELAY};
    put(0, 7, KEY_ACTIVE, 0);
    return 0;
}

static struct ring_plan at(int64_t ms)
{
    facts.now_ms = start + ms;
    return ring_plan_make(&facts);
}

static void expect(struct ring_plan plan, enum ring_step step, size_t key)
{
    assert_int_equal(plan.step, step);
    assert_true(plan.key == key);
}

static void a_successor_is_made_by_age_with_this_hosts_jitter(void **state)
{
    (void)state;
    expect(at(EVERY + JITTER - 1), RING_STEP_NONE, SIZE_MAX);
    assert_true(at(0).rotate_due_ms == start + EVERY + JITTER);
    expect(at(EVERY + JITTER), RING_STEP_MAKE, SIZE_MAX);
}

static void never_by_age_means_never(void **state)
{
    (void)state;
    facts.rotate_every_ms = 0;
    expect(at(INT64_C(1000) * EVERY), RING_STEP_NONE, SIZE_MAX);
    assert_true(at(0).rotate_due_ms == INT64_MAX);
    facts.spent = true;
    expect(at(0), RING_STEP_MAKE, SIZE_MAX);
}

static void the_count_of_a_scheme_that_does_not_wear_out_rotates_nothing(void **state)
{
    (void)state;
    keys[0].label.scheme = SCHEME_HMAC_DERIVE;
    facts.spent = true;
    expect(at(DELAY), RING_STEP_NONE, SIZE_MAX);
    expect(at(EVERY + JITTER), RING_STEP_MAKE, SIZE_MAX);
}

static void a_spent_kek_is_rotated_whatever_its_age(void **state)
{
    (void)state;
    facts.spent = true;
    expect(at(1), RING_STEP_MAKE, SIZE_MAX);
    expect(at(-EVERY), RING_STEP_MAKE, SIZE_MAX);
}

static void a_pre_active_kek_waits_for_its_delay_and_nothing_else_is_made(void **state)
{
    (void)state;
    facts.n = 2;
    facts.spent = true;
    put(1, 8, KEY_PRE_ACTIVE, EVERY);
    struct ring_plan plan = at(EVERY + DELAY - 1);
    expect(plan, RING_STEP_NONE, SIZE_MAX);
    assert_int_equal(plan.pending, 1);
    assert_true(plan.activate_due_ms == start + EVERY + DELAY);
    assert_true(plan.rotate_due_ms == INT64_MAX);
    expect(at(EVERY + DELAY), RING_STEP_ACTIVATE, 1);
}

static void a_clock_that_jumps_ahead_makes_one_kek(void **state)
{
    (void)state;
    const int64_t year = INT64_C(31536000000);
    expect(at(year), RING_STEP_MAKE, SIZE_MAX);
    facts.n = 2;
    put(1, 8, KEY_PRE_ACTIVE, year); /* dated by that clock */
    expect(at(year), RING_STEP_NONE, SIZE_MAX);
    /* And back: it waits for an operator, and nothing more is made. */
    struct ring_plan plan = at(DELAY);
    expect(plan, RING_STEP_NONE, SIZE_MAX);
    assert_true(plan.ahead);
    assert_int_equal(plan.pending, 1);
    assert_true(plan.activate_due_ms == INT64_MAX);
    /* Activated there: it stays so by any clock, and is not too old before its time. */
    keys[1].label.state = KEY_ACTIVE;
    facts.active = 1;
    expect(at(DELAY), RING_STEP_NONE, SIZE_MAX);
    expect(at(year + EVERY + JITTER), RING_STEP_MAKE, SIZE_MAX);
}

static void an_active_kek_dated_ahead_is_told_where_its_age_matters(void **state)
{
    (void)state;
    const int64_t year = INT64_C(31536000000);
    put(0, 7, KEY_ACTIVE, year);
    assert_true(at(0).active_ahead);
    assert_true(at(year - RING_AHEAD_MS - 1).active_ahead);
    assert_false(at(year - RING_AHEAD_MS).active_ahead);
    facts.rotate_every_ms = 0;
    assert_false(at(0).active_ahead);
    facts.rotate_every_ms = EVERY;
    facts.spent = true; /* it is rotated all the same */
    assert_false(at(0).active_ahead);
    facts.spent = false;
    facts.n = 2;
    put(1, 8, KEY_PRE_ACTIVE, 0); /* its successor is on its way */
    assert_false(at(0).active_ahead);
}

static void a_clock_that_jumps_back_makes_nothing(void **state)
{
    (void)state;
    expect(at(-INT64_C(31536000000)), RING_STEP_NONE, SIZE_MAX);
    facts.n = 2;
    put(1, 8, KEY_PRE_ACTIVE, 0);
    expect(at(-RING_AHEAD_MS), RING_STEP_NONE, SIZE_MAX);
    assert_false(at(-RING_AHEAD_MS).ahead);
    assert_true(at(-RING_AHEAD_MS - 1).ahead);
}

static void of_twins_the_newer_one_becomes_active_and_the_other_never(void **state)
{
    (void)state;
    facts.n = 3;
    put(1, 8, KEY_PRE_ACTIVE, 10);
    put(2, 8, KEY_PRE_ACTIVE, 20);
    expect(at(DELAY + 10), RING_STEP_NONE, SIZE_MAX); /* no two switches in a row */
    expect(at(DELAY + 20), RING_STEP_ACTIVATE, 2);
    keys[2].label.state = KEY_ACTIVE;
    facts.active = 2;
    struct ring_plan plan = at(DELAY + 30);
    expect(plan, RING_STEP_NONE, SIZE_MAX);
    assert_true(plan.pending == SIZE_MAX);
}

static void what_is_superseded_is_retired_once_the_switch_has_settled(void **state)
{
    (void)state;
    facts.n = 4;
    put(1, 6, KEY_PRE_ACTIVE, -5);
    put(2, 5, KEY_DEACTIVATED, -6);
    put(3, 8, KEY_ACTIVE, 10);
    facts.active = 3;
    expect(at(DELAY), RING_STEP_NONE, SIZE_MAX);
    facts.settled = true;
    expect(at(DELAY), RING_STEP_RETIRE, 0);
    keys[0].label.state = KEY_DEACTIVATED;
    expect(at(DELAY), RING_STEP_RETIRE, 1);
    keys[1].label.state = KEY_COMPROMISED;
    expect(at(DELAY), RING_STEP_NONE, SIZE_MAX);
}

static void a_due_step_comes_before_tidying(void **state)
{
    (void)state;
    facts.n = 3;
    facts.settled = true;
    put(1, 6, KEY_ACTIVE, -5);
    put(2, 8, KEY_PRE_ACTIVE, 0);
    expect(at(DELAY), RING_STEP_ACTIVATE, 2);
    expect(at(DELAY - 1), RING_STEP_RETIRE, 1);
}

static void nothing_is_done_while_a_kek_is_missing(void **state)
{
    (void)state;
    facts.missing = true;
    facts.spent = facts.settled = true;
    expect(at(2 * EVERY), RING_STEP_NONE, SIZE_MAX);
    facts.n = 2;
    put(1, 8, KEY_PRE_ACTIVE, 0);
    expect(at(2 * EVERY), RING_STEP_NONE, SIZE_MAX);
    put(1, 6, KEY_ACTIVE, 0);
    expect(at(0), RING_STEP_NONE, SIZE_MAX);
}

static void nothing_is_done_without_an_active_kek(void **state)
{
    (void)state;
    facts.active = SIZE_MAX;
    facts.spent = true;
    put(0, 7, KEY_PRE_ACTIVE, 0);
    expect(at(2 * EVERY), RING_STEP_NONE, SIZE_MAX);
    facts.n = 0;
    expect(at(2 * EVERY), RING_STEP_NONE, SIZE_MAX);
}

static void a_pre_active_kek_that_is_not_as_it_must_be_is_neither_used_nor_replaced(void **state)
{
    (void)state;
    facts.n = 2;
    facts.spent = true;
    put(1, 8, KEY_PRE_ACTIVE, 0);
    keys[1].wrong = ATTR_BIT(ATTR_EXTRACTABLE);
    struct ring_plan plan = at(2 * EVERY);
    expect(plan, RING_STEP_NONE, SIZE_MAX);
    assert_int_equal(plan.pending, 1);
    keys[1].label.state = KEY_DEACTIVATED; /* by the operator */
    expect(at(2 * EVERY), RING_STEP_MAKE, SIZE_MAX);
}

static void a_generation_is_higher_than_any_seen(void **state)
{
    (void)state;
    put(1, 9, KEY_DEACTIVATED, 0);
    assert_int_equal(ring_plan_generation(keys, 2, 0), 10);
    assert_int_equal(ring_plan_generation(keys, 2, 12), 13);
    assert_int_equal(ring_plan_generation(keys, 0, 0), 1);
}

#define PLAN_TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PLAN_TEST(a_successor_is_made_by_age_with_this_hosts_jitter),
        PLAN_TEST(never_by_age_means_never),
        PLAN_TEST(the_count_of_a_scheme_that_does_not_wear_out_rotates_nothing),
        PLAN_TEST(a_spent_kek_is_rotated_whatever_its_age),
        PLAN_TEST(a_pre_active_kek_waits_for_its_delay_and_nothing_else_is_made),
        PLAN_TEST(a_clock_that_jumps_ahead_makes_one_kek),
        PLAN_TEST(an_active_kek_dated_ahead_is_told_where_its_age_matters),
        PLAN_TEST(a_clock_that_jumps_back_makes_nothing),
        PLAN_TEST(of_twins_the_newer_one_becomes_active_and_the_other_never),
        PLAN_TEST(what_is_superseded_is_retired_once_the_switch_has_settled),
        PLAN_TEST(a_due_step_comes_before_tidying),
        PLAN_TEST(nothing_is_done_while_a_kek_is_missing),
        PLAN_TEST(nothing_is_done_without_an_active_kek),
        PLAN_TEST(a_pre_active_kek_that_is_not_as_it_must_be_is_neither_used_nor_replaced),
        PLAN_TEST(a_generation_is_higher_than_any_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
