/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper, and one agent in another's place. */
#include "pool_jobs.h"
#include "ring_rig.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { ROUNDS = 5 };

static const int64_t soon_ns = INT64_C(20000000000);

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
    return rig_serve_well(&rig, &key, 1);
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

static void forget_word(enum rig_heir what)
{
    pthread_mutex_lock(&rig.lock);
    rig.heir[what] = 0;
    pthread_mutex_unlock(&rig.lock);
}

/* Of the first agent, whose first heir has failed. */
static struct fake_agent *renew_first(void)
{
    forget_word(RIG_WANTED);
    keeper_renew(rig.keeper, "once more");
    rig_wait_heir(&rig, RIG_WANTED, 1);
    return offer_heir();
}

/* Until the keeper has taken what was offered to it so far. */
static void await_turn(struct fake_agent *agent)
{
    unsigned probes = fake_agent_seen(agent, LANE_PROBE);
    keeper_kick(rig.keeper);
    fake_agent_wait_seen(agent, LANE_PROBE, probes + 1);
}

/* An agent that serves and holds a request. */
static struct fake_agent *serve_and_hold(struct test_job *inside)
{
    struct fake_agent *agent = serve();
    fake_agent_rule(agent, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, inside, "inside");
    fake_agent_wait_seen(agent, LANE_OPEN, 1);
    return agent;
}

/* The agent's first heir takes its place and dies as it looks. */
static void lose_heir_in_its_look(void)
{
    struct fake_agent *heir = renew();
    fake_agent_rule(heir, LANE_LIST, FAKE_CLOSE);
    fake_agent_hello(heir);
    rig_wait_heir(&rig, RIG_SERVES, 2);
    keeper_agent_gone(rig.keeper, 2, "killed by signal 11");
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
    struct fake_agent *agent = serve_and_hold(&inside), *heir = renew();
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

/* For longer than an outage is kept quiet. */
static void an_heir_that_looks_for_long_is_no_outage(void **state)
{
    (void)state;
    struct test_job job;
    (void)serve();
    struct fake_agent *heir = renew();
    fake_agent_rule(heir, LANE_LIST, FAKE_HOLD);
    fake_agent_hello(heir);
    fake_agent_wait_seen(heir, LANE_LIST, 1);
    int64_t end_ns = clock_monotonic_ns() + 1500000000;
    while (clock_monotonic_ns() < end_ns) {
        job_submit(rig.pool, &job, "dek");
        job_expect_text(&job, "dek");
    }
    fake_agent_release(heir);
    rig_wait_heir(&rig, RIG_ENDED, 1);
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
    rig_wait_served(&rig, 2);
    assert_int_equal(keks(), 2);
}

/* The agent dies while its heir starts, and a job is submitted between the two; yields the heir.
 * *ret_told: how often the health changed, which is not at all if that was short. */
static struct fake_agent *inherit(struct fake_agent *agent, struct test_job *between,
                                  size_t *ret_told)
{
    const uint64_t dies = rig.generation;
    const size_t told = rig_texts(&rig);
    const unsigned served = rig_served(&rig);
    struct fake_agent *heir = renew();
    fake_agent_die(agent);
    keeper_agent_gone(rig.keeper, dies, "killed by signal 11");
    job_submit(rig.pool, between, "waits");
    fake_agent_hello(heir);
    rig_wait_served(&rig, served + 1);
    while (!job_ended(between))
        (void)poll(NULL, 0, 1);
    *ret_told = rig_texts(&rig) - told;
    return heir;
}

/* On a busy machine it takes so long now and then that it is an outage. */
static void an_heir_inherits_from_an_agent_that_dies(void **state)
{
    (void)state;
    struct test_job job;
    struct fake_agent *agent = serve();
    size_t told = SIZE_MAX;
    unsigned condemned = 0;
    for (unsigned i = 0; i < ROUNDS && told > 0; i++) {
        condemned = rig_condemnations(&rig);
        agent = inherit(agent, &job, &told);
    }
    assert_int_equal(told, 0);
    job_expect_text(&job, "waits");
    assert_int_equal(rig_heir(&rig, RIG_SERVES), 0); /* the monitor knows */
    assert_int_equal(rig_heir(&rig, RIG_ENDED), 0);
    assert_int_equal(rig_condemnations(&rig), condemned);
}

/* The monitor need not say so: it may be that nothing ends that agent. */
static void an_heir_inherits_from_an_agent_that_does_not_end(void **state)
{
    (void)state;
    struct fake_agent *agent = serve(), *heir = renew();
    int64_t began = clock_monotonic_ns();
    await_turn(agent);
    fake_agent_die(agent);
    rig_wait_condemned(&rig, 1);
    fake_agent_hello(heir);
    fake_agent_wait_seen(heir, LANE_LIST, 1);
    assert_true(clock_monotonic_ns() - began < soon_ns); /* not when it would be given up */
}

/* The agent is nobody's any more, and serves until the next one has looked. */
static void an_heir_that_dies_in_its_first_look_loses_nothing(void **state)
{
    (void)state;
    struct test_job inside, meanwhile;
    struct fake_agent *agent = serve_and_hold(&inside);
    lose_heir_in_its_look();
    job_submit(rig.pool, &meanwhile, "meanwhile");
    fake_agent_wait_seen(agent, LANE_OPEN, 2);
    assert_int_equal(rig_heir(&rig, RIG_ENDED), 0);
    fake_agent_hello(offer_heir());
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
    job_expect_text(&meanwhile, "meanwhile");
    rig_wait_heir(&rig, RIG_ENDED, 1);
    assert_int_equal(keks(), 2);
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void after_that_it_leaves_where_there_is_no_room_for_two(void **state)
{
    (void)state;
    struct test_job inside;
    (void)serve_and_hold(&inside);
    lose_heir_in_its_look();
    struct fake_agent *next = offer_heir();
    fake_agent_fail(next, LANE_HELLO, ERR_EXHAUSTED, REMEDY_HUMAN, "too many sessions");
    fake_agent_hello(next);
    rig_wait_heir(&rig, RIG_ENDED, 1);
    job_expect(&inside, ERR_UNAVAILABLE);
    (void)rig_wait_text(&rig, "too many sessions");
    keeper_agent_gone(rig.keeper, 3, "exited with code 1");
    fake_agent_hello(offer_heir());
    (void)rig_wait_ok(&rig);
}

/* It was waited for in vain, and nobody told the monitor. */
static void a_late_heir_does_not_evict_the_agent(void **state)
{
    (void)state;
    struct test_job inside;
    struct fake_agent *agent = serve_and_hold(&inside);
    fake_agent_hello(offer_heir());
    rig_wait_heir(&rig, RIG_SERVES, 2);
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
    rig_wait_heir(&rig, RIG_ENDED, 1);
    assert_int_equal(rig_texts(&rig), 1);
}

static void a_newer_heir_is_taken_in_an_older_ones_place(void **state)
{
    (void)state;
    struct test_job inside;
    struct fake_agent *agent = serve_and_hold(&inside);
    (void)renew();
    await_turn(agent);
    struct fake_agent *newer = offer_heir();
    rig_wait_heir(&rig, RIG_ENDED, 2);
    fake_agent_hello(newer);
    rig_wait_heir(&rig, RIG_SERVES, 3);
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
}

static void an_heir_is_sent_away_while_an_agent_leaves(void **state)
{
    (void)state;
    struct test_job inside, job;
    struct fake_agent *agent = serve_and_hold(&inside);
    fake_agent_hello(renew());
    rig_wait_looks(&rig, 2);
    (void)offer_heir();
    rig_wait_heir(&rig, RIG_ENDED, 3);
    forget_word(RIG_ENDED);
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
    rig_wait_heir(&rig, RIG_ENDED, 1);
    job_submit(rig.pool, &job, "dek");
    job_expect_text(&job, "dek");
    assert_int_equal(rig_heir(&rig, RIG_SERVES), 2);
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

static void wait_ms(int64_t ms)
{
    int64_t end_ns = clock_monotonic_ns() + ms * 1000000;
    while (clock_monotonic_ns() < end_ns)
        (void)poll(NULL, 0, 20);
}

/* How long it is on its way counts as any other agent's start. */
static void a_slow_heir_that_misses_the_active_kek_is_not_soon_replaced(void **state)
{
    (void)state;
    (void)serve();
    keeper_renew(rig.keeper, "a test wants it");
    rig_wait_heir(&rig, RIG_WANTED, 1);
    struct fake_agent *heir = rig_agent(&rig, NULL, 0);
    wait_ms(500);
    rig_offer(&rig);
    int64_t up_ns = clock_monotonic_ns();
    fake_agent_hello(heir);
    assert_true(rig_wait_text(&rig, "is not on the token any more").failed);
    rig_wait_condemned(&rig, 2);
    assert_in_range((clock_monotonic_ns() - up_ns) / 1000000, 4000, 60000);
}

static int64_t busy_ns(void)
{
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time), 0);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

/* The keeper probes and waits, until there is room for another. */
static void a_wanted_look_waits_for_the_end_of_the_agent_before(void **state)
{
    (void)state;
    struct test_job inside;
    struct fake_agent *agent = serve();
    keyring_set_needs_heirs(rig.keyring);
    fake_agent_rule(agent, LANE_OPEN, FAKE_HOLD);
    job_submit(rig.pool, &inside, "inside");
    fake_agent_wait_seen(agent, LANE_OPEN, 1);
    struct fake_agent *heir = renew();
    fake_agent_hello(heir);
    rig_wait_looks(&rig, 2);
    (void)keeper_want_look(rig.keeper);
    wait_ms(3200); /* an heir may be asked for each 3 s */
    keeper_retune(rig.keeper, 60000, 200, NEVER_MS);
    unsigned probes = fake_agent_seen(heir, LANE_PROBE);
    int64_t start_ns = clock_monotonic_ns(), busy = busy_ns(), give_up_ns = start_ns + 20000000000;
    while (fake_agent_seen(heir, LANE_PROBE) < probes + 10 && clock_monotonic_ns() < give_up_ns)
        (void)poll(NULL, 0, 20);
    assert_in_range(fake_agent_seen(heir, LANE_PROBE), probes + 10, UINT32_MAX);
    assert_in_range(busy_ns() - busy, 0, (clock_monotonic_ns() - start_ns) / 8);
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 1);
    fake_agent_release(agent);
    job_expect_text(&inside, "inside");
    rig_wait_heir(&rig, RIG_WANTED, 2);
}

static void without_an_agent_nobody_needs_an_heir(void **state)
{
    (void)state;
    keeper_renew(rig.keeper, "a test wants it");
    (void)serve();
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 0);
}

/* Until the keeper has heard it. */
static void tell_wear(struct fake_agent *agent, uint32_t memory_mib, uint64_t operations)
{
    fake_agent_wear(agent, memory_mib, operations);
    await_turn(agent);
    await_turn(agent);
}

static void an_agent_that_has_grown_gets_an_heir(void **state)
{
    (void)state;
    struct fake_agent *agent = serve();
    tell_wear(agent, 100, 1);
    tell_wear(agent, 611, 9999999); /* much for five minutes' time, but not yet at once */
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 0);
    fake_agent_wear(agent, 612, 9999999);
    keeper_kick(rig.keeper);
    rig_wait_heir(&rig, RIG_WANTED, 1);
    struct fake_agent *heir = offer_heir();
    fake_agent_wear(heir, 700, 1); /* what it begins with */
    fake_agent_hello(heir);
    rig_wait_heir(&rig, RIG_ENDED, 1);
    forget_word(RIG_WANTED);
    tell_wear(heir, 1300, 1); /* not twice in a minute */
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 0);
    assert_int_equal(rig_texts(&rig), 1);
}

static void an_agent_that_has_worked_for_long_gets_an_heir(void **state)
{
    (void)state;
    struct fake_agent *agent = serve();
    fake_agent_wear(agent, 100, 10000000);
    keeper_kick(rig.keeper);
    rig_wait_heir(&rig, RIG_WANTED, 1);
}

/* Somebody would have to come to the token. */
static void where_a_person_gives_the_pin_it_stays(void **state)
{
    (void)state;
    struct fake_agent *agent = serve();
    keyring_set_attended(rig.keyring);
    tell_wear(agent, 100, 10000000);
    tell_wear(agent, 9100, 10000000);
    assert_int_equal(rig_heir(&rig, RIG_WANTED), 0);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_lost_when_an_heir_takes_the_agents_place),
        TEST(an_agent_with_nothing_in_it_goes_at_once),
        TEST(an_heir_that_looks_for_long_is_no_outage),
        TEST(an_heir_that_dies_leaves_the_agent_to_serve),
        TEST(an_heir_that_cannot_log_in_leaves_the_agent_to_serve),
        TEST(where_there_is_no_room_for_two_the_agent_goes_first),
        TEST(an_heir_inherits_from_an_agent_that_dies),
        TEST(an_heir_inherits_from_an_agent_that_does_not_end),
        TEST(an_heir_that_dies_in_its_first_look_loses_nothing),
        TEST(after_that_it_leaves_where_there_is_no_room_for_two),
        TEST(a_late_heir_does_not_evict_the_agent),
        TEST(a_newer_heir_is_taken_in_an_older_ones_place),
        TEST(an_heir_is_sent_away_while_an_agent_leaves),
        TEST(another_wish_meanwhile_is_not_forgotten),
        TEST(a_slow_heir_that_misses_the_active_kek_is_not_soon_replaced),
        TEST(a_wanted_look_waits_for_the_end_of_the_agent_before),
        TEST(without_an_agent_nobody_needs_an_heir),
        TEST(an_agent_that_has_grown_gets_an_heir),
        TEST(an_agent_that_has_worked_for_long_gets_an_heir),
        TEST(where_a_person_gives_the_pin_it_stays),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
