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
    case LANE_GENERATE:
        q.u.generate.label = label;
        break;
    case LANE_RELABEL:
        q.u.relabel.id = (struct object_id){.len = 2, .data = {1, 2}};
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
    for (int op = LANE_LIST; op <= LANE_RELABEL; op++) {
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

static void a_page_of_keys_fits_its_packet(void **state)
{
    (void)state;
    static uint8_t memory[LANE_LIST_PACKET_MAX], records[LANE_LIST_PACKET_MAX];
    struct writer w = writer_over(memory, sizeof memory), r = writer_over(records, sizeof records);
    struct listed_key key = {.id.len = OBJECT_ID_MAX, .ambiguous = true}, back;
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
        cmocka_unit_test(a_page_of_keys_fits_its_packet),
        cmocka_unit_test(a_reply_to_another_request_is_an_error),
        cmocka_unit_test(agent_config_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
