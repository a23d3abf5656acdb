/* SPDX-License-Identifier: Apache-2.0 */
/* The KMS service under way: sharing, unknown KEKs, errors of the token, restarts and outages. */
#include "kms_calls.h"
#include "pool_jobs.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { CALLS = 20, ROUNDS = 5 };

static struct kms_rig rig;

static int setup_bare(void **state)
{
    (void)state;
    kms_rig_make(&rig);
    return 0;
}

static int setup(void **state)
{
    (void)setup_bare(state);
    kms_rig_serve(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kms_rig_end(&rig);
    return 0;
}

static int64_t ns_in(int64_t ms)
{
    return clock_monotonic_ns() + ms * 1000000;
}

static void wait_until(int64_t ns)
{
    while (clock_monotonic_ns() < ns)
        (void)poll(NULL, 0, 20);
}

/* Time must pass until another look is allowed. */
static void wait_until_a_look_is_due(void)
{
    wait_until(ns_in(LOOK_AGAIN_MS + 50));
}

/* --- sharing ----------------------------------------------------------------------------- */

static void equal_decrypts_are_one_request(void **state)
{
    (void)state;
    struct call calls[CALLS], other;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    for (size_t i = 0; i < CALLS; i++)
        call_decrypt(&rig, &calls[i], 1, "dek");
    call_decrypt(&rig, &other, 1, "another");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 2);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < CALLS; i++)
        call_expect_text(&calls[i], "dek");
    call_expect_text(&other, "another");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 2);
    call_decrypt(&rig, &other, 1, "dek"); /* what has ended is not shared */
    call_expect_text(&other, "dek");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 3);
}

static void families_are_not_shared(void **state)
{
    (void)state;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    struct call v1, v2;
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    size_t len = fake_envelope(FAMILY_V1, &key_id, "dek", envelope);
    call_decrypt_bytes(&rig, &v1, FAMILY_V1, bytes_of(envelope, len), NULL);
    call_decrypt(&rig, &v2, 1, "dek");
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 2);
    fake_agent_release(rig.agent);
    call_expect_text(&v1, "dek");
    call_expect_text(&v2, "dek");
}

static void encrypts_are_never_shared(void **state)
{
    (void)state;
    struct call calls[2];
    for (size_t i = 0; i < 2; i++)
        call_encrypt(&rig, &calls[i], FAMILY_V2, bytes_of_string("dek"));
    for (size_t i = 0; i < 2; i++)
        call_expect(&calls[i], ERR_NONE, "");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_SEAL), 2);
}

static void the_others_are_answered_though_the_first_cancels(void **state)
{
    (void)state;
    struct call fillers[RIG_LANES], first, second;
    kms_rig_occupy(&rig, fillers);
    call_decrypt(&rig, &first, 1, "dek"); /* waits for a lane */
    call_decrypt(&rig, &second, 1, "dek");
    atomic_store(&first.cancelled, true);
    kms_rig_release(&rig, fillers);
    call_expect_text(&second, "dek");
    call_expect_text(&first, "dek");
}

static void all_cancelled_is_cancelled_and_joined_no_more(void **state)
{
    (void)state;
    struct call fillers[RIG_LANES], gone[CALLS], late;
    kms_rig_occupy(&rig, fillers);
    for (size_t i = 0; i < CALLS; i++)
        call_decrypt(&rig, &gone[i], 1, "dek");
    for (size_t i = 0; i < CALLS; i++)
        atomic_store(&gone[i].cancelled, true);
    for (size_t i = 0; i < CALLS; i++)
        call_expect(&gone[i], ERR_CANCELLED, "");
    call_decrypt(&rig, &late, 1, "dek");
    kms_rig_release(&rig, fillers);
    call_expect_text(&late, "dek");
}

/* Its own deadline ends a wait, and nobody else's. */
static void a_decrypt_goes_on_while_one_client_has_time(void **state)
{
    (void)state;
    struct call fillers[RIG_LANES], hasty, patient, alone;
    kms_rig_occupy(&rig, fillers);
    int64_t soon = ns_in(500); /* time enough for the others to come */
    call_decrypt_until(&rig, &hasty, "dek", soon);
    call_decrypt(&rig, &patient, 1, "dek");
    call_decrypt_until(&rig, &alone, "another dek", soon);
    wait_until(soon);
    kms_rig_release(&rig, fillers);
    call_expect_text(&patient, "dek");
    call_expect_text(&hasty, "dek");
    call_expect(&alone, ERR_CANCELLED, "");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 1);
}

static unsigned opened_before;

static void count_opened(struct call *call)
{
    (void)call;
    opened_before = fake_agent_seen(rig.agent, LANE_OPEN);
}

/* Both of one client, as kube-apiserver's are when it starts. */
static void an_encrypt_does_not_wait_behind_a_storm_of_decrypts(void **state)
{
    (void)state;
    enum { STORM = 100 };
    static struct call storm[STORM], sealing;
    struct call fillers[RIG_LANES];
    kms_rig_occupy(&rig, fillers);
    for (size_t i = 0; i < STORM; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "dek %zu", i);
        call_decrypt(&rig, &storm[i], 1, text);
    }
    call_encrypt(&rig, &sealing, FAMILY_V2, bytes_of_string("dek"));
    sealing.then = count_opened;
    kms_rig_release(&rig, fillers);
    call_expect(&sealing, ERR_NONE, "");
    for (size_t i = 0; i < STORM; i++)
        call_expect(&storm[i], ERR_NONE, "");
    assert_in_range(opened_before, 0, STORM / 2); /* in order, it would be the last */
}

static struct call given_up[2], again[2];

/* Asks for what the other one asked, which the same sweep of the pool has given up. */
static void ask_for_the_others(struct call *ended)
{
    size_t other = ended == &given_up[0] ? 1 : 0;
    call_decrypt(&rig, &again[other], 1, other == 0 ? "dek 0" : "dek 1");
}

static void whoever_did_not_cancel_is_never_told_so(void **state)
{
    (void)state;
    struct call fillers[RIG_LANES];
    kms_rig_occupy(&rig, fillers);
    call_decrypt(&rig, &given_up[0], 1, "dek 0");
    call_decrypt(&rig, &given_up[1], 1, "dek 1");
    for (size_t i = 0; i < 2; i++) {
        given_up[i].then = ask_for_the_others;
        atomic_store(&given_up[i].cancelled, true);
    }
    call_expect(&given_up[0], ERR_CANCELLED, "");
    call_expect(&given_up[1], ERR_CANCELLED, "");
    kms_rig_release(&rig, fillers);
    call_expect_text(&again[0], "dek 0");
    call_expect_text(&again[1], "dek 1");
}

/* --- unknown KEKs ------------------------------------------------------------------------ */

/* One look tells for all that came before it began; another one publishes what is missing. */
static void unknown_keks_are_not_found_after_one_look(void **state)
{
    (void)state;
    struct call calls[CALLS];
    for (uint16_t i = 0; i < CALLS; i++)
        call_decrypt(&rig, &calls[i], (uint16_t)(100 + i), "dek");
    assert_false(call_ended(&calls[0])); /* the first look, a moment ago, does not tell */
    for (uint16_t i = 0; i < CALLS; i++)
        call_expect(&calls[i], ERR_NOT_FOUND, "no KEK");
    assert_in_range(fake_agent_seen(rig.agent, LANE_LIST), 2, 3);
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 0);
}

/* Whatever reads what a lost KEK has sealed does not wait a second each time. */
static void a_kek_that_is_missing_already_is_not_waited_for(void **state)
{
    (void)state;
    struct call first, second;
    call_decrypt(&rig, &first, 100, "dek");
    call_expect(&first, ERR_NOT_FOUND, "no KEK");
    rig_wait_looks(&rig.ring, 3);
    call_decrypt(&rig, &second, 100, "dek");
    assert_true(call_ended(&second));
    call_expect(&second, ERR_NOT_FOUND, "no KEK");
}

/* Another replica makes and activates it right after our look. */
static void a_kek_made_after_the_last_look_opens(void **state)
{
    (void)state;
    struct call call;
    const struct listed_key keys[] = {fake_key(1, KEY_DEACTIVATED, 1), fake_key(2, KEY_ACTIVE, 2)};
    fake_agent_rule(rig.agent, LANE_LIST, FAKE_HOLD);
    keeper_rescan(rig.ring.keeper);
    fake_agent_wait_seen(rig.agent, LANE_LIST, 2);
    call_decrypt(&rig, &call, 2, "dek");
    fake_agent_release(rig.agent);
    rig_wait_looks(&rig.ring, 2);
    fake_agent_keys(rig.agent, keys, 2, 1);
    call_expect_text(&call, "dek");
}

static void a_kek_that_a_look_finds_opens(void **state)
{
    (void)state;
    struct call calls[CALLS];
    const struct listed_key keys[] = {fake_key(1, KEY_ACTIVE, 1), fake_key(2, KEY_PRE_ACTIVE, 2)};
    wait_until_a_look_is_due();
    fake_agent_keys(rig.agent, keys, 2, 1);
    for (size_t i = 0; i < CALLS; i++)
        call_decrypt(&rig, &calls[i], 2, "dek");
    for (size_t i = 0; i < CALLS; i++)
        call_expect_text(&calls[i], "dek");
}

static void too_many_unknown_keks_are_refused(void **state)
{
    (void)state;
    static struct call calls[65];
    wait_until_a_look_is_due();
    fake_agent_rule(rig.agent, LANE_LIST, FAKE_HOLD);
    for (uint16_t i = 0; i < 65; i++)
        call_decrypt(&rig, &calls[i], (uint16_t)(100 + i), "dek");
    assert_true(call_ended(&calls[64]));
    call_expect(&calls[64], ERR_EXHAUSTED, "unknown KEKs");
    fake_agent_wait_seen(rig.agent, LANE_LIST, 2);
    fake_agent_release(rig.agent);
    for (size_t i = 0; i < 64; i++)
        call_expect(&calls[i], ERR_NOT_FOUND, "no KEK");
}

static void an_unknown_kek_of_a_sick_token_is_unavailable(void **state)
{
    (void)state;
    struct call call;
    wait_until_a_look_is_due();
    fake_agent_fail(rig.agent, LANE_LIST, ERR_UNAVAILABLE, REMEDY_AGENT, "the token was removed");
    call_decrypt(&rig, &call, 2, "dek");
    call_expect(&call, ERR_UNAVAILABLE, "the token was removed");
}

static void without_an_agent_nothing_waits(void **state)
{
    (void)state;
    struct call call;
    call_decrypt(&rig, &call, 1, "dek");
    call_expect(&call, ERR_UNAVAILABLE, "the token agent is starting");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_UNAVAILABLE, "the token agent is starting");
    (void)rig_agent(&rig.ring, NULL, 0);
    rig_offer(&rig.ring); /* it starts, for long */
    wait_until_a_look_is_due();
    call_decrypt(&rig, &call, 1, "dek");
    call_expect(&call, ERR_UNAVAILABLE, "the token agent is starting");
}

/* --- errors of the token ----------------------------------------------------------------- */

static void expect_code(enum err_code agents, enum remedy remedy, enum err_code clients)
{
    struct call call;
    fake_agent_fail(rig.agent, LANE_OPEN, agents, remedy, "as the agent says");
    call_decrypt(&rig, &call, 1, "dek");
    call_expect(&call, clients, "as the agent says");
}

static void the_callers_fault_disturbs_nobody(void **state)
{
    (void)state;
    struct call call;
    expect_code(ERR_AUTH, REMEDY_CALLER, ERR_AUTH);
    expect_code(ERR_INVALID, REMEDY_CALLER, ERR_INVALID);
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_NONE, "");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_PROBE), 1);
    assert_int_equal(rig_condemnations(&rig.ring), 0);
}

static void other_errors_have_the_keeper_probe(void **state)
{
    (void)state;
    const enum remedy remedies[] = {REMEDY_NONE, REMEDY_SESSION, REMEDY_LOGIN, REMEDY_HUMAN};
    for (unsigned i = 0; i < 4; i++) {
        expect_code(ERR_UNAVAILABLE, remedies[i], ERR_UNAVAILABLE);
        fake_agent_wait_seen(rig.agent, LANE_PROBE, 2 + i);
    }
    assert_int_equal(rig_condemnations(&rig.ring), 0);
}

/* The view has the KEK, so it is the token or its store that is away. */
static void a_kek_that_the_agent_does_not_find_is_unavailable_and_probed(void **state)
{
    (void)state;
    expect_code(ERR_NOT_FOUND, REMEDY_CALLER, ERR_UNAVAILABLE);
    fake_agent_wait_seen(rig.agent, LANE_PROBE, 2);
    expect_code(ERR_NOT_FOUND, REMEDY_NONE, ERR_UNAVAILABLE);
    fake_agent_wait_seen(rig.agent, LANE_PROBE, 3);
}

static void an_agent_that_gives_up_is_replaced(void **state)
{
    (void)state;
    expect_code(ERR_UNAVAILABLE, REMEDY_AGENT, ERR_UNAVAILABLE);
    rig_wait_condemned(&rig.ring, 1);
}

static void an_envelope_of_another_kind_is_not_handed_out(void **state)
{
    (void)state;
    struct call call;
    fake_agent_rule(rig.agent, LANE_SEAL, FAKE_OTHER);
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_INTERNAL, "something else than was asked");
    rig_wait_condemned(&rig.ring, 1);
}

/* --- restarts and outages ---------------------------------------------------------------- */

static void kill_and_wait(void)
{
    rig_kill(&rig.ring, "killed by signal 9");
    while (lane_pool_has_lanes(rig.ring.pool))
        (void)poll(NULL, 0, 1);
}

/* On a busy machine one takes long now and then. */
static void requests_wait_out_a_short_restart(void **state)
{
    (void)state;
    struct call sealed, opened;
    size_t told = SIZE_MAX;
    for (unsigned i = 0; i < ROUNDS && told > 0; i++) {
        size_t before = rig_texts(&rig.ring);
        kill_and_wait();
        call_encrypt(&rig, &sealed, FAMILY_V2, bytes_of_string("dek"));
        call_decrypt(&rig, &opened, 1, "dek");
        kms_rig_serve(&rig);
        call_wait(&sealed);
        call_wait(&opened);
        told = rig_texts(&rig.ring) - before;
    }
    assert_int_equal(told, 0);
    call_expect(&sealed, ERR_NONE, "");
    call_expect_text(&opened, "dek");
}

static void requests_fail_when_a_restart_becomes_an_outage(void **state)
{
    (void)state;
    struct call waiting, later;
    kill_and_wait();
    call_encrypt(&rig, &waiting, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&waiting, ERR_UNAVAILABLE, "");
    call_encrypt(&rig, &later, FAMILY_V2, bytes_of_string("dek"));
    assert_true(call_ended(&later));
    call_expect(&later, ERR_UNAVAILABLE, "the token agent ended");
    call_decrypt(&rig, &later, 1, "dek");
    assert_true(call_ended(&later));
    call_expect(&later, ERR_UNAVAILABLE, "the token agent ended");
}

static void requests_inside_a_dead_agent_fail_and_are_not_sent_again(void **state)
{
    (void)state;
    struct call sealed, opened;
    fake_agent_rule(rig.agent, LANE_SEAL, FAKE_HOLD);
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_HOLD);
    call_encrypt(&rig, &sealed, FAMILY_V2, bytes_of_string("dek"));
    call_decrypt(&rig, &opened, 1, "dek");
    fake_agent_wait_seen(rig.agent, LANE_SEAL, 1);
    fake_agent_wait_seen(rig.agent, LANE_OPEN, 1);
    rig_kill(&rig.ring, "killed by signal 9");
    kms_rig_serve(&rig);
    call_expect(&sealed, ERR_UNAVAILABLE, "");
    call_expect(&opened, ERR_UNAVAILABLE, "");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_SEAL), 0);
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), 0);
}

static void an_expired_encrypt_leaves_the_queue(void **state)
{
    (void)state;
    struct call fillers[RIG_LANES], late;
    kms_rig_occupy(&rig, fillers);
    call_encrypt_until(&rig, &late, clock_monotonic_ns() + 1000000);
    call_expect(&late, ERR_DEADLINE, "");
    assert_int_equal(fake_agent_seen(rig.agent, LANE_SEAL), RIG_LANES - 1);
    kms_rig_release(&rig, fillers);
}

#define KMS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KMS_TEST(equal_decrypts_are_one_request),
        KMS_TEST(families_are_not_shared),
        KMS_TEST(encrypts_are_never_shared),
        KMS_TEST(the_others_are_answered_though_the_first_cancels),
        KMS_TEST(all_cancelled_is_cancelled_and_joined_no_more),
        KMS_TEST(a_decrypt_goes_on_while_one_client_has_time),
        KMS_TEST(an_encrypt_does_not_wait_behind_a_storm_of_decrypts),
        KMS_TEST(whoever_did_not_cancel_is_never_told_so),
        KMS_TEST(unknown_keks_are_not_found_after_one_look),
        KMS_TEST(a_kek_that_is_missing_already_is_not_waited_for),
        KMS_TEST(a_kek_made_after_the_last_look_opens),
        KMS_TEST(a_kek_that_a_look_finds_opens),
        KMS_TEST(too_many_unknown_keks_are_refused),
        KMS_TEST(an_unknown_kek_of_a_sick_token_is_unavailable),
        cmocka_unit_test_setup_teardown(without_an_agent_nothing_waits, setup_bare, teardown),
        KMS_TEST(the_callers_fault_disturbs_nobody),
        KMS_TEST(other_errors_have_the_keeper_probe),
        KMS_TEST(a_kek_that_the_agent_does_not_find_is_unavailable_and_probed),
        KMS_TEST(an_agent_that_gives_up_is_replaced),
        KMS_TEST(an_envelope_of_another_kind_is_not_handed_out),
        KMS_TEST(requests_wait_out_a_short_restart),
        KMS_TEST(requests_fail_when_a_restart_becomes_an_outage),
        KMS_TEST(requests_inside_a_dead_agent_fail_and_are_not_sent_again),
        KMS_TEST(an_expired_encrypt_leaves_the_queue),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
