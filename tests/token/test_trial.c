/* SPDX-License-Identifier: Apache-2.0 */
/* What doctor's agents may be asked: facts without a login, and measuring with keys that are
 * nobody's KEK. */
#include "fixture.h"

#include "text.h"

#include <string.h>

static struct object_id trial_id(void)
{
    struct object_id id;
    uint8_t uuid[UUID_BYTES];
    assert_false(err_is(uuid_make(uuid)));
    assert_false(err_is(object_id_from(bytes_of(uuid, sizeof uuid), &id)));
    return id;
}

static enum err_code trial(struct fixture *f, enum trial_step step, const struct object_id *id)
{
    struct lane_request request = {.op = LANE_TRIAL};
    request.u.trial.step = step;
    request.u.trial.scheme = f->scheme->scheme;
    request.u.trial.trial = *id;
    request.u.trial.ms = 20;
    return fixture_call(f, &request);
}

static enum err_code facts(struct fixture *f, enum facts_part part)
{
    struct lane_request request = {.op = LANE_FACTS, .u.facts.part = part};
    return fixture_call(f, &request);
}

static void tells_facts_without_a_login(void **state)
{
    struct fixture *f = *state;
    fixture_write(f, "pin", "a wrong one\n", 0600);
    fixture_up(f, AGENT_LOOK);
    assert_int_equal(facts(f, FACTS_MODULE), ERR_NONE);
    assert_true(f->reply.u.facts.u.module.cryptoki.major >= 2);
    assert_true(strlen(f->reply.u.facts.u.module.description) > 0);
    assert_int_equal(facts(f, FACTS_TOKEN), ERR_NONE);
    assert_string_equal(f->reply.u.facts.u.token.label, "test");
    assert_true((f->reply.u.facts.u.token.flags & (1U << TOKEN_FLAG_LOGIN_REQUIRED)) != 0);
    assert_int_equal(f->reply.u.facts.u.token.flags & (1U << TOKEN_FLAG_PIN_LOCKED), 0);
    assert_int_equal(facts(f, FACTS_MECHANISMS), ERR_NONE);
    const struct facts mechanisms = f->reply.u.facts;
    assert_true(scheme_needs_are_told(f->scheme->scheme, false, mechanisms.u.mechanism));
}

static void looking_can_do_nothing_else(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    struct lane_request list = {.op = LANE_LIST, .u.list.ring = "k8s"};
    struct lane_request selftest = {.op = LANE_SELFTEST, .u.selftest.scheme = f->scheme->scheme};
    fixture_up(f, AGENT_LOOK);
    assert_int_equal(fixture_call(f, &list), ERR_DENIED);
    assert_int_equal(fixture_call(f, &selftest), ERR_DENIED);
    for (int step = TRIAL_MAKE; step < TRIAL_STEPS; step++)
        assert_int_equal(trial(f, (enum trial_step)step, &id), ERR_DENIED);
}

static void a_missing_token_is_told(void **state)
{
    struct fixture *f = *state;
    memcpy(f->config.uri, "pkcs11:token=other", sizeof "pkcs11:token=other");
    fixture_up(f, AGENT_LOOK);
    assert_int_equal(facts(f, FACTS_MODULE), ERR_NONE);
    assert_int_equal(facts(f, FACTS_TOKEN), ERR_UNAVAILABLE);
    assert_non_null(strstr(f->reply.status.text, "'test'"));
    assert_int_equal(facts(f, FACTS_MECHANISMS), ERR_UNAVAILABLE);
}

/* Made by one agent, used by another, removed by a third. */
static void measures_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_MAKE, &id), ERR_NONE);
    assert_int_equal(f->reply.u.trial.count, 1);
    fixture_up(f, AGENT_TRY);
    for (int step = TRIAL_SEAL; step <= TRIAL_OPEN; step++) {
        if (trial(f, (enum trial_step)step, &id) != ERR_NONE)
            fail_msg("%s", f->reply.status.text);
        assert_true(f->reply.u.trial.count >= 1);
        assert_true(f->reply.u.trial.ns >= 20000000);
    }
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_GENERATE, &id), ERR_NONE);
    assert_in_range(f->reply.u.trial.count, 1, 8);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_NONE);
    assert_true(f->reply.u.trial.count >= 1);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_NONE);
    assert_int_equal(f->reply.u.trial.count, 0);
    assert_int_equal(trial(f, TRIAL_SEAL, &id), ERR_NOT_FOUND);
}

/* A token whose CKA_IDs are not those that it was given: the label tells whose a key is. */
static void a_failed_self_test_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    struct lane_request selftest = {.op = LANE_SELFTEST};
    selftest.u.selftest.scheme = f->scheme->scheme;
    selftest.u.selftest.trial = id;
    fixture_fault(f, "C_GetAttributeValue every attributes 1 garbage");
    fixture_up(f, AGENT_MAKE);
    assert_int_not_equal(fixture_call(f, &selftest), ERR_NONE);
    fixture_fault(f, NULL);
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_NONE);
    assert_int_equal(f->reply.u.trial.count, 0);
}

static void trying_makes_and_removes_nothing(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_MAKE, &id), ERR_NONE);
    fixture_up(f, AGENT_TRY);
    assert_int_equal(trial(f, TRIAL_MAKE, &id), ERR_DENIED);
    assert_int_equal(trial(f, TRIAL_GENERATE, &id), ERR_DENIED);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_DENIED);
    assert_int_equal(trial(f, TRIAL_SEAL, &id), ERR_NONE); /* it is still there */
}

static void a_daemons_agent_measures_nothing(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    fixture_up(f, AGENT_SERVE);
    for (int step = TRIAL_MAKE; step < TRIAL_STEPS; step++)
        assert_int_equal(trial(f, (enum trial_step)step, &id), ERR_DENIED);
    for (int part = FACTS_MODULE; part <= FACTS_MECHANISMS; part++)
        assert_int_equal(facts(f, (enum facts_part)part), ERR_DENIED);
}

/* By its CKA_ID, whoever asks: neither used nor removed. */
static void a_kek_is_never_touched(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_PROBE};
    struct key_id key_id;
    struct object_id id;
    char ring[RING_NAME_MAX + 1];
    fixture_make_key(f, 1, &key_id);
    assert_false(err_is(key_id_parse(bytes_of_string(key_id.text), ring, &id)));
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_SEAL, &id), ERR_REFUSED);
    assert_int_equal(trial(f, TRIAL_OPEN, &id), ERR_REFUSED);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_NONE);
    assert_int_equal(f->reply.u.trial.count, 0);
    request.u.probe.scheme = f->scheme->scheme;
    request.u.probe.key_id = key_id;
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
}

static void an_external_ring_has_no_trials(void **state)
{
    struct fixture *f = *state;
    const struct object_id id = trial_id();
    fixture_external(f, "label:*", 0);
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(trial(f, TRIAL_MAKE, &id), ERR_REFUSED);
    assert_int_equal(trial(f, TRIAL_REMOVE, &id), ERR_REFUSED);
}

int main(void)
{
#define TRIAL(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TRIAL(tells_facts_without_a_login),
        TRIAL(looking_can_do_nothing_else),
        TRIAL(a_missing_token_is_told),
        TRIAL(measures_and_leaves_nothing),
        TRIAL(trying_makes_and_removes_nothing),
        TRIAL(a_daemons_agent_measures_nothing),
        TRIAL(a_kek_is_never_touched),
        TRIAL(an_external_ring_has_no_trials),
        TRIAL(a_failed_self_test_leaves_nothing),
    };
    return FIXTURE_RUN_SCHEMES("trial", tests);
}
