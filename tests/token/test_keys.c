/* SPDX-License-Identifier: Apache-2.0 */
/* Keys on a live token: self-test, generate, list, relabel, and keys that must be refused. */
#include "fixture.h"

#include <stdio.h>
#include <string.h>

static const char odd_id[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x01";
static const char odd_key_id[] = "k8s.01890101-0101-7101-8101-010101010101";
static const uint8_t dek[32] = "thirty-two bytes of a secret DEK";

static struct key_label label_of(const struct fixture *f, uint32_t generation, enum key_state state)
{
    return (struct key_label){"k8s", generation, f->scheme->scheme, 0, state};
}

static void generate(struct fixture *f, uint32_t generation, struct object_id *ret)
{
    struct lane_request request = {.op = LANE_GENERATE};
    request.u.generate.label = label_of(f, generation, KEY_PRE_ACTIVE);
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
    *ret = f->reply.u.made;
}

static enum err_code relabel_from(struct fixture *f, const struct object_id *id,
                                  enum key_state seen, struct key_label label)
{
    struct lane_request request = {.op = LANE_RELABEL};
    request.u.relabel.id = *id;
    request.u.relabel.seen = seen;
    request.u.relabel.label = label;
    return fixture_call(f, &request);
}

/* Whatever the key's state. */
static enum err_code relabel(struct fixture *f, const struct object_id *id, struct key_label label)
{
    return relabel_from(f, id, KEY_COMPROMISED, label);
}

/* Whether it is the object that a KEK is known by. */
static bool is_first(const struct listed_key *key)
{
    struct key_label label;
    return err_is(key_label_parse(bytes_of_string(key->label), &label)) || label.role == 0;
}

/* Lists the whole ring, object by object; the last first one into ret. */
static uint32_t list(struct fixture *f, struct listed_key *ret)
{
    struct lane_request request = {.op = LANE_LIST, .u.list.ring = "k8s"};
    struct listed_key key;
    uint32_t n = 0;
    do {
        assert_int_equal(fixture_call(f, &request), ERR_NONE);
        struct bytes records = f->reply.u.list.records;
        for (uint32_t i = 0; i < f->reply.u.list.count; i++) {
            assert_false(err_is(lane_next_key(&records, &key)));
            if (is_first(&key))
                *ret = key;
        }
        assert_int_equal(records.len, 0);
        n += f->reply.u.list.count;
        request.u.list.cursor = f->reply.u.list.next;
    } while (request.u.list.cursor != 0);
    return n;
}

static void selftest_passes_and_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_SELFTEST};
    struct listed_key key;
    request.u.selftest.scheme = f->scheme->scheme;
    fixture_up(f, AGENT_MAKE);
    if (fixture_call(f, &request) != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
    assert_int_equal(list(f, &key), 0);
}

static void selftest_removes_old_leftovers(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_SELFTEST};
    request.u.selftest.scheme = f->scheme->scheme;
    fixture_make_odd_key(
        f, &(struct odd_key){.id = odd_id, .label = "p11-kms-selftest/old", .alone = true});
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
    /* were it still there, this second object would make the id ambiguous */
    fixture_make_odd_key(f, &(struct odd_key){.id = odd_id});
    struct listed_key key;
    assert_int_equal(list(f, &key), fixture_objects(f, 1));
    assert_false(key.ambiguous);
}

static void made_key_is_listed_as_it_must_be(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    struct listed_key key;
    fixture_up(f, AGENT_MAKE);
    generate(f, 7, &id);
    assert_int_equal(list(f, &key), fixture_objects(f, 1));
    assert_true(object_id_equal(&key.id, &id));
    assert_string_equal(key.label, fixture_label(f, 7, 0, KEY_PRE_ACTIVE));
    assert_int_equal(key_attributes_wrong(f->scheme->scheme, 0, &key.attributes), 0);
    assert_int_equal(key.attributes.length, 32);
    assert_false(key.ambiguous);
}

static void long_listing_comes_in_pages(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    struct listed_key key;
    fixture_up(f, AGENT_MAKE);
    for (uint32_t i = 1; i <= 250; i++)
        generate(f, i, &id);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(list(f, &key), fixture_objects(f, 250));
}

static void a_page_without_its_listing_is_invalid(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_LIST, .u.list.ring = "k8s", .u.list.cursor = 96};
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(fixture_call(f, &request), ERR_INVALID);
}

static void states_only_worsen(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    struct listed_key key;
    fixture_up(f, AGENT_MAKE);
    generate(f, 1, &id);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_ACTIVE)), ERR_NONE);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_ACTIVE)), ERR_NONE);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_PRE_ACTIVE)), ERR_REFUSED);
    assert_int_equal(relabel(f, &id, label_of(f, 2, KEY_COMPROMISED)), ERR_REFUSED);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_COMPROMISED)), ERR_NONE);
    assert_int_equal(list(f, &key), fixture_objects(f, 1));
    assert_string_equal(key.label, fixture_label(f, 1, 0, KEY_COMPROMISED));
}

/* What another replica has done since the asker looked is not undone unseen. */
static void a_state_that_nobody_has_seen_is_not_worsened(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    struct listed_key key;
    fixture_up(f, AGENT_MAKE);
    generate(f, 1, &id);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_ACTIVE)), ERR_NONE);
    assert_int_equal(relabel_from(f, &id, KEY_PRE_ACTIVE, label_of(f, 1, KEY_DEACTIVATED)),
                     ERR_REFUSED);
    assert_non_null(strstr(f->reply.status.text, "was pre-active when it was looked at"));
    assert_int_equal(list(f, &key), fixture_objects(f, 1));
    assert_string_equal(key.label, fixture_label(f, 1, 0, KEY_ACTIVE));
    assert_int_equal(relabel_from(f, &id, KEY_PRE_ACTIVE, label_of(f, 1, KEY_ACTIVE)), ERR_NONE);
    assert_int_equal(relabel_from(f, &id, KEY_ACTIVE, label_of(f, 1, KEY_DEACTIVATED)), ERR_NONE);
}

static void unknown_key_is_not_relabelled(void **state)
{
    struct fixture *f = *state;
    struct object_id id;
    assert_false(err_is(object_id_from(bytes_of(odd_id, 16), &id)));
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_ACTIVE)), ERR_NOT_FOUND);
}

/* Seals with the odd key: its refusal must say part. */
static void expect_refused(struct fixture *f, const char *part)
{
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key_id;
    size_t len;
    (void)snprintf(key_id.text, sizeof key_id.text, "%s", odd_key_id);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key_id, bytes_of(dek, 32), sealed, &len),
                     ERR_TOKEN);
    assert_int_equal(f->reply.status.remedy, REMEDY_HUMAN);
    if (!strstr(f->reply.status.text, part))
        fail_msg("\"%s\" does not say \"%s\"", f->reply.status.text, part);
}

static void extractable_key_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_make_odd_key(f, &(struct odd_key){.id = odd_id, .extractable = true});
    expect_refused(f, "EXTRACTABLE,NEVER_EXTRACTABLE");
}

static void key_with_excess_usage_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_make_odd_key(f, &(struct odd_key){.id = odd_id, .wrap = true});
    expect_refused(f, "WRAP");
}

static void key_of_another_ring_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_make_odd_key(
        f, &(struct odd_key){.id = odd_id, .label = "p11-kms/other/1/aes-gcm/active"});
    expect_refused(f, "ring other");
}

static void key_of_a_strange_label_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_make_odd_key(f, &(struct odd_key){.id = odd_id, .label = "somebody's key"});
    expect_refused(f, "label is not one of ours");
}

static void ambiguous_id_is_refused_and_listed(void **state)
{
    struct fixture *f = *state;
    struct listed_key key;
    fixture_make_odd_key(f, &(struct odd_key){.id = odd_id, .alone = true});
    fixture_make_odd_key(f,
                         &(struct odd_key){.id = odd_id, .label = "somebody's key", .alone = true});
    expect_refused(f, "two secret keys");
    assert_int_equal(list(f, &key), 1);
    assert_true(key.ambiguous);
}

static void roles_keep_to_their_requests(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_GENERATE};
    uint8_t sealed[ENVELOPE_MAX];
    struct key_id key;
    struct object_id id;
    size_t len;
    fixture_make_key(f, 1, &key);
    assert_false(err_is(object_id_from(bytes_of(odd_id, 16), &id)));
    request.u.generate.label = label_of(f, 2, KEY_ACTIVE);
    assert_int_equal(fixture_call(f, &request), ERR_DENIED);
    assert_int_equal(relabel(f, &id, label_of(f, 1, KEY_ACTIVE)), ERR_DENIED);
    request = (struct lane_request){.op = LANE_SELFTEST, .u.selftest.scheme = f->scheme->scheme};
    assert_int_equal(fixture_call(f, &request), ERR_DENIED);
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(fixture_seal(f, FAMILY_V2, &key, bytes_of(dek, 32), sealed, &len), ERR_DENIED);
    assert_int_equal(fixture_open(f, FAMILY_V2, bytes_of(dek, 32)), ERR_DENIED);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(selftest_passes_and_leaves_nothing),
        FRESH(selftest_removes_old_leftovers),
        FRESH(made_key_is_listed_as_it_must_be),
        FRESH(long_listing_comes_in_pages),
        FRESH(a_page_without_its_listing_is_invalid),
        FRESH(states_only_worsen),
        FRESH(a_state_that_nobody_has_seen_is_not_worsened),
        FRESH(unknown_key_is_not_relabelled),
        FRESH(extractable_key_is_refused),
        FRESH(key_with_excess_usage_is_refused),
        FRESH(key_of_another_ring_is_refused),
        FRESH(key_of_a_strange_label_is_refused),
        FRESH(ambiguous_id_is_refused_and_listed),
        FRESH(roles_keep_to_their_requests),
    };
    return FIXTURE_RUN_SCHEMES("keys", tests);
}
