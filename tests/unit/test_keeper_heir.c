/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper, and one agent in another's place. */
#include "pool_jobs.h"
#include "ring_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct ring_rig rig;

static int setup(void **state)
{
    (void)state;
    rig_make(&rig);
    rig_start(&rig, 60000, NEVER_MS, NEVER_MS);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

static struct fake_agent *serve(void)
{
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct fake_agent *agent = rig_serve(&rig, &key, 1);
    (void)rig_wait_ok(&rig);
    rig_wait_looks(&rig, 1);
    return agent;
}

/* An heir that sees one KEK more, offered and not yet greeting. */
static struct fake_agent *offer_heir(void)
{
    struct listed_key keys[] = {fake_key(1, KEY_ACTIVE, 1), fake_key(2, KEY_PRE_ACTIVE, 2)};
    struct fake_agent *heir = rig_agent(&rig, keys, 2);
    rig_offer(&rig);
    return heir;
}

static struct fake_agent *renew(void)
{
    uint64_t agent = rig.generation;
    keeper_renew(rig.keeper, "a test wants it");
    rig_wait_heir(&rig, RIG_WANTED, agent);
    return offer_heir();
}

/* Of the first agent, whose first heir has failed. */
static struct fake_agent *renew_first(void)
{
    pthread_mutex_lock(&rig.lock);
    rig.heir[RIG_WANTED] = 0;
    pthread_mutex_unlock(&rig.lock);
    keeper_renew(rig.keeper, "once more");
    rig_wait_heir(&rig, RIG_WANTED, 1);
    return offer_heir();
}

static size_t keks(void)
{
    struct ring_view *view = keyring_view(rig.keyring);
    size_t n = 0;
    (void)ring_view_keys(view, &n);
    ring_view_unref(view);
    return n;
}

static void nothing_is_lost_when_an_heir_takes_the_agents_place(void **state)
{
    (void)state;
    struct test_job inside, meanwhile, after;
    struct fake_agent *agent = serve();
    fake_agent_rule(agent, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, &inside, "inside");
    fake_agent_wait_seen(agent, LANE_OPEN, 1);
    struct fake_agent *heir = renew();
    job_submit(rig.pool, &meanwhile, "meanwhile"); /* the heir has not greeted */
    fake_agent_wait_seen(agent, LANE_OPEN, 2);
    assert_int_equal(keks(), 1);
    fake_agent_hello(heir);
    rig_wait_heir(&rig, RIG_SERVES, 2);
    rig_wait_looks(&rig, 2);
    assert_int_equal(keks(), 2);
    job_submit(rig.pool, &after, "after");
    job_expect_text(&after, "after");
    assert_int_equal(fake_agent_seen(heir, LANE_OPEN), 1);
    assert_int_equal(rig_heir(&rig, RIG_ENDED), 0); /* requests are in it */
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
    job_expect_text(&meanwhile, "meanwhile");
    rig_wait_heir(&rig, RIG_ENDED, 1);
    assert_int_equal(rig_condemnations(&rig), 0);
    assert_int_equal(rig_texts(&rig), 1); /* well, and never anything else */
}

static void an_agent_with_nothing_in_it_goes_at_once(void **state)
{
    (void)state;
    (void)serve();
    fake_agent_hello(renew());
    rig_wait_heir(&rig, RIG_ENDED, 1);
    rig_wait_looks(&rig, 2);
    fake_agent_hello(renew()); /* and so on */
    rig_wait_heir(&rig, RIG_ENDED, 2);
    assert_int_equal(rig_texts(&rig), 1);
}

static void an_heir_that_dies_leaves_the_agent_to_serve(void **state)
{
    (void)state;
    struct test_job job;
    (void)serve();
    struct fake_agent *heir = renew();
    fake_agent_die(heir);
    rig_wait_heir(&rig, RIG_ENDED, 2);
    job_submit(rig.pool, &job, "dek");
    job_expect_text(&job, "dek");
    fake_agent_hello(renew_first());
    rig_wait_heir(&rig, RIG_SERVES, 3);
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void an_heir_that_cannot_log_in_leaves_the_agent_to_serve(void **state)
{
    (void)state;
    struct test_job job;
    (void)serve();
    struct fake_agent *heir = renew();
    fake_agent_fail(heir, LANE_HELLO, ERR_TOKEN, REMEDY_PIN, "the PIN is refused");
    fake_agent_hello(heir);
    rig_wait_heir(&rig, RIG_ENDED, 2);
    job_submit(rig.pool, &job, "dek");
    job_expect_text(&job, "dek");
    assert_int_equal(rig_texts(&rig), 1);
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void where_there_is_no_room_for_two_the_agent_goes_first(void **state)
{
    (void)state;
    (void)serve();
    struct fake_agent *heir = renew();
    fake_agent_fail(heir, LANE_HELLO, ERR_EXHAUSTED, REMEDY_HUMAN, "too many sessions");
    fake_agent_hello(heir);
    rig_wait_condemned(&rig, 1);
    assert_int_equal(rig_heir(&rig, RIG_ENDED), 2);
    keeper_agent_gone(rig.keeper, 1, "condemned");
    fake_agent_hello(offer_heir());
    rig_wait_looks(&rig, 2);
    assert_int_equal(keks(), 2);
}

static void an_heir_inherits_from_an_agent_that_dies(void **state)
{
    (void)state;
    struct test_job job;
    struct fake_agent *agent = serve(), *heir = renew();
    fake_agent_die(agent);
    keeper_agent_gone(rig.keeper, 1, "killed by signal 11");
    job_submit(rig.pool, &job, "waits");
    fake_agent_hello(heir);
    job_expect_text(&job, "waits");
    assert_int_equal(rig_heir(&rig, RIG_SERVES), 0); /* the monitor knows */
    assert_int_equal(rig_heir(&rig, RIG_ENDED), 0);
    assert_int_equal(rig_condemnations(&rig), 0);
}

/* What it is wanted for may have come after the first heir had read the token. */
static void another_wish_meanwhile_is_not_forgotten(void **state)
{
    (void)state;
    (void)serve();
    struct fake_agent *heir = renew();
    fake_agent_rule(heir, LANE_LIST, FAKE_HOLD);
    fake_agent_hello(heir);
    fake_agent_wait_seen(heir, LANE_LIST, 1);
    keeper_renew(rig.keeper, "something else has changed");
    fake_agent_release(heir);
    rig_wait_heir(&rig, RIG_WANTED, 2);
}

static void without_an_agent_nobody_needs_an_heir(void **state)
{
    (void)state;
    keeper_renew(rig.keeper, "a test wants it");
    (void)serve();
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_lost_when_an_heir_takes_the_agents_place),
        TEST(an_agent_with_nothing_in_it_goes_at_once),
        TEST(an_heir_that_dies_leaves_the_agent_to_serve),
        TEST(an_heir_that_cannot_log_in_leaves_the_agent_to_serve),
        TEST(where_there_is_no_room_for_two_the_agent_goes_first),
        TEST(an_heir_inherits_from_an_agent_that_dies),
        TEST(another_wish_meanwhile_is_not_forgotten),
        TEST(without_an_agent_nobody_needs_an_heir),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
