/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper and the life of agents: hello, death, restart. */
#include "agent_process.h"
#include "pool_jobs.h"
#include "ring_rig.h"
#include "ring_state.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TOO_MANY = AGENT_LANES_MAX + 1, DEATHS = 40, ROUNDS = 5 };

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

static void serve_until_ok(void)
{
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    (void)rig_serve_well(&rig, &key, 1);
}

static int64_t since_ms(int64_t start_ns)
{
    return (clock_monotonic_ns() - start_ns) / 1000000;
}

static void a_good_agent_makes_it_well(void **state)
{
    (void)state;
    struct health health;
    struct key_id current;
    struct ring_memory remembered = {.generation = 0};
    struct canary canary;
    serve_until_ok();
    keyring_status(rig.keyring, &health, &current);
    assert_true(health.ok);
    assert_string_equal(current.text, fake_key_id(1).text);
    assert_true(lane_pool_has_lanes(rig.pool));
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &remembered)));
    assert_string_equal(remembered.key_id.text, current.text);
    assert_int_equal(remembered.generation, 1);
    assert_false(err_is(ring_state_canary(rig.dir, &current, &canary)));
    assert_int_equal(rig_condemnations(&rig), 0);
    assert_int_equal(rig_warnings(&rig), 0);
}

static void the_lanes_come_only_with_a_proved_kek(void **state)
{
    (void)state;
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct fake_agent *agent = rig_agent(&rig, &key, 1);
    fake_agent_rule(agent, LANE_PROBE, FAKE_HOLD);
    rig_offer(&rig);
    fake_agent_hello(agent);
    fake_agent_wait_seen(agent, LANE_PROBE, 1);
    assert_false(lane_pool_has_lanes(rig.pool));
    fake_agent_release(agent);
    (void)rig_wait_ok(&rig);
}

static void a_failing_hello_is_told_and_stays_after_the_agents_end(void **state)
{
    (void)state;
    struct fake_agent *agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "the PIN is wrong: mend it");
    rig_offer(&rig);
    fake_agent_hello(agent);
    (void)rig_wait_text(&rig, "the PIN is wrong: mend it");
    rig_kill(&rig, "exited with code 0");
    agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "second words");
    rig_offer(&rig);
    fake_agent_hello(agent);
    struct health health = rig_wait_text(&rig, "second words");
    assert_false(health.ok);
    assert_false(health.failed);
    assert_false(rig_ever_said(&rig, "exited with code 0"));
}

/* A path that was cut inside a character, a vendor's Latin-1: clients would not take the Status. */
static void what_is_not_utf8_is_told_in_ascii(void **state)
{
    (void)state;
    struct fake_agent *agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "Schl\xfcssel\n fehlt: \xc3");
    rig_offer(&rig);
    fake_agent_hello(agent);
    (void)rig_wait_text(&rig, "Schl?ssel? fehlt: ?");
}

/* Blocked until an agent greets well. */
static void a_refused_pin_is_told_as_such(void **state)
{
    (void)state;
    struct fake_agent *agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_PIN, "the PIN is wrong: mend it");
    rig_offer(&rig);
    fake_agent_hello(agent);
    assert_true(rig_wait_text(&rig, "the PIN is wrong: mend it").pin_blocked);
    rig_kill(&rig, "exited with code 0");
    agent = rig_agent(&rig, NULL, 0); /* that does not come as far as the PIN */
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "the module is gone");
    rig_offer(&rig);
    fake_agent_hello(agent);
    assert_true(rig_wait_text(&rig, "the module is gone").pin_blocked);
    rig_kill(&rig, "exited with code 0");
    serve_until_ok();
    assert_false(rig_wait_ok(&rig).pin_blocked);
    rig_kill(&rig, "killed");
    agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "no such token");
    rig_offer(&rig);
    fake_agent_hello(agent);
    assert_false(rig_wait_text(&rig, "no such token").pin_blocked);
}

static void a_failing_hello_whose_agent_is_reaped_first_is_still_told(void **state)
{
    (void)state;
    struct fake_agent *agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_HELLO, ERR_TOKEN, REMEDY_HUMAN, "no such token");
    fake_agent_hello(agent);
    keeper_agent_gone(rig.keeper, rig.generation, "exited with code 0");
    rig_offer(&rig);
    (void)rig_wait_text(&rig, "no such token");
    assert_false(rig_ever_said(&rig, "exited with code 0"));
}

static void an_end_before_hello_is_told(void **state)
{
    (void)state;
    (void)rig_agent(&rig, NULL, 0);
    rig_offer(&rig);
    rig_kill(&rig, "exited with code 127");
    (void)rig_wait_text(&rig, "ended before it was up (exited with code 127)");
}

static void an_end_that_comes_with_the_offer_is_told(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 20; i++) { /* the two may reach the keeper at once */
        char how[32], text[128];
        (void)snprintf(how, sizeof how, "exited with code %u", i);
        (void)snprintf(text, sizeof text, "before it was up (%s)", how);
        (void)rig_agent(&rig, NULL, 0);
        fake_agent_die(rig.agent);
        rig_offer(&rig);
        keeper_agent_gone(rig.keeper, rig.generation, how);
        (void)rig_wait_text(&rig, text);
    }
}

/* A child of the vendor's library may keep the lanes open. */
static void a_reaped_agent_is_gone_whoever_holds_its_lanes(void **state)
{
    (void)state;
    serve_until_ok();
    keeper_agent_gone(rig.keeper, rig.generation, "killed by signal 11");
    (void)rig_wait_text(&rig, "ended (killed by signal 11)");
    assert_false(lane_pool_has_lanes(rig.pool));
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void a_dead_agent_is_an_outage_only_after_a_second(void **state)
{
    (void)state;
    serve_until_ok();
    int64_t start = clock_monotonic_ns();
    rig_kill(&rig, "killed by signal 9");
    (void)rig_wait_text(&rig, "ended (killed by signal 9) and is being restarted");
    assert_in_range(since_ms(start), 900, 5000);
    serve_until_ok();
}

/* Status was untrue for token.timeout before. On a busy machine it is told later now and then. */
static void one_that_hung_is_an_outage_sooner(void **state)
{
    (void)state;
    int64_t took = INT64_MAX;
    for (unsigned i = 0; i < ROUNDS && took >= 900; i++) {
        serve_until_ok();
        int64_t start = clock_monotonic_ns();
        keeper_hung(rig.keeper, rig.generation);
        rig_kill(&rig, "no answer");
        (void)rig_wait_text(&rig, "is being restarted");
        took = since_ms(start);
    }
    assert_in_range(took, 400, 900);
}

/* On a busy machine one takes long now and then. */
static void a_short_restart_is_no_outage(void **state)
{
    (void)state;
    size_t told = SIZE_MAX;
    serve_until_ok();
    for (unsigned i = 0; i < ROUNDS && told > 0; i++) {
        size_t before = rig_texts(&rig);
        rig_kill(&rig, "killed by signal 9");
        serve_until_ok();
        assert_true(lane_pool_has_lanes(rig.pool));
        told = rig_texts(&rig) - before;
    }
    assert_int_equal(told, 0);
}

static void an_agent_that_starts_for_long_is_an_outage_too(void **state)
{
    (void)state;
    serve_until_ok();
    int64_t start = clock_monotonic_ns();
    rig_kill(&rig, "killed by signal 9");
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    (void)rig_agent(&rig, &key, 1);
    rig_offer(&rig); /* and no hello */
    (void)rig_wait_text(&rig, "is being restarted");
    assert_in_range(since_ms(start), 900, 5000);
    fake_agent_hello(rig.agent);
    (void)rig_wait_ok(&rig);
}

/* A ring of thousands on a network HSM. */
static void an_agent_that_looks_for_long_is_an_outage_too(void **state)
{
    (void)state;
    const enum lane_op ops[] = {LANE_LIST, LANE_PROBE};
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    serve_until_ok();
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        int64_t start = clock_monotonic_ns();
        rig_kill(&rig, "killed by signal 9");
        fake_agent_rule(rig_agent(&rig, &key, 1), ops[i], FAKE_HOLD);
        rig_offer(&rig);
        fake_agent_hello(rig.agent);
        (void)rig_wait_text(&rig, "its first look at the token takes long");
        assert_in_range(since_ms(start), 900, 5000);
        fake_agent_release(rig.agent);
        (void)rig_wait_ok(&rig);
        while (!lane_pool_has_lanes(rig.pool)) /* published first; the watchdog ends what hangs */
            assert_int_equal(poll(NULL, 0, 1), 0);
    }
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void agents_that_die_one_after_another_are_one_outage(void **state)
{
    (void)state;
    serve_until_ok();
    int64_t start = clock_monotonic_ns();
    rig_kill(&rig, "killed by signal 9");
    for (unsigned i = 0; i < DEATHS && !rig_ever_said(&rig, "the token agent ended"); i++) {
        (void)rig_agent(&rig, NULL, 0);
        rig_offer(&rig);
        rig_kill(&rig, "killed by signal 6");
        assert_int_equal(poll(NULL, 0, 100), 0); /* their period */
    }
    assert_true(rig_ever_said(&rig, "the token agent ended"));
    assert_true(since_ms(start) >= 900);
}

static void an_agent_whose_lane_ends_but_which_stays_is_condemned(void **state)
{
    (void)state;
    serve_until_ok();
    fake_agent_die(rig.agent); /* and the monitor reaps nobody */
    rig_wait_condemned(&rig, rig.generation);
}

static void words_unasked_condemn(void **state)
{
    (void)state;
    serve_until_ok();
    fake_agent_hello(rig.agent);
    rig_wait_condemned(&rig, rig.generation);
    assert_string_equal(rig.why, "it spoke unasked");
}

/* The second answer comes while the first is looked at. */
static void an_answer_given_twice_condemns(void **state)
{
    (void)state;
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct fake_agent *agent = rig_agent(&rig, &key, 1);
    fake_agent_rule(agent, LANE_PROBE, FAKE_TWICE);
    rig_offer(&rig);
    fake_agent_hello(agent);
    rig_wait_condemned(&rig, rig.generation);
    assert_false(lane_pool_has_lanes(rig.pool));
}

static void a_strange_hello_condemns(void **state)
{
    (void)state;
    const enum fake_act acts[] = {FAKE_WRONG_NUMBER, FAKE_WRONG_OP, FAKE_GARBAGE, FAKE_TOO_LONG};
    for (size_t i = 0; i < sizeof acts / sizeof *acts; i++) {
        struct fake_agent *agent = rig_agent(&rig, NULL, 0);
        fake_agent_rule(agent, LANE_HELLO, acts[i]);
        rig_offer(&rig);
        fake_agent_hello(agent);
        rig_wait_condemned(&rig, rig.generation);
    }
}

static void a_newer_offer_takes_the_place_of_one_that_starts(void **state)
{
    (void)state;
    (void)rig_agent(&rig, NULL, 0);
    rig_offer(&rig);
    serve_until_ok();
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void offers_out_of_range_are_closed(void **state)
{
    (void)state;
    int fd[TOO_MANY];
    for (size_t i = 0; i < TOO_MANY; i++)
        fd[i] = dup(0);
    keeper_offer(rig.keeper, 1, fd, TOO_MANY);
    int one = dup(0);
    keeper_offer(rig.keeper, 2, &one, 1);
    keeper_offer(rig.keeper, 3, NULL, 0);
    rig.generation = 3;
    serve_until_ok();
}

static void words_of_a_failed_look_stay_after_the_agents_end(void **state)
{
    (void)state;
    struct fake_agent *agent = rig_agent(&rig, NULL, 0);
    fake_agent_fail(agent, LANE_LIST, ERR_UNAVAILABLE, REMEDY_AGENT, "the token was removed");
    rig_offer(&rig);
    fake_agent_hello(agent);
    (void)rig_wait_text(&rig, "the token was removed");
    rig_kill(&rig, "killed by signal 9");
    serve_until_ok();
    assert_false(rig_ever_said(&rig, "killed by signal 9"));
}

#define KEEPER_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KEEPER_TEST(a_good_agent_makes_it_well),
        KEEPER_TEST(the_lanes_come_only_with_a_proved_kek),
        KEEPER_TEST(a_failing_hello_is_told_and_stays_after_the_agents_end),
        KEEPER_TEST(what_is_not_utf8_is_told_in_ascii),
        KEEPER_TEST(a_refused_pin_is_told_as_such),
        KEEPER_TEST(a_failing_hello_whose_agent_is_reaped_first_is_still_told),
        KEEPER_TEST(an_end_before_hello_is_told),
        KEEPER_TEST(an_end_that_comes_with_the_offer_is_told),
        KEEPER_TEST(a_reaped_agent_is_gone_whoever_holds_its_lanes),
        KEEPER_TEST(a_dead_agent_is_an_outage_only_after_a_second),
        KEEPER_TEST(one_that_hung_is_an_outage_sooner),
        KEEPER_TEST(a_short_restart_is_no_outage),
        KEEPER_TEST(an_agent_that_starts_for_long_is_an_outage_too),
        KEEPER_TEST(an_agent_that_looks_for_long_is_an_outage_too),
        KEEPER_TEST(agents_that_die_one_after_another_are_one_outage),
        KEEPER_TEST(an_agent_whose_lane_ends_but_which_stays_is_condemned),
        KEEPER_TEST(words_unasked_condemn),
        KEEPER_TEST(an_answer_given_twice_condemns),
        KEEPER_TEST(a_strange_hello_condemns),
        KEEPER_TEST(a_newer_offer_takes_the_place_of_one_that_starts),
        KEEPER_TEST(offers_out_of_range_are_closed),
        KEEPER_TEST(words_of_a_failed_look_stay_after_the_agents_end),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
