/* SPDX-License-Identifier: Apache-2.0 */
/* What health is told from, and why agents were started. */
#include "rpc_runtime.h"
#include "text.h"
#include "vitals.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct vitals vitals;

static int set_up(void **state)
{
    struct rpc_poller *poller = NULL;
    (void)state;
    memset(&vitals, 0, sizeof vitals);
    if (err_is(keyring_new("k8s", &vitals.keyring)) || err_is(rpc_poller_new(&poller)))
        return -1;
    vitals.poller = poller;
    vitals_beat(&vitals);
    return 0;
}

static int tear_down(void **state)
{
    union {
        const struct rpc_poller *constant;
        struct rpc_poller *plain;
    } poller = {.constant = vitals.poller};
    (void)state;
    keyring_free(vitals.keyring);
    rpc_poller_free(poller.plain);
    return 0;
}

static void publish(bool ok, const char *text)
{
    struct health health = {.ok = ok};
    (void)snprintf(health.text, sizeof health.text, "%s", text);
    keyring_publish(vitals.keyring, NULL, &health);
}

static void run_poller(void)
{
    union {
        const struct rpc_poller *constant;
        struct rpc_poller *plain;
    } poller = {.constant = vitals.poller};
    assert_false(err_is(rpc_poller_run(poller.plain)));
}

static void a_token_that_is_away_is_no_death(void **state)
{
    (void)state;
    struct vitals_check checks[VITALS_CHECKS];
    run_poller();
    publish(true, "ok");
    assert_true(vitals_alive(&vitals));
    assert_true(vitals_ready(&vitals));
    publish(false, "the token is away");
    assert_true(vitals_alive(&vitals));
    assert_false(vitals_ready(&vitals));
    vitals_check(&vitals, checks);
    assert_string_equal(checks[2].text, "the token is away");
    assert_true(checks[2].for_ready);
}

static void a_main_loop_that_stands_still_is_dead(void **state)
{
    (void)state;
    struct vitals_check checks[VITALS_CHECKS];
    run_poller();
    publish(true, "ok");
    atomic_store(&vitals.beat_ns, clock_monotonic_ns() - VITALS_LATE_MS * INT64_C(1000000));
    assert_false(vitals_alive(&vitals));
    assert_false(vitals_ready(&vitals));
    vitals_check(&vitals, checks);
    assert_false(checks[0].ok);
    assert_non_null(strstr(checks[0].text, "has not moved for 1")); /* 10 s, or a little more */
    vitals_beat(&vitals);
    assert_true(vitals_alive(&vitals));
}

/* This poller never ran. */
static void a_polling_thread_that_stands_still_is_dead(void **state)
{
    (void)state;
    publish(true, "ok");
    assert_false(vitals_alive(&vitals));
    assert_false(vitals_ready(&vitals));
}

static uint64_t starts(enum agent_cause cause)
{
    return atomic_load(&vitals.agent_starts[cause]);
}

static void an_agent_replaces(uint64_t generation, enum control_gone gone, enum agent_cause cause)
{
    uint64_t before = starts(cause);
    vitals_agent_gone(&vitals, generation, gone);
    vitals_agent_started(&vitals, false);
    assert_int_equal(starts(cause), before + 1);
}

static void agents_are_started_for_a_reason(void **state)
{
    static const enum agent_cause causes[] = {[CONDEMN_TIMEOUT] = AGENT_HUNG,
                                              [CONDEMN_PROTOCOL] = AGENT_PROTOCOL,
                                              [CONDEMN_SICK] = AGENT_SICK,
                                              [CONDEMN_RENEW] = AGENT_RENEWED};
    uint64_t generation = 1, all = 0;
    (void)state;
    vitals_agent_started(&vitals, false);
    assert_int_equal(starts(AGENT_FIRST), 1);
    an_agent_replaces(generation++, GONE_EXITED, AGENT_EXITED);
    an_agent_replaces(generation++, GONE_KILLED, AGENT_KILLED);
    for (int reason = CONDEMN_TIMEOUT; reason < CONDEMN_REASONS; reason++) {
        vitals_condemned(&vitals, generation, (enum control_reason)reason);
        an_agent_replaces(generation++, GONE_CONDEMNED, causes[reason]);
    }
    vitals_agent_started(&vitals, true);
    assert_int_equal(starts(AGENT_MAKER), 1);
    for (int i = 0; i < AGENT_CAUSES; i++)
        all += starts((enum agent_cause)i);
    assert_int_equal(all, 8);
}

/* Pool and keeper both condemn an agent that hangs: the pool first, which knows. */
static void the_first_reason_counts(void **state)
{
    (void)state;
    vitals_condemned(&vitals, 3, CONDEMN_TIMEOUT);
    vitals_condemned(&vitals, 3, CONDEMN_PROTOCOL);
    vitals_condemned(&vitals, 2, CONDEMN_SICK);
    an_agent_replaces(3, GONE_CONDEMNED, AGENT_HUNG);
    /* It was condemned, and died of something else before. */
    vitals_condemned(&vitals, 4, CONDEMN_TIMEOUT);
    an_agent_replaces(4, GONE_KILLED, AGENT_KILLED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_that_is_away_is_no_death),
        TEST(a_main_loop_that_stands_still_is_dead),
        TEST(a_polling_thread_that_stands_still_is_dead),
        TEST(agents_are_started_for_a_reason),
        TEST(the_first_reason_counts),
    };
    rpc_runtime_start(NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
