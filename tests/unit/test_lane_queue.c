/* SPDX-License-Identifier: Apache-2.0 */
/* Who is next among the jobs that wait for a lane. */
#include "lane_pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { JOBS = LANE_QUEUE_MAX + 1 };

struct rig {
    struct lane_queue queue;
    struct lane_job jobs[JOBS];
    size_t used;
};

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    assert_non_null(rig);
    lane_queue_init(&rig->queue);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* Numbers count up from 1 over all flows. */
static bool put(struct rig *rig, uint64_t flow)
{
    struct lane_job *job = &rig->jobs[rig->used];
    *job = (struct lane_job){.flow = flow, .number = rig->used + 1};
    rig->used++;
    return lane_queue_put(&rig->queue, job);
}

static void put_many(struct rig *rig, uint64_t flow, size_t n)
{
    for (size_t i = 0; i < n; i++)
        assert_true(put(rig, flow));
}

static void expect_next(struct rig *rig, uint64_t number)
{
    const struct lane_job *next = lane_queue_peek(&rig->queue);
    assert_non_null(next);
    assert_int_equal(next->number, number);
    assert_ptr_equal(lane_queue_take(&rig->queue), next);
}

static void expect_empty(struct rig *rig)
{
    assert_null(lane_queue_peek(&rig->queue));
    assert_null(lane_queue_take(&rig->queue));
    assert_int_equal(rig->queue.waiting, 0);
}

static void within_a_flow_the_oldest_is_next(void **state)
{
    struct rig *rig = *state;
    put_many(rig, 7, 3);
    for (uint64_t number = 1; number <= 3; number++)
        expect_next(rig, number);
    expect_empty(rig);
}

static void flows_take_turns(void **state)
{
    static const uint64_t order[] = {1, 4, 6, 2, 5, 3};
    struct rig *rig = *state;
    put_many(rig, 10, 3);
    put_many(rig, 20, 2);
    put_many(rig, 30, 1);
    for (size_t i = 0; i < sizeof order / sizeof *order; i++)
        expect_next(rig, order[i]);
    expect_empty(rig);
}

/* One call in flight at a time gets every other turn against any number of another's. */
static void who_comes_back_waits_for_one_of_each_flow(void **state)
{
    struct rig *rig = *state;
    put_many(rig, 10, 100);
    for (uint64_t round = 1; round <= 100; round++) {
        assert_true(put(rig, 20));
        expect_next(rig, round);
        expect_next(rig, 100 + round);
    }
    expect_empty(rig);
}

static void it_is_bounded(void **state)
{
    struct rig *rig = *state;
    put_many(rig, 10, LANE_QUEUE_MAX);
    assert_false(put(rig, 20));
    assert_int_equal(rig->queue.waiting, LANE_QUEUE_MAX);
}

static void as_many_flows_as_jobs_have_room(void **state)
{
    struct rig *rig = *state;
    for (uint64_t round = 0; round < 2; round++) {
        rig->used = 0;
        for (uint64_t flow = 0; flow < LANE_QUEUE_MAX; flow++)
            assert_true(put(rig, flow));
        for (uint64_t number = 1; number <= LANE_QUEUE_MAX; number++)
            expect_next(rig, number);
        expect_empty(rig);
    }
}

static void the_youngest_of_the_longest_flow_gives_way(void **state)
{
    struct rig *rig = *state;
    put_many(rig, 10, 2);
    put_many(rig, 20, 5);
    put_many(rig, 30, 2);
    assert_int_equal(lane_queue_make_room(&rig->queue, 40)->number, 7);
    assert_int_equal(lane_queue_make_room(&rig->queue, 10)->number, 6);
    assert_null(
        lane_queue_make_room(&rig->queue, 10)); /* the longest has three, it would have too */
    assert_null(lane_queue_make_room(&rig->queue, 20));
    assert_int_equal(rig->queue.waiting, 7);
    put_many(rig, 20, 1); /* its end is where it should be */
    for (uint64_t number = 0; rig->queue.waiting > 0; number++)
        assert_non_null(lane_queue_take(&rig->queue));
}

static bool is_odd(struct lane_job *job, void *context)
{
    ++*(size_t *)context;
    return job->number % 2 == 1;
}

static void a_sweep_asks_for_each_and_takes_what_it_picks(void **state)
{
    static const uint64_t left[] = {2, 4, 12, 6};
    struct rig *rig = *state;
    size_t asked = 0, taken = 0;
    put_many(rig, 10, 3); /* 1 2 3 */
    put_many(rig, 20, 4); /* 4 5 6 7 */
    put_many(rig, 30, 1); /* 8, which is taken first */
    put_many(rig, 40, 1); /* 9: the flow goes */
    struct lane_job *job = lane_queue_make_room(&rig->queue, 30);
    assert_non_null(job);
    assert_int_equal(job->number, 7);
    rig->jobs[7].number = 11;
    for (job = lane_queue_sweep(&rig->queue, is_odd, &asked); job; job = job->next, taken++)
        assert_int_equal(job->number % 2, 1);
    assert_int_equal(asked, 8);
    assert_int_equal(taken, 5); /* 1, 3, 5, 9, 11 */
    rig->used = 11;
    put_many(rig, 30, 1); /* 12, in a flow that was gone */
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        expect_next(rig, left[i]);
    expect_empty(rig);
}

/* --- against a plain model --------------------------------------------------------------- */

enum { FLOWS = 9, STEPS = 200000 };

struct model {
    uint64_t numbers[FLOWS][LANE_QUEUE_MAX];
    size_t n[FLOWS];
    uint64_t turns[FLOWS]; /* flows in the order of their turns */
    size_t n_turns, waiting;
};

static void model_forget_turn(struct model *m, size_t at)
{
    memmove(&m->turns[at], &m->turns[at + 1], (m->n_turns - at - 1) * sizeof m->turns[0]);
    m->n_turns--;
}

static void model_put(struct model *m, uint64_t flow, uint64_t number)
{
    if (m->n[flow] == 0)
        m->turns[m->n_turns++] = flow;
    m->numbers[flow][m->n[flow]++] = number;
    m->waiting++;
}

static uint64_t model_take(struct model *m)
{
    uint64_t flow = m->turns[0], number = m->numbers[flow][0];
    m->n[flow]--;
    memmove(m->numbers[flow], m->numbers[flow] + 1, m->n[flow] * sizeof number);
    model_forget_turn(m, 0);
    if (m->n[flow] > 0)
        m->turns[m->n_turns++] = flow;
    m->waiting--;
    return number;
}

static void model_sweep(struct model *m, uint64_t modulus)
{
    for (size_t t = 0; t < m->n_turns;) {
        uint64_t flow = m->turns[t];
        size_t kept = 0;
        for (size_t i = 0; i < m->n[flow]; i++)
            if (m->numbers[flow][i] % modulus != 0)
                m->numbers[flow][kept++] = m->numbers[flow][i];
        m->waiting -= m->n[flow] - kept;
        m->n[flow] = kept;
        if (kept == 0)
            model_forget_turn(m, t);
        else
            t++;
    }
}

static bool divides(struct lane_job *job, void *modulus)
{
    return job->number % *(const uint64_t *)modulus == 0;
}

static void drop(struct lane_job *job)
{
    while (job) {
        struct lane_job *next = job->next;
        free(job);
        job = next;
    }
}

static void step(struct rig *rig, struct model *m, uint64_t dice, uint64_t number)
{
    if (dice % 100 == 0) {
        uint64_t modulus = 2 + dice / 100 % 3;
        drop(lane_queue_sweep(&rig->queue, divides, &modulus));
        model_sweep(m, modulus);
    } else if (dice % 100 < 55) {
        struct lane_job *job = calloc(1, sizeof *job);
        assert_non_null(job);
        *job = (struct lane_job){.flow = dice / 100 % FLOWS, .number = number};
        bool room = m->waiting < LANE_QUEUE_MAX;
        assert_int_equal(lane_queue_put(&rig->queue, job), room);
        if (room)
            model_put(m, job->flow, number);
        else
            free(job);
    } else if (m->waiting > 0) {
        struct lane_job *job = lane_queue_take(&rig->queue);
        assert_non_null(job);
        assert_int_equal(job->number, model_take(m));
        drop(job);
    }
    assert_int_equal(rig->queue.waiting, m->waiting);
}

static void it_does_as_a_plain_model_does(void **state)
{
    struct rig *rig = *state;
    struct model *m = calloc(1, sizeof *m);
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);
    assert_non_null(m);
    for (uint64_t number = 1; number <= STEPS; number++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        step(rig, m, random >> 8, number);
    }
    while (m->waiting > 0) {
        struct lane_job *job = lane_queue_take(&rig->queue);
        assert_int_equal(job->number, model_take(m));
        drop(job);
    }
    expect_empty(rig);
    free(m);
}

int main(void)
{
#define QUEUE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        QUEUE(within_a_flow_the_oldest_is_next),
        QUEUE(flows_take_turns),
        QUEUE(who_comes_back_waits_for_one_of_each_flow),
        QUEUE(it_is_bounded),
        QUEUE(as_many_flows_as_jobs_have_room),
        QUEUE(the_youngest_of_the_longest_flow_gives_way),
        QUEUE(a_sweep_asks_for_each_and_takes_what_it_picks),
        QUEUE(it_does_as_a_plain_model_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
