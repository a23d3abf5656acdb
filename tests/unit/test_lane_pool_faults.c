/* SPDX-License-Identifier: Apache-2.0 */
/* The lane pool while agents hang, die or talk nonsense. */
#include "pool_jobs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LANES = 3 };

struct rig {
    unsigned fds_before;
    struct lane_pool *pool;
    struct fake_agent *agent;
};

static struct fake_agent *add_agent(struct lane_pool *pool, uint64_t generation)
{
    int fds[LANES];
    struct fake_agent *agent = fake_agent_new(LANES, fds);
    assert_false(err_is(lane_pool_add(pool, generation, fds, LANES)));
    return agent;
}

static struct rig rig_new(int64_t timeout_ms)
{
    struct rig rig = {.fds_before = fd_count()};
    condemned_reset();
    assert_false(err_is(lane_pool_new(timeout_ms, &pool_hooks, &rig.pool)));
    rig.agent = add_agent(rig.pool, 1);
    return rig;
}

static void rig_end(struct rig *rig)
{
    lane_pool_free(rig->pool);
    fake_agent_free(rig->agent);
    assert_int_equal(fd_count(), rig->fds_before);
}

/* One lane misbehaves while another holds a request and more wait: the generation is condemned
 * once, what it held fails, and what waited is served by the next one. */
static void expect_condemned_for(enum fake_act act)
{
    struct rig rig = rig_new(60000);
    struct test_job held, bad, filler, waiting;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, &held, "held");
    job_submit(rig.pool, &filler, "filler");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 2);
    fake_agent_rule(rig.agent, LANE_OPEN, act);
    job_submit(rig.pool, &bad, "bad");
    job_expect(&bad, ERR_UNAVAILABLE);
    job_expect(&held, ERR_UNAVAILABLE);
    job_expect(&filler, ERR_UNAVAILABLE);
    condemned_wait(1);
    assert_false(lane_pool_has_lanes(rig.pool));
    job_submit(rig.pool, &waiting, "waiting");
    struct fake_agent *next = add_agent(rig.pool, 2);
    job_expect_text(&waiting, "waiting");
    assert_int_equal(condemned_count(), 1);
    fake_agent_free(next);
    rig_end(&rig);
}

static void a_wrong_number_condemns(void **state)
{
    (void)state;
    expect_condemned_for(FAKE_WRONG_NUMBER);
}

static void a_wrong_op_condemns(void **state)
{
    (void)state;
    expect_condemned_for(FAKE_WRONG_OP);
}

static void garbage_condemns(void **state)
{
    (void)state;
    expect_condemned_for(FAKE_GARBAGE);
}

static void a_packet_too_long_condemns(void **state)
{
    (void)state;
    expect_condemned_for(FAKE_TOO_LONG);
}

static void an_answer_given_twice_condemns(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job job;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_TWICE);
    job_submit(rig.pool, &job, "dek");
    job_expect_text(&job, "dek");
    condemned_wait(1);
    assert_false(lane_pool_has_lanes(rig.pool));
    assert_int_equal(condemned_count(), 1);
    rig_end(&rig);
}

static void descriptors_in_an_empty_packet_are_closed(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job job;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_EMPTY);
    job_submit(rig.pool, &job, "dek");
    job_expect(&job, ERR_UNAVAILABLE);
    assert_false(lane_pool_has_lanes(rig.pool));
    rig_end(&rig);
}

static void a_hung_lane_condemns_in_time_and_ends_its_jobs(void **state)
{
    (void)state;
    struct rig rig = rig_new(100);
    struct test_job hung, other, next;
    struct fake_agent *first = rig.agent;
    fake_agent_rule(first, LANE_OPEN, FAKE_HOLD);
    int64_t start = clock_monotonic_ns();
    job_submit(rig.pool, &hung, "hung");
    job_submit(rig.pool, &other, "other");
    condemned_wait(1);
    int64_t took_ms = (clock_monotonic_ns() - start) / 1000000;
    assert_in_range(took_ms, 100, 10000); /* 300 on an idle machine */
    job_expect(&hung, ERR_UNAVAILABLE);
    job_expect(&other, ERR_UNAVAILABLE);
    assert_int_equal(condemned_count(), 1);
    rig.agent = add_agent(rig.pool, 2);
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    lane_pool_set_timeout(rig.pool, 60000);
    job_submit(rig.pool, &next, "next");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_release(first); /* the late reply goes nowhere */
    assert_false(job_ended(&next));
    fake_agent_release(rig.agent);
    job_expect_text(&next, "next");
    fake_agent_free(first);
    rig_end(&rig);
}

static void a_dead_agent_fails_what_it_held_and_the_next_takes_what_waits(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job held[LANES], waiting[4];
    struct fake_agent *first = rig.agent;
    fake_agent_rule(first, LANE_OPEN, FAKE_HOLD);
    for (size_t i = 0; i < LANES; i++)
        job_submit(rig.pool, &held[i], "held");
    for (size_t i = 0; i < 4; i++)
        job_submit(rig.pool, &waiting[i], "waiting");
    fake_agent_wait_seen(first, LANE_OPEN, LANES);
    fake_agent_die(first);
    for (size_t i = 0; i < LANES; i++)
        job_expect(&held[i], ERR_UNAVAILABLE);
    rig.agent = add_agent(rig.pool, 2);
    for (size_t i = 0; i < 4; i++)
        job_expect_text(&waiting[i], "waiting");
    assert_int_equal(condemned_count(), 0);
    assert_int_equal(lanes_ended_count(), 1);
    fake_agent_free(first);
    rig_end(&rig);
}

static void one_closed_lane_ends_the_generation(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job held, job;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, &held, "held");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_CLOSE);
    job_submit(rig.pool, &job, "dek");
    job_expect(&job, ERR_UNAVAILABLE);
    job_expect(&held, ERR_UNAVAILABLE);
    assert_false(lane_pool_has_lanes(rig.pool));
    lanes_ended_wait(1);
    assert_int_equal(lanes_ended_count(), 1);
    assert_int_equal(condemned_count(), 0);
    rig_end(&rig);
}

/* What it did not take goes to the next agent: it cannot have been carried out. */
static void what_a_broken_lane_did_not_take_waits_for_the_next_agent(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job held, waiting[LANES];
    struct fake_agent *first = rig.agent;
    fake_agent_rule(first, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, &held, "held");
    for (size_t i = 0; i < LANES; i++)
        job_submit(rig.pool, &waiting[i], "waiting");
    fake_agent_break(first, LANES - 1);
    lanes_ended_wait(1);
    job_expect(&held, ERR_UNAVAILABLE);
    rig.agent = add_agent(rig.pool, 2);
    job_expect_text(&waiting[LANES - 1], "waiting");
    fake_agent_free(first);
    rig_end(&rig);
}

static void dropped_lanes_fail_what_they_hold_and_keep_what_waits(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    struct test_job held[LANES], waiting;
    struct fake_agent *first = rig.agent;
    fake_agent_rule(first, LANE_OPEN, FAKE_HOLD);
    for (size_t i = 0; i < LANES; i++)
        job_submit(rig.pool, &held[i], "held");
    job_submit(rig.pool, &waiting, "waiting");
    lane_pool_drop(rig.pool, 1, "condemned");
    for (size_t i = 0; i < LANES; i++) {
        job_expect(&held[i], ERR_UNAVAILABLE);
        assert_string_equal(held[i].error.where, "condemned");
    }
    assert_false(job_ended(&waiting));
    rig.agent = add_agent(rig.pool, 2);
    lane_pool_drop(rig.pool, 1, "condemned"); /* an older one: nothing to do */
    job_expect_text(&waiting, "waiting");
    fake_agent_free(first);
    rig_end(&rig);
}

static void many_generations_leave_nothing_open(void **state)
{
    (void)state;
    struct rig rig = rig_new(60000);
    for (uint64_t generation = 2; generation < 200; generation++) {
        struct test_job job;
        struct fake_agent *old = rig.agent;
        rig.agent = add_agent(rig.pool, generation);
        job_submit(rig.pool, &job, "dek");
        job_expect_text(&job, "dek");
        fake_agent_free(old);
    }
    rig_end(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wrong_number_condemns),
        cmocka_unit_test(a_wrong_op_condemns),
        cmocka_unit_test(garbage_condemns),
        cmocka_unit_test(a_packet_too_long_condemns),
        cmocka_unit_test(an_answer_given_twice_condemns),
        cmocka_unit_test(descriptors_in_an_empty_packet_are_closed),
        cmocka_unit_test(a_hung_lane_condemns_in_time_and_ends_its_jobs),
        cmocka_unit_test(a_dead_agent_fails_what_it_held_and_the_next_takes_what_waits),
        cmocka_unit_test(one_closed_lane_ends_the_generation),
        cmocka_unit_test(what_a_broken_lane_did_not_take_waits_for_the_next_agent),
        cmocka_unit_test(dropped_lanes_fail_what_they_hold_and_keep_what_waits),
        cmocka_unit_test(many_generations_leave_nothing_open),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
