/* SPDX-License-Identifier: Apache-2.0 */
/* What Encrypt, Decrypt and Status mean: answers and refusals. */
#include "keeper_private.h"
#include "kms_calls.h"
#include "pool_jobs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 5 };

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

static void encrypt_seals_under_the_active_kek(void **state)
{
    (void)state;
    struct call call;
    struct envelope envelope;
    const enum family families[] = {FAMILY_V1, FAMILY_V2};
    for (size_t i = 0; i < 2; i++) {
        call_encrypt(&rig, &call, families[i], bytes_of_string("dek"));
        call_expect(&call, ERR_NONE, "");
        assert_string_equal(call.key_id, fake_key_id(1).text);
        assert_false(err_is(envelope_parse(bytes_of(call.output, call.len), &envelope)));
        assert_int_equal(envelope.family, families[i]);
        assert_true(bytes_equal(envelope.fields, bytes_of_string("dek")));
    }
}

static void decrypt_opens_with_or_without_a_key_id(void **state)
{
    (void)state;
    struct call call;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    call_decrypt(&rig, &call, 1, "dek");
    call_expect_text(&call, "dek");
    assert_string_equal(call.key_id, "");
    size_t len = fake_envelope(FAMILY_V1, &key_id, "dek", envelope);
    call_decrypt_bytes(&rig, &call, FAMILY_V1, bytes_of(envelope, len), NULL);
    call_expect_text(&call, "dek");
}

static void plaintexts_of_1_to_512_bytes_are_sealed(void **state)
{
    (void)state;
    static const uint8_t plaintext[PLAINTEXT_MAX + 1] = {1};
    struct call call;
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of(plaintext, 0));
    call_expect(&call, ERR_INVALID, "empty");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of(NULL, 0));
    call_expect(&call, ERR_INVALID, "empty");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of(plaintext, 1));
    call_expect(&call, ERR_NONE, "");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of(plaintext, PLAINTEXT_MAX));
    call_expect(&call, ERR_NONE, "");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of(plaintext, PLAINTEXT_MAX + 1));
    call_expect(&call, ERR_INVALID, "longer than 512");
}

static void v1_seals_are_verified_unless_configured_otherwise(void **state)
{
    (void)state;
    struct call call;
    const struct {
        enum family family;
        bool configured, verified;
    } rows[] = {{FAMILY_V1, true, true},
                {FAMILY_V1, false, false},
                {FAMILY_V2, true, true},
                {FAMILY_V2, false, true}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        kms_service_set_verify_v1(rig.service, rows[i].configured);
        call_encrypt(&rig, &call, rows[i].family, bytes_of_string("dek"));
        call_expect(&call, ERR_NONE, "");
        assert_int_equal(fake_agent_last_verify(rig.agent), rows[i].verified);
    }
}

static void opens_are_verified_as_configured(void **state)
{
    (void)state;
    struct call call;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    for (unsigned i = 0; i < 8; i++) {
        enum family family = i & 1 ? FAMILY_V2 : FAMILY_V1;
        bool v1 = i & 2, v2 = i & 4;
        kms_service_set_verify_opens(rig.service, v1, v2);
        size_t len = fake_envelope(family, &key_id, "dek", envelope);
        call_decrypt_bytes(&rig, &call, family, bytes_of(envelope, len), NULL);
        call_expect_text(&call, "dek");
        assert_int_equal(fake_agent_last_verify(rig.agent), family == FAMILY_V2 ? v2 : v1);
    }
}

static void expect_refusal(struct bytes envelope, enum family family, const char *key_id,
                           enum err_code code, const char *word)
{
    struct call call;
    unsigned seen = fake_agent_seen(rig.agent, LANE_OPEN);
    call_decrypt_bytes(&rig, &call, family, envelope, key_id);
    assert_true(call_ended(&call)); /* by its looks alone */
    call_expect(&call, code, word);
    assert_int_equal(fake_agent_seen(rig.agent, LANE_OPEN), seen);
}

static void every_damaged_header_field_is_refused(void **state)
{
    (void)state;
    uint8_t good[ENVELOPE_MAX], bad[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    size_t len = fake_envelope(FAMILY_V2, &key_id, "dek", good);
    const struct {
        size_t at;
        uint8_t value;
    } rows[] = {{0, 0},  {0, 2},   {1, 0},   {1, 2},   {2, 3},   {3, 0}, {3, 255},  {3, 161},
                {3, 12}, {4, 'K'}, {7, '-'}, {8, 'g'}, {8, 'A'}, {4, 0}, {16, '_'}, {43, 0xff}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        memcpy(bad, good, len);
        bad[rows[i].at] = rows[i].value;
        expect_refusal(bytes_of(bad, len), FAMILY_V2, NULL, ERR_INVALID, "");
        expect_refusal(bytes_of(bad, len), FAMILY_V2, key_id.text, ERR_INVALID, "");
    }
    for (size_t cut = 0; cut < 4 + strlen(key_id.text); cut++)
        expect_refusal(bytes_of(good, cut), FAMILY_V2, key_id.text, ERR_INVALID, "");
    static uint8_t huge[ENVELOPE_MAX + 1];
    memcpy(huge, good, len);
    expect_refusal(bytes_of(huge, sizeof huge), FAMILY_V2, key_id.text, ERR_INVALID, "");
    expect_refusal(bytes_of(NULL, 0), FAMILY_V2, key_id.text, ERR_INVALID, "empty");
}

static void another_family_is_refused(void **state)
{
    (void)state;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1);
    size_t len = fake_envelope(FAMILY_V1, &key_id, "dek", envelope);
    expect_refusal(bytes_of(envelope, len), FAMILY_V2, key_id.text, ERR_INVALID, "KMS v2");
    len = fake_envelope(FAMILY_V2, &key_id, "dek", envelope);
    expect_refusal(bytes_of(envelope, len), FAMILY_V1, NULL, ERR_INVALID, "KMS v1");
    len = fake_envelope(FAMILY_CANARY, &key_id, "dek", envelope);
    expect_refusal(bytes_of(envelope, len), FAMILY_V1, NULL, ERR_INVALID, "KMS v1");
    expect_refusal(bytes_of(envelope, len), FAMILY_V2, NULL, ERR_INVALID, "KMS v2");
}

static void a_key_id_unlike_the_envelopes_is_refused(void **state)
{
    (void)state;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id key_id = fake_key_id(1), other = fake_key_id(2);
    char longer[KEY_ID_MAX + 1];
    size_t len = fake_envelope(FAMILY_V2, &key_id, "dek", envelope);
    struct bytes raw = bytes_of(envelope, len);
    expect_refusal(raw, FAMILY_V2, other.text, ERR_INVALID, "key_id");
    expect_refusal(raw, FAMILY_V2, "", ERR_INVALID, "key_id");
    (void)snprintf(longer, sizeof longer, "%.60s0", key_id.text);
    expect_refusal(raw, FAMILY_V2, longer, ERR_INVALID, "key_id");
    longer[strlen(key_id.text) - 1] = '\0';
    expect_refusal(raw, FAMILY_V2, longer, ERR_INVALID, "key_id");
}

static void another_ring_is_not_found(void **state)
{
    (void)state;
    uint8_t envelope[ENVELOPE_MAX];
    struct key_id other;
    (void)snprintf(other.text, sizeof other.text, "k8s2%.40s", fake_key_id(1).text + 3);
    size_t len = fake_envelope(FAMILY_V2, &other, "dek", envelope);
    expect_refusal(bytes_of(envelope, len), FAMILY_V2, other.text, ERR_NOT_FOUND, "another ring");
}

static void status_tells_health_and_key_id(void **state)
{
    (void)state;
    struct kms_status status;
    kms_status(rig.service, &status);
    assert_false(status.failed);
    assert_string_equal(status.healthz, "ok");
    assert_string_equal(status.key_id, fake_key_id(1).text);
    fake_agent_fail(rig.agent, LANE_PROBE, ERR_UNAVAILABLE, REMEDY_AGENT, "the token is away");
    keeper_kick(rig.ring.keeper);
    (void)rig_wait_text(&rig.ring, "the token is away");
    kms_status(rig.service, &status);
    assert_false(status.failed);
    assert_string_equal(status.healthz, "the token is away");
    assert_string_equal(status.key_id, fake_key_id(1).text);
}

static void status_fails_when_the_active_kek_is_missing(void **state)
{
    (void)state;
    struct kms_status status;
    struct call call;
    rig_kill(&rig.ring, "killed by signal 9");
    (void)rig_serve(&rig.ring, NULL, 0);
    (void)rig_wait_text(&rig.ring, "not on the token any more");
    kms_status(rig.service, &status);
    assert_true(status.failed);
    assert_string_equal(status.key_id, fake_key_id(1).text);
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_UNAVAILABLE, "not on the token any more");
    call_decrypt(&rig, &call, 1, "dek");
    call_expect(&call, ERR_UNAVAILABLE, "not on the token any more");
}

static void a_quarantined_kek_opens_nothing(void **state)
{
    (void)state;
    struct call call;
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    rig_kill(&rig.ring, "killed by signal 9");
    struct fake_agent *agent = rig_agent(&rig.ring, &key, 1);
    fake_agent_material(agent, 2);
    rig_offer(&rig.ring);
    fake_agent_hello(agent);
    (void)rig_wait_text(&rig.ring, "quarantined");
    call_decrypt(&rig, &call, 1, "dek");
    call_expect(&call, ERR_TOKEN, "quarantined");
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_UNAVAILABLE, "quarantined");
}

/* Not at the next probe, which is an hour away, nor with the next request: one waits already. */
static void a_broken_lane_has_its_agent_replaced_soon(void **state)
{
    (void)state;
    struct call held[RIG_LANES - 1], waiting;
    const uint64_t first = rig.ring.generation;
    fake_agent_rule(rig.agent, LANE_SEAL, FAKE_HOLD);
    for (size_t i = 0; i < RIG_LANES - 1; i++)
        call_encrypt(&rig, &held[i], FAMILY_V2, bytes_of_string("dek"));
    call_encrypt(&rig, &waiting, FAMILY_V2, bytes_of_string("dek"));
    fake_agent_break(rig.agent, 1);
    for (size_t i = 0; i < RIG_LANES - 1; i++)
        call_expect(&held[i], ERR_UNAVAILABLE, "gone");
    rig_wait_condemned(&rig.ring, first);
    keeper_agent_gone(rig.ring.keeper, first, "condemned");
    kms_rig_serve(&rig);
    call_wait(&waiting);
    if (waiting.code != ERR_NONE) { /* on a machine so busy that the restart was an outage */
        call_expect(&waiting, ERR_UNAVAILABLE, "gone");
        assert_true(rig_ever_said(&rig.ring, "being restarted"));
    }
    assert_int_equal(rig_condemnations(&rig.ring), 1);
}

/* A process that dies closes its lanes one after the other: what killed it is the monitor's to say,
 * within LANELESS_GRACE_MS, which a busy machine takes from this test now and then. */
static void lanes_that_end_just_before_their_agent_condemn_nobody(void **state)
{
    (void)state;
    struct call held;
    unsigned condemned = 1;
    for (unsigned i = 0; i < ROUNDS && condemned > 0; i++) {
        unsigned before = rig_condemnations(&rig.ring);
        fake_agent_rule(rig.agent, LANE_SEAL, FAKE_HOLD);
        call_encrypt(&rig, &held, FAMILY_V2, bytes_of_string("dek"));
        fake_agent_break(rig.agent, 1);
        call_expect(&held, ERR_UNAVAILABLE, "gone");
        rig_kill(&rig.ring, "killed by signal 9");
        kms_rig_serve(&rig);
        condemned = rig_condemnations(&rig.ring) - before;
    }
    assert_int_equal(condemned, 0);
}

/* --- an older KEK ------------------------------------------------------------------------ */

static void fail_opens(struct fake_agent *agent)
{
    fake_agent_fail(agent, LANE_OPEN, ERR_UNAVAILABLE, REMEDY_AGENT, "CKR_GENERAL_ERROR");
}

/* An agent that does not open anything: KEK 1 is an older one, KEK 2 the active. */
static void serve_a_broken_older_kek(void)
{
    const struct listed_key keys[] = {fake_key(1, KEY_DEACTIVATED, 1), fake_key(2, KEY_ACTIVE, 2)};
    unsigned served = rig_served(&rig.ring);
    if (rig_condemnations(&rig.ring) > 0)
        keeper_agent_gone(rig.ring.keeper, rig.ring.generation, "condemned");
    else
        rig_kill(&rig.ring, "killed by signal 9");
    rig.agent = rig_agent(&rig.ring, keys, 2);
    fail_opens(rig.agent);
    rig_offer(&rig.ring);
    fake_agent_hello(rig.agent);
    rig_wait_served(&rig.ring, served + 1);
    (void)rig_wait_ok(&rig.ring);
}

static void fail_to_decrypt(uint16_t tail)
{
    struct call call;
    call_decrypt(&rig, &call, tail, "dek");
    call_expect(&call, ERR_UNAVAILABLE, "CKR_GENERAL_ERROR");
}

static void encrypt_well(void)
{
    struct call call;
    call_encrypt(&rig, &call, FAMILY_V2, bytes_of_string("dek"));
    call_expect(&call, ERR_NONE, "");
    assert_string_equal(call.key_id, fake_key_id(2).text);
}

/* Nothing is asked again before the keeper has proved the active KEK: with the canary there is,
 * and by a new one. */
static void fail_to_decrypt_and_prove(void)
{
    unsigned probes = fake_agent_seen(rig.agent, LANE_PROBE);
    fail_to_decrypt(1);
    fake_agent_wait_seen(rig.agent, LANE_PROBE, probes + 2);
}

/* As it is once the first of its Decrypts has failed. */
static void lose_an_agent_to_an_older_kek(void)
{
    serve_a_broken_older_kek();
    const uint64_t first = rig.ring.generation;
    fail_to_decrypt(1);
    rig_wait_condemned(&rig.ring, first);
    serve_a_broken_older_kek();
}

static void an_older_kek_that_fails_alone_costs_one_agent(void **state)
{
    (void)state;
    lose_an_agent_to_an_older_kek();
    for (int i = 0; i < 20; i++) {
        fail_to_decrypt(1);
        encrypt_well();
    }
    fail_to_decrypt_and_prove();
    assert_int_equal(rig_condemnations(&rig.ring), 1);
}

static void an_older_kek_that_worked_may_cost_an_agent_again(void **state)
{
    (void)state;
    struct call call;
    lose_an_agent_to_an_older_kek();
    fail_to_decrypt_and_prove();
    fake_agent_rule(rig.agent, LANE_OPEN, FAKE_ANSWER);
    call_decrypt(&rig, &call, 1, "dek");
    call_expect_text(&call, "dek");
    fail_opens(rig.agent);
    fail_to_decrypt(1);
    rig_wait_condemned(&rig.ring, rig.ring.generation);
    assert_int_equal(rig_condemnations(&rig.ring), 2);
}

/* Though only Decrypts come, and of a KEK for which no more agents are replaced. */
static void a_sick_token_is_found_by_decrypts_of_an_older_kek(void **state)
{
    (void)state;
    lose_an_agent_to_an_older_kek();
    fail_to_decrypt_and_prove();
    fake_agent_fail(rig.agent, LANE_PROBE, ERR_UNAVAILABLE, REMEDY_AGENT, "the token is away");
    fail_to_decrypt(1);
    (void)rig_wait_text(&rig.ring, "the token is away");
    assert_int_equal(rig_condemnations(&rig.ring), 2);
}

static void the_active_kek_costs_an_agent_each_time(void **state)
{
    (void)state;
    lose_an_agent_to_an_older_kek();
    for (unsigned i = 2; i < 5; i++) {
        fail_to_decrypt(2);
        rig_wait_condemned(&rig.ring, rig.ring.generation);
        assert_int_equal(rig_condemnations(&rig.ring), i);
        serve_a_broken_older_kek();
    }
}

/* Lets the keeper think that the KEK has been failing for long. */
static void age_failures(void)
{
    struct keeper *k = rig.ring.keeper;
    pthread_mutex_lock(&k->lock);
    k->lone_renew_ns = 0;
    k->lone[0].since_ns -= ms_ns(LONE_TOLD_MS);
    pthread_mutex_unlock(&k->lock);
}

static void an_older_kek_that_goes_on_failing_is_told_and_given_an_heir(void **state)
{
    (void)state;
    lose_an_agent_to_an_older_kek();
    fail_to_decrypt_and_prove();
    assert_int_equal(rig_heir(&rig.ring, RIG_WANTED), 0);
    age_failures();
    for (int i = 0; i < 3; i++)
        fail_to_decrypt_and_prove();
    rig_wait_heir(&rig.ring, RIG_WANTED, rig.ring.generation);
    assert_int_equal(rig_warnings(&rig.ring), 1);
    assert_non_null(strstr(rig.ring.warning, "older KEK"));
    encrypt_well();
    assert_int_equal(rig_condemnations(&rig.ring), 1);
}

/* Each agent has somebody enter the PIN there. */
static void an_attended_token_is_given_no_heir_for_an_older_kek(void **state)
{
    (void)state;
    keyring_set_attended(rig.ring.keyring);
    lose_an_agent_to_an_older_kek();
    age_failures();
    for (int i = 0; i < 3; i++)
        fail_to_decrypt_and_prove();
    assert_int_equal(rig_heir(&rig.ring, RIG_WANTED), 0);
    assert_int_equal(rig_condemnations(&rig.ring), 1);
}

#define KMS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KMS_TEST(encrypt_seals_under_the_active_kek),
        KMS_TEST(decrypt_opens_with_or_without_a_key_id),
        KMS_TEST(plaintexts_of_1_to_512_bytes_are_sealed),
        KMS_TEST(v1_seals_are_verified_unless_configured_otherwise),
        KMS_TEST(opens_are_verified_as_configured),
        KMS_TEST(every_damaged_header_field_is_refused),
        KMS_TEST(another_family_is_refused),
        KMS_TEST(a_key_id_unlike_the_envelopes_is_refused),
        KMS_TEST(another_ring_is_not_found),
        KMS_TEST(status_tells_health_and_key_id),
        KMS_TEST(status_fails_when_the_active_kek_is_missing),
        KMS_TEST(a_quarantined_kek_opens_nothing),
        KMS_TEST(a_broken_lane_has_its_agent_replaced_soon),
        KMS_TEST(lanes_that_end_just_before_their_agent_condemn_nobody),
        KMS_TEST(an_older_kek_that_fails_alone_costs_one_agent),
        KMS_TEST(an_older_kek_that_worked_may_cost_an_agent_again),
        KMS_TEST(a_sick_token_is_found_by_decrypts_of_an_older_kek),
        KMS_TEST(the_active_kek_costs_an_agent_each_time),
        KMS_TEST(an_older_kek_that_goes_on_failing_is_told_and_given_an_heir),
        KMS_TEST(an_attended_token_is_given_no_heir_for_an_older_kek),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
