/* SPDX-License-Identifier: Apache-2.0 */
/* What the rotation does by itself, and how it takes failures, other replicas and crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rotation_rig.h"

#include "ring_state.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- by itself ------------------------------------------------------------------------------ */

static void an_old_kek_is_followed_and_retired(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    rig_expect_key(0, 7, KEY_DEACTIVATED);
    rig_expect_key(1, 8, KEY_ACTIVE);
    (void)rig_settle();
    assert_int_equal(rig_keys(), 2);
}

static void a_new_kek_waits_and_is_told(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, HOUR_MS, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1);
    struct rotation_status status = rig_settle();
    assert_true(status.pending.text[0] != '\0');
    assert_true(status.activate_due_ms > 0);
    rig_expect_key(0, 7, KEY_ACTIVE);
}

static void never_means_never(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, SOON_MS, 1000);
    struct rotation_status status = rig_settle();
    assert_int_equal(status.rotate_due_ms, 0);
    assert_int_equal(rig_keys(), 1);
}

static struct listed_key made_weeks_ahead(uint32_t generation, enum key_state state)
{
    struct listed_key key = fake_key_made_now(generation, state);
    key.id.data[1]++; /* 2^32 ms of the UUID's time */
    return key;
}

/* By a clock that is right again. */
static void an_active_kek_dated_ahead_is_told_until_it_is_rotated(void **state)
{
    (void)state;
    const struct listed_key ahead = made_weeks_ahead(7, KEY_ACTIVE);
    fake_token_add(&rig.token, &ahead);
    rig_start(24 * HOUR_MS, SOON_MS, 1000);
    struct rotation_status status = rig_settle();
    assert_non_null(strstr(status.blocked, "`p11-kms keys rotate`"));
    assert_int_equal(rig_keys(), 1);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    rig_expect_key(1, 8, KEY_ACTIVE);
    assert_string_equal(rig_settle().blocked, "");
}

static void enough_seals_bring_a_successor(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, SOON_MS, 1000);
    (void)rig_settle();
    for (int i = 0; i < 999; i++)
        rotation_sealed(rig.rotation);
    assert_int_equal(rig_settle().seals, 999);
    assert_int_equal(rig_keys(), 1);
    rotation_sealed(rig.rotation);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    rig_expect_key(1, 8, KEY_ACTIVE);
}

static void a_lost_count_brings_a_successor(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(1), 7, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig_start(NEVER, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
}

static void a_count_outlives_the_daemon(void **state)
{
    (void)state;
    uint64_t seals = 0;
    const struct key_id key_id = fake_key_id(1);
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, SOON_MS, 1000000);
    (void)rig_settle();
    rotation_sealed(rig.rotation);
    (void)rig_settle();
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &key_id, &seals)));
    assert_true(seals > 1); /* reserved, should it crash now */
    rotation_sealed(rig.rotation);
    rotation_free(rig.rotation);
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &key_id, &seals)));
    assert_int_equal(seals, 2);
    rig_start(NEVER, SOON_MS, 1000000);
    assert_int_equal(rig_settle().seals, 2);
    assert_int_equal(rig_keys(), 1);
}

/* A directory that is not empty is in the file's place: as good as a full disk. */
static void block_the_count(void)
{
    char command[160];
    (void)snprintf(command, sizeof command,
                   "rm -f %s/ring-k8s.seals && mkdir -p %s/ring-k8s.seals/full", rig.dir, rig.dir);
    assert_int_equal(system(command), 0);
}

static void a_full_disk_brings_one_successor_and_no_more(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, 0, 1000);
    (void)rig_settle();
    for (int i = 0; i < 999; i++)
        rotation_sealed(rig.rotation);
    (void)rig_settle();
    block_the_count();
    rotation_sealed(rig.rotation);
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    pthread_mutex_lock(&rig.lock);
    unsigned bad = rig.bad_notes;
    pthread_mutex_unlock(&rig.lock);
    assert_int_equal(rig_settle().seals, 0);
    (void)rig_settle();
    assert_int_equal(rig_keys(), 2);
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.bad_notes <= bad + 1); /* told once, not at every turn */
    pthread_mutex_unlock(&rig.lock);
}

static void the_end_does_not_take_a_count_away_that_the_keeper_has_begun(void **state)
{
    (void)state;
    uint64_t seals = 0;
    const struct ring_memory next = {fake_key_id(2), 8, false};
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, SOON_MS, 1000);
    (void)rig_settle();
    assert_false(err_is(ring_state_set_seals(rig.dir, "k8s", &next.key_id, 0)));
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &next)));
    rotation_free(rig.rotation);
    rig.rotation = NULL;
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &next.key_id, &seals)));
}

static void what_another_replica_has_made_is_not_made_again(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.before = fake_key_made_now(8, KEY_PRE_ACTIVE);
    rig_start(HOUR_MS, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    assert_int_equal(rig_keys(), 2);
    rig_expect_key(1, 8, KEY_ACTIVE);
}

static void what_only_a_new_agent_sees_is_seen_in_the_end(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.stale = true;
    rig_start(HOUR_MS, 0, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    assert_int_equal(rig_keys(), 2);
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.n_agents <= 8);
    pthread_mutex_unlock(&rig.lock);
}

static void a_token_that_fails_is_not_asked_in_a_row(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.fail_op = LANE_GENERATE;
    rig_start(HOUR_MS, SOON_MS, 1000);
    pthread_mutex_lock(&rig.lock);
    while (rig.bad_notes == 0)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    assert_non_null(strstr(rig_settle().failed, "the token is full"));
    pthread_mutex_lock(&rig.lock);
    unsigned first = rig.n_agents;
    rig.fail_op = 0;
    pthread_mutex_unlock(&rig.lock);
    assert_true(first <= 1 + 2 * 2); /* one step, and the orders of settle */
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    assert_string_equal(rig_settle().failed, "");
}

static void a_kek_with_odd_attributes_is_neither_used_nor_replaced(void **state)
{
    (void)state;
    struct listed_key keys[TOKEN_KEYS_MAX];
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.token.odd = ATTR_BIT(ATTR_EXTRACTABLE);
    rig_start(HOUR_MS, 0, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1);
    assert_non_null(strstr(rig_settle().blocked, "EXTRACTABLE"));
    assert_int_equal(rig_keys(), 2);
    rig.token.odd = 0;
    (void)fake_token_list(&rig.token, keys);
    assert_int_equal(rig_order(RING_DEACTIVATE, &keys[1].id).code, ERR_NONE);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    rig_expect_key(2, 9, KEY_ACTIVE);
}

/* What is published misses a KEK, whatever the keeper's agent is asked. */
static void start_missing(uint16_t tail)
{
    (void)rig_add(1, KEY_ACTIVE, 1);
    rig.missing = fake_key_id(tail);
    rig.stale = true;
    rig_start(NEVER, HOUR_MS, UINT64_MAX);
    rotation_looked(rig.rotation);
}

static void a_missing_kek_is_sought_by_a_fresh_agent(void **state)
{
    (void)state;
    (void)rig_add(1, KEY_DEACTIVATED, 5);
    start_missing(5);
    pthread_mutex_lock(&rig.lock);
    while (rig.stale)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
}

static void a_kek_that_stays_missing_costs_no_agent(void **state)
{
    (void)state;
    start_missing(5);
    pthread_mutex_lock(&rig.lock);
    while (rig.n_agents == 0)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    (void)rig_settle(); /* its two orders look as well */
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.stale);
    assert_in_range(rig.n_agents, 3, 4); /* the fourth where all this takes three seconds */
    pthread_mutex_unlock(&rig.lock);
}

/* Nobody is asked for a PIN every few seconds. */
static void a_missing_kek_is_not_sought_where_somebody_gives_the_pin(void **state)
{
    (void)state;
    rig.attended = true;
    start_missing(5);
    (void)rig_settle();
    pthread_mutex_lock(&rig.lock);
    assert_int_equal(rig.n_agents, 2); /* of the two orders */
    pthread_mutex_unlock(&rig.lock);
}

static void assert_nobody_was_asked_for_a_pin(void)
{
    pthread_mutex_lock(&rig.lock);
    bool stale = rig.stale;
    pthread_mutex_unlock(&rig.lock);
    assert_true(stale);
}

/* Nor because the agent that serves does not see what was ordered, */
static void no_fresh_agent_looks_for_an_order_where_somebody_gives_the_pin(void **state)
{
    (void)state;
    (void)rig_add(1, KEY_ACTIVE, 1);
    rig.attended = rig.stale = true;
    rig_start(NEVER, HOUR_MS, UINT64_MAX);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    assert_nobody_was_asked_for_a_pin();
}

/* or what a rotation has made. */
static void no_fresh_agent_looks_for_a_rotation_where_somebody_gives_the_pin(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.attended = rig.stale = true;
    rig_start(HOUR_MS, HOUR_MS, 1000);
    pthread_mutex_lock(&rig.lock);
    while (rig.n_agents < 4) /* one makes it, one opens its canary, two find it made */
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    (void)rig_settle();
    assert_nobody_was_asked_for_a_pin();
}

static void nothing_is_made_while_a_kek_is_missing(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.missing = fake_key_id(5);
    rig_start(HOUR_MS, SOON_MS, 1000);
    assert_non_null(strstr(rig_settle().blocked, fake_key_id(5).text));
    rig_refused(RING_ROTATE, NULL, "--acknowledge-loss");
    assert_int_equal(rig_keys(), 1);
    struct object_id lost = fake_key(1, KEY_ACTIVE, 5).id;
    struct ring_report report = rig_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_string_equal(rig.forgotten.text, fake_key_id(5).text);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2); /* by age, now that nothing is in the way */
}

/* The token has lost it since the keeper looked. */
static void nothing_is_made_when_the_maker_itself_misses_a_kek(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_add_canary(5);
    rig_start(HOUR_MS, SOON_MS, 1000);
    (void)rig_settle();
    rig_refused(RING_ROTATE, NULL, fake_key_id(5).text);
    assert_int_equal(rig_keys(), 1);
}

static void nothing_is_made_on_a_token_that_is_not_well(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.unwell = true;
    rig_start(HOUR_MS, SOON_MS, 1000);
    assert_non_null(strstr(rig_settle().blocked, "away"));
    assert_int_equal(rig_keys(), 1);
}

/* --- by order ------------------------------------------------------------------------------- */

static void a_maker_that_hangs_does_not_hold_up_the_end(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, HOUR_MS, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1); /* teardown stops in the middle of the proof */
}

static void a_maker_that_nobody_waits_for_any_more_is_ended(void **state)
{
    (void)state;
    int ends[2];
    uint8_t packet[8];
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.silent = true;
    rig_start(HOUR_MS, HOUR_MS, 1000);
    pthread_mutex_lock(&rig.lock);
    while (rig.wanted == 0)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    rotation_stop(rig.rotation);
    assert_int_equal(rig.ended, rig.wanted);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    rotation_offer(rig.rotation, rig.wanted, ends[1]); /* too late */
    assert_int_equal(recv(ends[0], packet, sizeof packet, MSG_DONTWAIT), 0);
    (void)close(ends[0]);
}

/* The keeper outlives it. */
static void a_stopped_rotation_takes_calls_and_refuses_orders(void **state)
{
    (void)state;
    struct rotation_status status;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, HOUR_MS, 1000);
    rotation_stop(rig.rotation);
    rotation_looked(rig.rotation);
    rotation_sealed(rig.rotation);
    rotation_status(rig.rotation, &status);
    struct ring_report report = rig_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(report.text, "stops"));
}

#define ROTATION_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROTATION_TEST(an_old_kek_is_followed_and_retired),
        ROTATION_TEST(a_new_kek_waits_and_is_told),
        ROTATION_TEST(never_means_never),
        ROTATION_TEST(an_active_kek_dated_ahead_is_told_until_it_is_rotated),
        ROTATION_TEST(enough_seals_bring_a_successor),
        ROTATION_TEST(a_lost_count_brings_a_successor),
        ROTATION_TEST(a_count_outlives_the_daemon),
        ROTATION_TEST(a_full_disk_brings_one_successor_and_no_more),
        ROTATION_TEST(the_end_does_not_take_a_count_away_that_the_keeper_has_begun),
        ROTATION_TEST(what_another_replica_has_made_is_not_made_again),
        ROTATION_TEST(what_only_a_new_agent_sees_is_seen_in_the_end),
        ROTATION_TEST(a_token_that_fails_is_not_asked_in_a_row),
        ROTATION_TEST(a_kek_with_odd_attributes_is_neither_used_nor_replaced),
        ROTATION_TEST(a_missing_kek_is_sought_by_a_fresh_agent),
        ROTATION_TEST(a_kek_that_stays_missing_costs_no_agent),
        ROTATION_TEST(a_missing_kek_is_not_sought_where_somebody_gives_the_pin),
        ROTATION_TEST(no_fresh_agent_looks_for_an_order_where_somebody_gives_the_pin),
        ROTATION_TEST(no_fresh_agent_looks_for_a_rotation_where_somebody_gives_the_pin),
        ROTATION_TEST(nothing_is_made_while_a_kek_is_missing),
        ROTATION_TEST(nothing_is_made_when_the_maker_itself_misses_a_kek),
        ROTATION_TEST(nothing_is_made_on_a_token_that_is_not_well),
        ROTATION_TEST(a_maker_that_hangs_does_not_hold_up_the_end),
        ROTATION_TEST(a_maker_that_nobody_waits_for_any_more_is_ended),
        ROTATION_TEST(a_stopped_rotation_takes_calls_and_refuses_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
