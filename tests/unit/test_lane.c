/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent_process.h"
#include "lane.h"

#include "io.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const struct key_id key_id = {"k8s.01890101-0101-7101-8101-010101010101"};

static struct lane_request request_of(enum lane_op op)
{
    struct lane_request q = {.op = op, .number = 77};
    struct key_label label = {"k8s", 3, SCHEME_AES_GCM, 0, KEY_ACTIVE};
    switch (op) {
    case LANE_LIST:
        (void)snprintf(q.u.list.ring, sizeof q.u.list.ring, "k8s");
        q.u.list.cursor = 96;
        break;
    case LANE_SEAL:
        q.u.seal.family = FAMILY_V2;
        q.u.seal.scheme = SCHEME_AES_GCM;
        q.u.seal.verify = true;
        q.u.seal.key_id = key_id;
        q.u.seal.plaintext = bytes_of_string("plaintext");
        break;
    case LANE_OPEN:
        q.u.open.family = FAMILY_V1;
        q.u.open.verify = true;
        q.u.open.envelope = bytes_of_string("envelope");
        break;
    case LANE_PROBE:
        q.u.probe.scheme = SCHEME_AES_GCM;
        q.u.probe.key_id = key_id;
        q.u.probe.canary = bytes_of_string("canary");
        break;
    case LANE_SELFTEST:
        q.u.selftest.scheme = SCHEME_AES_GCM;
        break;
    case LANE_FACTS:
        q.u.facts.part = FACTS_TOKEN;
        break;
    case LANE_TRIAL:
        q.u.trial.step = TRIAL_OPEN;
        q.u.trial.scheme = SCHEME_AES_GCM;
        q.u.trial.trial = (struct object_id){.len = UUID_BYTES, .data = {1, 2}};
        q.u.trial.ms = 500;
        break;
    case LANE_GENERATE:
        q.u.generate.label = label;
        break;
    case LANE_RELABEL:
        q.u.relabel.id = (struct object_id){.len = 2, .data = {1, 2}};
        q.u.relabel.seen = KEY_ACTIVE;
        q.u.relabel.label = label;
        break;
    case LANE_HELLO:
        break;
    }
    return q;
}

/* Encoded, decoded and encoded again: the same bytes, and no shorter packet is taken. */
static void requests_round_trip(void **state)
{
    (void)state;
    for (int op = LANE_LIST; op <= LANE_TRIAL; op++) {
        uint8_t memory[LANE_PACKET_MAX], again[LANE_PACKET_MAX];
        struct writer w = writer_over(memory, sizeof memory), v = writer_over(again, sizeof again);
        struct lane_request q = request_of((enum lane_op)op), back;
        lane_put_request(&w, &q);
        assert_false(w.full);
        assert_false(err_is(lane_get_request(writer_bytes(&w), &back)));
        lane_put_request(&v, &back);
        assert_true(bytes_equal(writer_bytes(&w), writer_bytes(&v)));
        assert_true(back.number == 77);
        for (size_t len = 0; len < w.len; len++)
            assert_int_equal(lane_get_request(bytes_of(memory, len), &back).code, ERR_INTERNAL);
        assert_true(err_is(lane_get_request(bytes_of(memory, w.len + 1), &back)));
    }
}

static void hello_is_no_request(void **state)
{
    (void)state;
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct lane_request q = {.op = LANE_HELLO};
    lane_put_request(&w, &q);
    assert_true(w.full);
}

static void other_versions_do_not_talk(void **state)
{
    (void)state;
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct lane_request q = request_of(LANE_OPEN), back;
    lane_put_request(&w, &q);
    memory[0]++;
    assert_true(err_is(lane_get_request(writer_bytes(&w), &back)));
}

static void failures_carry_their_status(void **state)
{
    (void)state;
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct lane_reply p = {.op = LANE_OPEN, .number = 5}, back;
    p.status = (struct lane_status){ERR_UNAVAILABLE, REMEDY_AGENT, 0x30, "the token is away"};
    lane_put_reply(&w, &p);
    assert_false(err_is(lane_get_reply(writer_bytes(&w), &back)));
    assert_int_equal(back.status.code, ERR_UNAVAILABLE);
    assert_int_equal(back.status.remedy, REMEDY_AGENT);
    assert_int_equal(back.status.ckr, 0x30);
    assert_string_equal(back.status.text, "the token is away");
    assert_int_equal(lane_status_err(&back).native, 0x30);
}

/* What no caller of ours asks is not taken from anybody. */
static void expect_no_trial(struct lane_request q)
{
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    lane_put_request(&w, &q);
    assert_int_equal(lane_get_request(writer_bytes(&w), &q).code, ERR_INTERNAL);
}

static void trials_are_bounded(void **state)
{
    (void)state;
    struct lane_request q = request_of(LANE_TRIAL);
    q.u.trial.ms = TRIAL_MS_MAX + 1;
    expect_no_trial(q);
    q = request_of(LANE_TRIAL);
    q.u.trial.step = TRIAL_STEPS;
    expect_no_trial(q);
    q = request_of(LANE_TRIAL);
    q.u.trial.trial.len = 2;
    expect_no_trial(q);
    q = request_of(LANE_TRIAL);
    q.u.trial.trial.len = 0;
    expect_no_trial(q);
    q = request_of(LANE_SELFTEST);
    q.u.selftest.trial.len = 3;
    expect_no_trial(q);
    q = request_of(LANE_FACTS);
    q.u.facts.part = (enum facts_part)(FACTS_MECHANISMS + 1);
    expect_no_trial(q);
}

static void longest_texts(struct token_facts *token)
{
    memset(token->slot_description, 's', sizeof token->slot_description - 1);
    memset(token->label, 'l', sizeof token->label - 1);
    memset(token->manufacturer, 'm', sizeof token->manufacturer - 1);
    memset(token->model, 'o', sizeof token->model - 1);
    memset(token->serial, 'n', sizeof token->serial - 1);
}

static struct facts facts_of(enum facts_part part)
{
    struct facts facts;
    memset(&facts, 0, sizeof facts);
    facts.part = part;
    if (part == FACTS_MODULE)
        facts.u.module = (struct module_facts){{2, 40}, {1, 2}, "maker", "library"};
    if (part == FACTS_TOKEN) {
        longest_texts(&facts.u.token);
        facts.u.token.slot = UINT64_MAX;
        facts.u.token.flags = 5;
        facts.u.token.quirks = 6;
        facts.u.token.max_sessions = 7;
        facts.u.token.firmware.minor = 9;
    }
    for (unsigned i = 0; part == FACTS_MECHANISMS && i < MECHANISMS; i++)
        facts.u.mechanism[i] = (struct mechanism_facts){true, i % 2 != 0, i, i + 1, UINT64_MAX};
    return facts;
}

static void facts_round_trip(void **state)
{
    (void)state;
    for (int part = FACTS_MODULE; part <= FACTS_MECHANISMS; part++) {
        uint8_t memory[LANE_PACKET_MAX], again[LANE_PACKET_MAX];
        struct writer w = writer_over(memory, sizeof memory), v = writer_over(again, sizeof again);
        struct lane_reply p = {.op = LANE_FACTS, .number = 3}, back;
        p.u.facts = facts_of((enum facts_part)part);
        lane_put_reply(&w, &p);
        assert_false(w.full);
        assert_false(err_is(lane_get_reply(writer_bytes(&w), &back)));
        lane_put_reply(&v, &back);
        assert_true(bytes_equal(writer_bytes(&w), writer_bytes(&v)));
        for (size_t len = 0; len < w.len; len++)
            assert_true(err_is(lane_get_reply(bytes_of(memory, len), &back)));
    }
}

static void a_hello_carries_what_is_known_of_the_token(void **state)
{
    (void)state;
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct lane_reply p = {.op = LANE_HELLO}, back;
    p.u.hello = (struct token_identity){"label", "manufacturer", "model", "serial", 0x80000001};
    lane_put_reply(&w, &p);
    assert_false(err_is(lane_get_reply(writer_bytes(&w), &back)));
    assert_string_equal(back.u.hello.label, "label");
    assert_string_equal(back.u.hello.manufacturer, "manufacturer");
    assert_string_equal(back.u.hello.model, "model");
    assert_string_equal(back.u.hello.serial, "serial");
    assert_int_equal(back.u.hello.quirks, 0x80000001);
}

static void a_page_of_keys_fits_its_packet(void **state)
{
    (void)state;
    static uint8_t memory[LANE_LIST_PACKET_MAX], records[LANE_LIST_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory), r = writer_over(records, sizeof records);
    struct listed_key key = {.id.len = OBJECT_ID_MAX, .ambiguous = true}, back;
    key.attributes = (struct key_attributes){1, 2, 3, 4, KEY_TYPE_HMAC};
    memset(key.label, 'x', KEY_LABEL_MAX);
    for (int i = 0; i < LANE_LIST_PAGE; i++)
        lane_put_key(&r, &key);
    struct lane_reply p = {.op = LANE_LIST}, got;
    p.u.list.count = LANE_LIST_PAGE;
    p.u.list.records = writer_bytes(&r);
    lane_put_reply(&w, &p);
    assert_false(r.full || w.full);
    assert_false(err_is(lane_get_reply(writer_bytes(&w), &got)));
    struct bytes rest = got.u.list.records;
    for (int i = 0; i < LANE_LIST_PAGE; i++)
        assert_false(err_is(lane_next_key(&rest, &back)));
    assert_int_equal(rest.len, 0);
    assert_string_equal(back.label, key.label);
    assert_memory_equal(&back.attributes, &key.attributes, sizeof key.attributes);
    assert_true(err_is(lane_next_key(&rest, &back)));
}

static void a_reply_to_another_request_is_an_error(void **state)
{
    (void)state;
    uint8_t memory[LANE_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    struct lane_reply p = {.op = LANE_SELFTEST, .number = 2}, back;
    struct lane_request q = {.op = LANE_SELFTEST, .number = 1};
    int pair[2];
    assert_false(err_is(packet_pair(pair)));
    lane_put_reply(&w, &p);
    assert_false(err_is(packet_send(pair[1], writer_bytes(&w), NULL, 0)));
    assert_int_equal(lane_call(pair[0], &q, 1000, memory, sizeof memory, &back).code, ERR_INTERNAL);
    assert_int_equal(lane_call(pair[0], &q, 1, memory, sizeof memory, &back).code, ERR_DEADLINE);
    (void)close(pair[1]);
    assert_int_equal(lane_call(pair[0], &q, 1000, memory, sizeof memory, &back).code,
                     ERR_UNAVAILABLE);
    (void)close(pair[0]);
}

static void agent_config_round_trip(void **state)
{
    (void)state;
    static uint8_t memory[AGENT_CONFIG_MAX];
    struct agent_config c = {.role = AGENT_SERVE,
                             .lanes = 5,
                             .module = "/lib/m.so",
                             .uri = "pkcs11:token=t",
                             .pin_source = "file:/p",
                             .state_dir = "/var",
                             .ring = "k8s"},
                        back;
    struct writer w = writer_over(memory, sizeof memory);
    agent_config_put(&w, &c);
    assert_false(err_is(agent_config_get(writer_bytes(&w), &back)));
    assert_string_equal(back.module, c.module);
    assert_string_equal(back.ring, c.ring);
    assert_int_equal(back.lanes, 5);
    for (size_t len = 0; len < w.len; len++)
        assert_true(err_is(agent_config_get(bytes_of(memory, len), &back)));
    c.lanes = AGENT_LANES_MAX + 1;
    w = writer_over(memory, sizeof memory);
    agent_config_put(&w, &c);
    assert_true(err_is(agent_config_get(writer_bytes(&w), &back)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_round_trip),
        cmocka_unit_test(hello_is_no_request),
        cmocka_unit_test(other_versions_do_not_talk),
        cmocka_unit_test(failures_carry_their_status),
        cmocka_unit_test(trials_are_bounded),
        cmocka_unit_test(facts_round_trip),
        cmocka_unit_test(a_hello_carries_what_is_known_of_the_token),
        cmocka_unit_test(a_page_of_keys_fits_its_packet),
        cmocka_unit_test(a_reply_to_another_request_is_an_error),
        cmocka_unit_test(agent_config_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
