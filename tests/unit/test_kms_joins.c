/* SPDX-License-Identifier: Apache-2.0 */
/* Equal Decrypts of several connections: none waits behind what another one has asked for besides,
 * or is refused for it. */
#include "kms_calls.h"
#include "pool_jobs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct kms_rig rig;

static int setup(void **state)
{
    (void)state;
    kms_rig_make(&rig);
    kms_rig_serve(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kms_rig_end(&rig);
    return 0;
}

static void decrypt_on(uint64_t connection, struct call *call, const char *text)
{
    rig.connection = connection;
    call_decrypt(&rig, call, 1, text);
}

enum { STORM = LANE_QUEUE_MAX };

/* All that may wait, of one client. */
static void storm_start(struct call *storm)
{
    for (size_t i = 0; i < STORM; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "dek %zu", i);
        decrypt_on(1, &storm[i], text);
    }
}

static void storm_end(struct call *storm)
{
    for (size_t i = 0; i < STORM; i++)
        call_wait(&storm[i]);
}

static unsigned opened_before;

static void count_opened(struct call *call)
{
    (void)call;
    opened_before = fake_agent_seen(rig.agent, LANE_OPEN);
}

static void who_asks_once_does_not_wait_behind_who_asked_the_same_and_more(void **state)
{
    (void)state;
    static struct call storm[STORM], one;
    struct call fillers[RIG_LANES];
    kms_rig_occupy(&rig, fillers);
    storm_start(storm);
    decrypt_on(2, &one, "dek 500");
    one.then = count_opened;
    kms_rig_release(&rig, fillers);
    call_expect_text(&one, "dek 500");
    assert_in_range(opened_before, 0, STORM / 8);
    storm_end(storm);
}

/* The youngest of whoever has most waiting gives way to a third one. */
static void who_asks_once_is_not_refused_for_who_asked_the_same_and_more(void **state)
{
    (void)state;
    static struct call storm[STORM], one, third;
    struct call fillers[RIG_LANES];
    kms_rig_occupy(&rig, fillers);
    storm_start(storm);
    decrypt_on(2, &one, "dek 511");
    decrypt_on(3, &third, "another");
    kms_rig_release(&rig, fillers);
    call_expect_text(&one, "dek 511");
    call_expect_text(&third, "another");
    storm_end(storm);
}

/* Then nobody waits behind anything else. */
static void what_the_token_has_is_asked_once_for_all(void **state)
{
    (void)state;
    enum { CLIENTS = 20 };
    struct call calls[CLIENTS];
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    for (uint64_t i = 0; i < CLIENTS; i++)
        decrypt_on(1 + i, &calls[i], "dek");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < CLIENTS; i++)
        call_expect_text(&calls[i], "dek");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 1);
}

#define KMS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KMS_TEST(who_asks_once_does_not_wait_behind_who_asked_the_same_and_more),
        KMS_TEST(who_asks_once_is_not_refused_for_who_asked_the_same_and_more),
        KMS_TEST(what_the_token_has_is_asked_once_for_all),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
