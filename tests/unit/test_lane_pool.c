/* SPDX-License-Identifier: Apache-2.0 */
/* The lane pool while agents behave: who gets a lane, who waits, who is told what. */
#include "pool_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 60000, LANES = 3 };

struct rig {
    unsigned fds_before;
    struct lane_pool *pool;
    struct fake_agent *agent;
};

static struct fake_agent *add_agent(struct lane_pool *pool, uint64_t generation, size_t lanes)
{
    int fds[LANES];
    struct fake_agent *agent = fake_agent_new(lanes, fds);
    assert_false(err_is(lane_pool_add(pool, generation, fds, lanes)));
    return agent;
}

static struct rig rig_new(size_t lanes)
{
    struct rig rig = {.fds_before = fd_count()};
    condemned_reset();
    assert_false(err_is(lane_pool_new(TIMEOUT_MS, &pool_hooks, &rig.pool)));
    if (lanes > 0)
        rig.agent = add_agent(rig.pool, 1, lanes);
    return rig;
}

static void rig_end(struct rig *rig)
{
    lane_pool_free(rig->pool);
    fake_agent_free(rig->agent);
    assert_int_equal(condemned_count(), 0);
    assert_int_equal(fd_count(), rig->fds_before);
}

static void hold(struct rig *rig)
{
    fake_agent_rule(rig->agent, LANE_OPEN, FAKE_HOLD);
}

static void expect_load(struct lane_pool *pool, size_t busy, size_t waiting)
{
    size_t got_busy, got_waiting;
    lane_pool_load(pool, &got_busy, &got_waiting);
    assert_int_equal(got_busy, busy);
    assert_int_equal(got_waiting, waiting);
}

static void a_free_lane_gets_the_job_at_once(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job job;
    hold(&rig);
    job_submit(rig.pool, &job, "dek");
    expect_load(rig.pool, 1, 0);
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_release(rig.agent);
    job_expect_text(&job, "dek");
    expect_load(rig.pool, 0, 0);
    rig_end(&rig);
}

static void the_packet_is_wiped_once_sent_and_freed_at_the_end(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job job;
    hold(&rig);
    job_submit(rig.pool, &job, "dek");
    assert_int_equal(secret_bytes(job.lane.packet).len, 0);
    for (size_t i = 0; i < LANE_PACKET_MAX; i++)
        assert_int_equal(secret_memory(job.lane.packet)[i], 0);
    fake_agent_release(rig.agent);
    job_expect_text(&job, "dek");
    assert_null(job.lane.packet);
    rig_end(&rig);
}

static void a_lane_has_one_request_in_flight(void **state)
{
    (void)state;
    struct rig rig = rig_new(2);
    struct test_job jobs[5];
    hold(&rig);
    for (size_t i = 0; i < 5; i++)
        job_submit(rig.pool, &jobs[i], "dek");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 2);
    expect_load(rig.pool, 2, 3);
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 2);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < 5; i++)
        job_expect_text(&jobs[i], "dek");
    rig_end(&rig);
}

static void who_waits_first_is_served_first(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job jobs[20];
    hold(&rig);
    for (size_t i = 0; i < 20; i++)
        job_submit(rig.pool, &jobs[i], "dek");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < 20; i++) {
        job_expect_text(&jobs[i], "dek");
        assert_int_equal(jobs[i].order, i + 1);
    }
    rig_end(&rig);
}

static void a_flow_of_one_does_not_wait_behind_a_flow_of_many(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job in_flight, greedy[20], meek;
    hold(&rig);
    job_submit_in(rig.pool, &in_flight, 1);
    for (size_t i = 0; i < 20; i++)
        job_submit_in(rig.pool, &greedy[i], 1);
    job_submit_in(rig.pool, &meek, 2);
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < 20; i++)
        job_expect_text(&greedy[i], "dek");
    job_expect_text(&in_flight, "dek");
    job_expect_text(&meek, "dek");
    assert_in_range(meek.order, 2, 3);
    rig_end(&rig);
}

static void every_job_gets_its_own_reply(void **state)
{
    (void)state;
    struct rig rig = rig_new(3);
    static struct test_job jobs[300];
    char text[16];
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof text, "dek %u", i);
        job_submit(rig.pool, &jobs[i], text);
    }
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof text, "dek %u", i);
        job_expect_text(&jobs[i], text);
    }
    rig_end(&rig);
}

static void a_full_queue_refuses_at_once(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    static struct test_job jobs[LANE_QUEUE_MAX], more;
    for (size_t i = 0; i < LANE_QUEUE_MAX; i++)
        job_submit(rig.pool, &jobs[i], "dek");
    expect_load(rig.pool, 0, LANE_QUEUE_MAX);
    job_submit(rig.pool, &more, "one more");
    assert_true(job_ended(&more));
    job_expect(&more, ERR_EXHAUSTED);
    rig.agent = add_agent(rig.pool, 1, 2);
    for (size_t i = 0; i < LANE_QUEUE_MAX; i++)
        job_expect_text(&jobs[i], "dek");
    rig_end(&rig);
}

static void a_full_queue_makes_room_for_who_asks_for_less(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    static struct test_job greedy[LANE_QUEUE_MAX], meek;
    for (size_t i = 0; i < LANE_QUEUE_MAX; i++)
        job_submit_in(rig.pool, &greedy[i], 1);
    job_submit_in(rig.pool, &meek, 2);
    expect_load(rig.pool, 0, LANE_QUEUE_MAX);
    assert_true(job_ended(&greedy[LANE_QUEUE_MAX - 1]));
    job_expect(&greedy[LANE_QUEUE_MAX - 1], ERR_EXHAUSTED);
    assert_false(job_ended(&meek));
    rig.agent = add_agent(rig.pool, 1, 2);
    job_expect_text(&meek, "dek");
    for (size_t i = 0; i + 1 < LANE_QUEUE_MAX; i++)
        job_expect_text(&greedy[i], "dek");
    rig_end(&rig);
}

static void a_full_queue_makes_room_of_what_nobody_waits_for(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    static struct test_job jobs[LANE_QUEUE_MAX], more;
    for (size_t i = 0; i < LANE_QUEUE_MAX; i++)
        job_submit(rig.pool, &jobs[i], "dek");
    atomic_store(&jobs[17].abandoned, true);
    job_submit(rig.pool, &more, "one more");
    job_expect(&jobs[17], ERR_CANCELLED);
    assert_false(job_ended(&more));
    lane_pool_fail_waiting(rig.pool);
    job_expect(&more, ERR_UNAVAILABLE);
    rig_end(&rig);
}

static void a_cancelled_waiting_job_is_taken_out(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    struct test_job cancelled, stays;
    job_submit(rig.pool, &cancelled, "one");
    job_submit(rig.pool, &stays, "two");
    atomic_store(&cancelled.abandoned, true);
    job_expect(&cancelled, ERR_CANCELLED);
    rig.agent = add_agent(rig.pool, 1, 1);
    job_expect_text(&stays, "two");
    rig_end(&rig);
}

static void an_expired_waiting_job_is_taken_out(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    struct test_job expired, stays;
    int64_t soon = clock_monotonic_ns() + 1000000;
    job_submit_until(rig.pool, &expired, "one", soon);
    job_submit(rig.pool, &stays, "two");
    job_expect(&expired, ERR_DEADLINE);
    expect_load(rig.pool, 0, 1);
    rig.agent = add_agent(rig.pool, 1, 1);
    job_expect_text(&stays, "two");
    rig_end(&rig);
}

/* Also between two looks of the pool's clock. */
static void what_has_expired_never_reaches_the_agent(void **state)
{
    (void)state;
    enum { ROUNDS = 20, JOBS = 5 };
    struct rig rig = rig_new(1);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        struct test_job in_flight, expired[JOBS];
        hold(&rig);
        job_submit(rig.pool, &in_flight, "dek");
        fake_agent_wait_seen(rig.agent, LANE_OPEN, round);
        int64_t soon = clock_monotonic_ns() + 2000000;
        for (size_t i = 0; i < JOBS; i++)
            job_submit_until(rig.pool, &expired[i], "late", soon);
        while (clock_monotonic_ns() < soon)
            continue;
        fake_agent_release(rig.agent);
        job_expect_text(&in_flight, "dek");
        for (size_t i = 0; i < JOBS; i++)
            job_expect(&expired[i], ERR_DEADLINE);
    }
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), ROUNDS);
    rig_end(&rig);
}

static void let_pass(int64_t ms)
{
    int64_t until = clock_monotonic_ns() + ms * 1000000;
    while (clock_monotonic_ns() < until)
        continue;
}

/* A slow token must not work for those who have gone when it answers. */
static void what_would_come_too_late_never_reaches_the_agent(void **state)
{
    (void)state;
    enum { SLOW_MS = 100, LEFT_MS = 50 };
    struct rig rig = rig_new(1);
    struct test_job slow, late, patient, next;
    hold(&rig);
    job_submit(rig.pool, &slow, "slow");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    let_pass(SLOW_MS);
    job_submit_until(rig.pool, &late, "late", clock_monotonic_ns() + LEFT_MS * INT64_C(1000000));
    job_submit(rig.pool, &patient, "patient");
    fake_agent_release(rig.agent);
    job_expect_text(&slow, "slow");
    job_expect(&late, ERR_DEADLINE);
    job_expect_text(&patient, "patient");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 2);
    /* What finds a free lane is tried: the token may be quick again. */
    job_submit_until(rig.pool, &next, "next", clock_monotonic_ns() + LEFT_MS * INT64_C(1000000));
    job_expect_text(&next, "next");
    rig_end(&rig);
}

static void a_cancelled_job_in_flight_keeps_its_lane(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job cancelled, next;
    hold(&rig);
    job_submit(rig.pool, &cancelled, "one");
    job_submit(rig.pool, &next, "two");
    atomic_store(&cancelled.abandoned, true);
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 1);
    fake_agent_release(rig.agent);
    job_expect_text(&cancelled, "one");
    job_expect_text(&next, "two");
    rig_end(&rig);
}

static void an_error_of_the_token_is_a_reply(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job job;
    fake_agent_fail(rig.agent, LANE_OPEN, ERR_AUTH, REMEDY_CALLER, "no");
    job_submit(rig.pool, &job, "dek");
    job_expect(&job, ERR_NONE);
    assert_int_equal(job.status, ERR_AUTH);
    rig_end(&rig);
}

static void a_newer_generation_takes_the_olders_place_and_nothing_is_lost(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job old, waiting;
    struct fake_agent *first = rig.agent;
    hold(&rig);
    job_submit(rig.pool, &old, "old");
    job_submit(rig.pool, &waiting, "waiting");
    fake_agent_wait_seen(first, LANE_OPEN, 1);
    rig.agent = add_agent(rig.pool, 2, 1);
    job_expect_text(&waiting, "waiting");
    assert_false(lane_pool_has_left(rig.pool, 1));
    fake_agent_release(first);
    job_expect_text(&old, "old");
    assert_true(lane_pool_has_left(rig.pool, 1)); /* it gets no more */
    assert_false(lane_pool_has_left(rig.pool, 2));
    assert_int_equal(fake_agent_seen(first, LANE_OPEN), 1);
    fake_agent_free(first);
    rig_end(&rig);
}

static void a_generation_that_retires_may_still_be_dropped(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job old, next;
    struct fake_agent *first = rig.agent;
    hold(&rig);
    job_submit(rig.pool, &old, "old");
    fake_agent_wait_seen(first, LANE_OPEN, 1);
    rig.agent = add_agent(rig.pool, 2, 1);
    lane_pool_drop(rig.pool, 1, "condemned");
    job_expect(&old, ERR_UNAVAILABLE);
    assert_true(lane_pool_has_left(rig.pool, 1));
    job_submit(rig.pool, &next, "next");
    job_expect_text(&next, "next");
    fake_agent_free(first);
    rig_end(&rig);
}

static void an_outage_refuses_what_finds_no_lane_until_there_are_lanes(void **state)
{
    (void)state;
    struct rig rig = rig_new(0);
    struct test_job before, during, after;
    job_submit(rig.pool, &before, "before");
    lane_pool_fail_waiting(rig.pool);
    job_expect(&before, ERR_UNAVAILABLE);
    job_submit(rig.pool, &during, "during");
    assert_true(job_ended(&during));
    job_expect(&during, ERR_UNAVAILABLE);
    rig.agent = add_agent(rig.pool, 1, 1);
    job_submit(rig.pool, &after, "after");
    job_expect_text(&after, "after");
    rig_end(&rig);
}

static void free_fails_what_is_in_flight_and_waiting(void **state)
{
    (void)state;
    struct rig rig = rig_new(1);
    struct test_job flying, waiting;
    hold(&rig);
    job_submit(rig.pool, &flying, "one");
    job_submit(rig.pool, &waiting, "two");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    rig_end(&rig);
    job_expect(&flying, ERR_UNAVAILABLE);
    job_expect(&waiting, ERR_UNAVAILABLE);
    assert_null(flying.lane.packet);
    assert_null(waiting.lane.packet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_free_lane_gets_the_job_at_once),
        cmocka_unit_test(the_packet_is_wiped_once_sent_and_freed_at_the_end),
        cmocka_unit_test(a_lane_has_one_request_in_flight),
        cmocka_unit_test(who_waits_first_is_served_first),
        cmocka_unit_test(a_flow_of_one_does_not_wait_behind_a_flow_of_many),
        cmocka_unit_test(every_job_gets_its_own_reply),
        cmocka_unit_test(a_full_queue_refuses_at_once),
        cmocka_unit_test(a_full_queue_makes_room_for_who_asks_for_less),
        cmocka_unit_test(a_full_queue_makes_room_of_what_nobody_waits_for),
        cmocka_unit_test(a_cancelled_waiting_job_is_taken_out),
        cmocka_unit_test(an_expired_waiting_job_is_taken_out),
        cmocka_unit_test(what_has_expired_never_reaches_the_agent),
        cmocka_unit_test(what_would_come_too_late_never_reaches_the_agent),
        cmocka_unit_test(a_cancelled_job_in_flight_keeps_its_lane),
        cmocka_unit_test(an_error_of_the_token_is_a_reply),
        cmocka_unit_test(a_newer_generation_takes_the_olders_place_and_nothing_is_lost),
        cmocka_unit_test(a_generation_that_retires_may_still_be_dropped),
        cmocka_unit_test(an_outage_refuses_what_finds_no_lane_until_there_are_lanes),
        cmocka_unit_test(free_fails_what_is_in_flight_and_waiting),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
