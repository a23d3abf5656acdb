/* SPDX-License-Identifier: Apache-2.0 */
/* What the rotation does by order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rotation_rig.h"

#include "ring_state.h"

#include <string.h>

static void rotating_by_order_makes_one_and_no_second(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, HOUR_MS, 1000);
    struct ring_report report = rig_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_NONE);
    assert_true(report.active_ms > 0);
    rig_expect_key(1, 8, KEY_PRE_ACTIVE);
    rig_refused(RING_ROTATE, NULL, report.key_id.text);
    assert_int_equal(rig_keys(), 2);
}

static void add_hmac(uint32_t generation, enum key_state state, uint16_t tail)
{
    struct listed_key key = fake_key(generation, state, tail);
    key = fake_key_object(&key, SCHEME_HMAC_DERIVE, 0);
    fake_token_add(&rig.token, &key);
}

static unsigned self_tests(void)
{
    unsigned n = 0;
    pthread_mutex_lock(&rig.lock);
    for (unsigned i = 0; i < rig.n_agents; i++)
        n += fake_agent_seen(rig.agents[i], LANE_SELFTEST);
    pthread_mutex_unlock(&rig.lock);
    return n;
}

static void a_ring_keeps_the_scheme_of_its_newest_kek(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    add_hmac(8, KEY_DEACTIVATED, 2);
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    rig_expect_key(2, 9, KEY_PRE_ACTIVE);
    rig_expect_scheme(2, SCHEME_HMAC_DERIVE);
    assert_int_equal(self_tests(), 0);
}

static void a_configured_scheme_is_that_of_the_next_kek(void **state)
{
    (void)state;
    rig.scheme = SCHEME_AES_GCM;
    add_hmac(7, KEY_ACTIVE, 1);
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    rig_expect_scheme(1, SCHEME_AES_GCM);
    assert_int_equal(self_tests(), 1);
}

static void a_scheme_that_the_token_does_not_bear_makes_no_key(void **state)
{
    (void)state;
    rig.scheme = SCHEME_HMAC_DERIVE;
    rig.fail_op = LANE_SELFTEST;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig_start(NEVER, HOUR_MS, 1000);
    struct ring_report report = rig_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_TOKEN);
    assert_non_null(strstr(report.text, "does not pass for scheme hmac-derive"));
    assert_int_equal(rig_keys(), 1);
}

static void activating_by_order_does_not_wait(void **state)
{
    (void)state;
    struct object_id old = rig_add(6, KEY_PRE_ACTIVE, 1).id;
    struct object_id active = rig_add(7, KEY_ACTIVE, 2).id;
    const struct listed_key next = fake_key_made_now(8, KEY_PRE_ACTIVE); /* due tomorrow */
    const struct object_id nobody = fake_key(1, KEY_ACTIVE, 99).id;
    fake_token_add(&rig.token, &next);
    rig_start(NEVER, 24 * HOUR_MS, 1000);
    rig_refused(RING_ACTIVATE, &old, "superseded");
    rig_refused(RING_ACTIVATE, &active, "is active");
    assert_int_equal(rig_order(RING_ACTIVATE, &nobody).code, ERR_NOT_FOUND);
    assert_int_equal(rig_order(RING_ACTIVATE, &next.id).code, ERR_NONE);
    rig_expect_key(2, 8, KEY_ACTIVE);
}

static void the_active_kek_gets_a_successor_before_it_goes(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_DEACTIVATE, &active).code, ERR_NONE);
    rig_expect_key(0, 7, KEY_DEACTIVATED);
    rig_expect_key(1, 8, KEY_ACTIVE);
    rig_refused(RING_DEACTIVATE, &active, "already");
    assert_int_equal(rig_order(RING_COMPROMISE, &active).code, ERR_NONE);
    rig_expect_key(0, 7, KEY_COMPROMISED);
    rig_refused(RING_DEACTIVATE, &active, "already");
    assert_int_equal(rig_keys(), 2);
}

static void a_compromised_active_kek_is_followed_by_the_one_that_waits(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    assert_int_equal(rig_order(RING_COMPROMISE, &active).code, ERR_NONE);
    rig_expect_key(0, 7, KEY_COMPROMISED);
    rig_expect_key(1, 8, KEY_ACTIVE);
    assert_int_equal(rig_keys(), 2);
}

static void a_successor_that_cannot_be_made_keeps_the_active_kek(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    rig.fail_op = LANE_GENERATE;
    rig_start(NEVER, HOUR_MS, 1000);
    struct ring_report report = rig_order(RING_DEACTIVATE, &active);
    assert_int_equal(report.code, ERR_TOKEN);
    assert_non_null(strstr(report.text, "the token is full"));
    rig_expect_key(0, 7, KEY_ACTIVE);
}

static void a_lost_active_kek_is_never_followed_by_an_older_one(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_ROTATE, NULL, known.key_id.text);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    assert_int_equal(rig_order(RING_ROTATE, &lost).code, ERR_NONE);
    rig_expect_key(0, 7, KEY_ACTIVE);
    rig_expect_key(1, 13, KEY_ACTIVE); /* at once: nobody sealed */
}

/* This host knows KEK 9 of generation 12 as active, and it is not on the token. */
static struct object_id lose_the_known_kek(void)
{
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    return fake_key(12, KEY_ACTIVE, 9).id;
}

/* Another replica has acknowledged the loss, and seals. */
static void a_host_that_misses_a_kek_takes_none_away_that_seals_elsewhere(void **state)
{
    (void)state;
    struct object_id active = rig_add(13, KEY_ACTIVE, 1).id;
    struct object_id lost = lose_the_known_kek();
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_DEACTIVATE, &active, "stays active");
    rig_refused(RING_COMPROMISE, &active, "--acknowledge-loss");
    rig_expect_key(0, 13, KEY_ACTIVE);
    assert_int_equal(rig_keys(), 1);
    assert_int_equal(rig_order(RING_ROTATE, &lost).code, ERR_NONE);
    assert_int_equal(rig_order(RING_COMPROMISE, &active).code, ERR_NONE);
    rig_expect_key(0, 13, KEY_COMPROMISED);
    rig_expect_key(1, 14, KEY_ACTIVE);
}

/* What seals nowhere can be marked at any time. */
static void a_host_that_misses_a_kek_still_takes_away_what_does_not_seal(void **state)
{
    (void)state;
    struct object_id old = rig_add(11, KEY_ACTIVE, 1).id;
    (void)rig_add(13, KEY_ACTIVE, 2);
    (void)lose_the_known_kek();
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_COMPROMISE, &old).code, ERR_NONE);
    rig_expect_key(0, 11, KEY_COMPROMISED);
    rig_expect_key(1, 13, KEY_ACTIVE);
    assert_int_equal(rig_keys(), 2);
}

/* The host may not seal with the older one; others, which never knew the newer one, do. */
static void what_seals_elsewhere_gets_a_successor_by_a_host_that_goes_back_to_none(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    (void)rig_add(12, KEY_DEACTIVATED, 9);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig_start(NEVER, HOUR_MS, 1000);
    struct ring_report report = rig_order(RING_COMPROMISE, &active);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "its successor is active"));
    rig_expect_key(0, 7, KEY_COMPROMISED);
    rig_expect_key(2, 13, KEY_ACTIVE);
}

/* Nor is its successor one that is older: the other replicas would not go back to that. */
static void an_active_kek_that_this_host_refuses_gets_a_newer_one(void **state)
{
    (void)state;
    struct listed_key odd = fake_key(13, KEY_ACTIVE, 1);
    odd.attributes.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
    fake_token_add(&rig.token, &odd);
    struct object_id older = rig_add(10, KEY_PRE_ACTIVE, 2).id;
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_ACTIVATE, &older, "superseded");
    assert_int_equal(rig_order(RING_DEACTIVATE, &odd.id).code, ERR_NONE);
    rig_expect_key(0, 13, KEY_DEACTIVATED);
    rig_expect_key(1, 10, KEY_PRE_ACTIVE);
    rig_expect_key(2, 14, KEY_ACTIVE);
}

/* Another replica activates it between our look and our order: it needs a successor now. */
static void a_kek_that_is_activated_meanwhile_is_not_taken_away_unseen(void **state)
{
    (void)state;
    const struct listed_key next = fake_key_made_now(8, KEY_PRE_ACTIVE);
    (void)rig_add(7, KEY_ACTIVE, 1);
    fake_token_add(&rig.token, &next);
    rig.token.meanwhile = KEY_ACTIVE;
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_DEACTIVATE, &next.id, "has changed");
    rig_expect_key(1, 8, KEY_ACTIVE);
    assert_int_equal(rig_order(RING_DEACTIVATE, &next.id).code, ERR_NONE);
    rig_expect_key(1, 8, KEY_DEACTIVATED);
    rig_expect_key(2, 9, KEY_ACTIVE);
}

/* Another replica has rotated meanwhile: its KEK is the successor. */
static void giving_a_kek_up_makes_none_where_a_newer_one_is_active(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 5, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    rig_start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(5, KEY_ACTIVE, 9).id;
    struct ring_report report = rig_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "the active KEK stays"));
    assert_int_equal(rig_keys(), 1);
}

static void one_of_two_lost_keks_given_up_is_not_enough(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_DEACTIVATED, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    rig_add_canary(5);
    rig_start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    struct ring_report report = rig_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, fake_key_id(5).text));
    assert_int_equal(rig_keys(), 1);
}

/* Other replicas may seal, and must see it first. */
static void a_token_that_is_not_well_here_makes_no_kek_active_too_early(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.unwell = true;
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    rig_expect_key(1, 8, KEY_PRE_ACTIVE);
}

static void a_lost_active_kek_is_followed_by_the_one_that_waits(void **state)
{
    (void)state;
    (void)rig_add(13, KEY_PRE_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    rig_start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    assert_int_equal(rig_order(RING_ROTATE, &lost).code, ERR_NONE);
    rig_expect_key(0, 13, KEY_ACTIVE);
    assert_int_equal(rig_keys(), 1);
}

static void what_is_not_missing_cannot_be_given_up(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    const struct object_id nobody = fake_key(1, KEY_ACTIVE, 99).id;
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_ROTATE, &active, "it is not lost");
    rig_refused(RING_ROTATE, &nobody, "known to be missing");
    assert_int_equal(rig_keys(), 1);
}

static void an_empty_ring_is_not_begun(void **state)
{
    (void)state;
    rig_start(HOUR_MS, SOON_MS, 1000);
    rig_refused(RING_ROTATE, NULL, "p11-kms init");
    assert_int_equal(rig_keys(), 0);
}

static void without_a_maker_the_order_says_why(void **state)
{
    (void)state;
    (void)rig_add(7, KEY_ACTIVE, 1);
    rig.no_maker = "fork failed";
    rig_start(NEVER, HOUR_MS, 1000);
    struct ring_report report = rig_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(report.text, "fork failed"));
}

static void external_keys_are_not_adopted_here(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    rig_start(NEVER, HOUR_MS, 1000);
    rig_refused(RING_ADOPT, &active, "external");
}

/* However old the key, and however often it sealed. */
static void an_external_ring_is_never_changed(void **state)
{
    (void)state;
    keyring_set_external(rig.keyring, 0);
    struct listed_key key = rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, 0, 1000);
    struct ring_report report = rig_order(RING_ADOPT, &key.id);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "is adopted and seals on this host"));
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    assert_string_equal(ring_view_active(view)->key_id.text, report.key_id.text);
    for (unsigned i = 0; i < 2000; i++)
        rotation_sealed(rig.rotation);
    const enum ring_command others[] = {RING_ROTATE, RING_ACTIVATE, RING_DEACTIVATE,
                                        RING_COMPROMISE};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        rig_refused(others[i], others[i] == RING_ROTATE ? NULL : &key.id, "is external");
    struct rotation_status status = rig_settle();
    assert_string_equal(status.blocked, "");
    assert_int_equal(status.rotate_due_ms, 0);
    assert_int_equal(rig_keys(), 1);
    rig_expect_key(0, 7, KEY_ACTIVE);
}

static void a_key_that_does_not_seal_once_adopted_is_told(void **state)
{
    (void)state;
    keyring_set_external(rig.keyring, 0);
    struct listed_key key = rig_add(7, KEY_ACTIVE, 1);
    rig_start(HOUR_MS, 0, 1000);
    (void)rig_add(1, KEY_ACTIVE, 2);
    struct ring_report report = rig_order(RING_ADOPT, &(struct object_id){.len = 3});
    assert_int_equal(report.code, ERR_NOT_FOUND);
    assert_string_equal(report.key_id.text, "k8s.000000");
    const struct key_id wanted = {"k8s.0a"};
    keyring_set_wanted(rig.keyring, &wanted);
    report = rig_order(RING_ADOPT, &key.id);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "does not seal yet: ring.active names KEK k8s.0a"));
}

/* Who looks when the order is carried out must not see the ring of before. */
static void an_order_is_carried_out_when_all_can_see_it(void **state)
{
    (void)state;
    struct object_id active = rig_add(7, KEY_ACTIVE, 1).id;
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_NONE);
    assert_int_equal(rig.published, KEY_PRE_ACTIVE);
    assert_int_equal(rig_order(RING_COMPROMISE, &active).code, ERR_NONE);
    assert_int_equal(rig.published, KEY_COMPROMISED);
    struct object_id next = rig_add(9, KEY_PRE_ACTIVE, 2).id;
    assert_int_equal(rig_order(RING_ACTIVATE, &next).code, ERR_NONE);
    assert_int_equal(rig.published, KEY_ACTIVE);
}

/* Headers of ciphertexts are anybody's who can write to etcd. */
static void what_decrypts_alone_named_keeps_no_stolen_kek_in_use(void **state)
{
    (void)state;
    struct object_id active = rig_add(1, KEY_ACTIVE, 1).id;
    rig.missing = fake_key_id(9);
    rig_start(NEVER, HOUR_MS, 1000);
    assert_int_equal(rig_order(RING_ROTATE, NULL).code, ERR_REFUSED);
    assert_int_equal(rig_order(RING_COMPROMISE, &active).code, ERR_NONE);
    rig_expect_key(0, 1, KEY_COMPROMISED);
    rig_expect_key(1, 2, KEY_ACTIVE);
}

#define ROTATION_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROTATION_TEST(what_decrypts_alone_named_keeps_no_stolen_kek_in_use),
        ROTATION_TEST(rotating_by_order_makes_one_and_no_second),
        ROTATION_TEST(a_ring_keeps_the_scheme_of_its_newest_kek),
        ROTATION_TEST(a_configured_scheme_is_that_of_the_next_kek),
        ROTATION_TEST(a_scheme_that_the_token_does_not_bear_makes_no_key),
        ROTATION_TEST(activating_by_order_does_not_wait),
        ROTATION_TEST(an_order_is_carried_out_when_all_can_see_it),
        ROTATION_TEST(the_active_kek_gets_a_successor_before_it_goes),
        ROTATION_TEST(a_compromised_active_kek_is_followed_by_the_one_that_waits),
        ROTATION_TEST(a_successor_that_cannot_be_made_keeps_the_active_kek),
        ROTATION_TEST(a_lost_active_kek_is_never_followed_by_an_older_one),
        ROTATION_TEST(a_host_that_misses_a_kek_takes_none_away_that_seals_elsewhere),
        ROTATION_TEST(a_host_that_misses_a_kek_still_takes_away_what_does_not_seal),
        ROTATION_TEST(what_seals_elsewhere_gets_a_successor_by_a_host_that_goes_back_to_none),
        ROTATION_TEST(an_active_kek_that_this_host_refuses_gets_a_newer_one),
        ROTATION_TEST(a_kek_that_is_activated_meanwhile_is_not_taken_away_unseen),
        ROTATION_TEST(giving_a_kek_up_makes_none_where_a_newer_one_is_active),
        ROTATION_TEST(one_of_two_lost_keks_given_up_is_not_enough),
        ROTATION_TEST(a_token_that_is_not_well_here_makes_no_kek_active_too_early),
        ROTATION_TEST(a_lost_active_kek_is_followed_by_the_one_that_waits),
        ROTATION_TEST(what_is_not_missing_cannot_be_given_up),
        ROTATION_TEST(an_empty_ring_is_not_begun),
        ROTATION_TEST(without_a_maker_the_order_says_why),
        ROTATION_TEST(external_keys_are_not_adopted_here),
        ROTATION_TEST(an_external_ring_is_never_changed),
        ROTATION_TEST(a_key_that_does_not_seal_once_adopted_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
