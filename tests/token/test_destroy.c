/* SPDX-License-Identifier: Apache-2.0 */
/* The agent that destroys one key, on a live token. */
#include "fixture.h"

#include <string.h>

static const char first_id[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x01";
static const char other_id[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x02";

static void make(struct fixture *f, const char *id, const char *label)
{
    fixture_make_odd_key(f, &(struct odd_key){.id = id, .label = label});
}

/* Starts the agent for the first id; how it went. */
static enum err_code destroy(struct fixture *f)
{
    f->config.lanes = 1;
    assert_false(err_is(object_id_from(bytes_of(first_id, 16), &f->config.doomed)));
    fixture_start(f, AGENT_DESTROY);
    f->config.doomed.len = 0;
    return f->reply.status.code;
}

/* How many objects of the ring are there. */
static uint32_t count(struct fixture *f)
{
    struct lane_request request = {.op = LANE_LIST, .u.list.ring = "k8s"};
    uint32_t n = 0;
    fixture_up(f, AGENT_MAKE);
    do {
        assert_int_equal(fixture_call(f, &request), ERR_NONE);
        n += f->reply.u.list.count;
        request.u.list.cursor = f->reply.u.list.next;
    } while (request.u.list.cursor != 0);
    return n;
}

static void it_destroys_its_key_alone(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    make(f, other_id, fixture_label(f, 2, 0, KEY_DEACTIVATED));
    assert_int_equal(destroy(f), ERR_NONE);
    assert_int_equal(count(f), fixture_objects(f, 1));
    assert_int_equal(destroy(f), ERR_NOT_FOUND);
    assert_int_equal(count(f), fixture_objects(f, 1));
}

static void a_compromised_key_may_go_too(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, fixture_label(f, 1, 0, KEY_COMPROMISED));
    assert_int_equal(destroy(f), ERR_NONE);
    assert_int_equal(count(f), 0);
}

static void a_key_in_use_stays(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, fixture_label(f, 1, 0, KEY_ACTIVE));
    assert_int_equal(destroy(f), ERR_REFUSED);
    assert_non_null(strstr(f->reply.status.text, "deactivate it first"));
    assert_int_equal(count(f), fixture_objects(f, 1));
}

static void another_rings_key_stays(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, "p11-kms/other/1/aes-gcm/deactivated");
    assert_int_equal(destroy(f), ERR_REFUSED);
    assert_non_null(strstr(f->reply.status.text, "no key of ring k8s"));
    assert_int_equal(destroy(f), ERR_REFUSED);
}

static void two_keys_of_one_id_stay(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    assert_int_equal(destroy(f), ERR_TOKEN);
    assert_int_equal(count(f), fixture_objects(f, 2));
}

/* It ends after its hello: there is nobody who could be asked for more. */
static void it_takes_no_requests(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_LIST, .number = 1, .u.list.ring = "k8s"};
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    assert_int_equal(destroy(f), ERR_NONE);
    assert_int_equal(
        lane_call(f->agent.lane[0], &request, CALL_MS, f->packet, sizeof f->packet, &f->reply).code,
        ERR_UNAVAILABLE);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(it_destroys_its_key_alone), FRESH(a_compromised_key_may_go_too),
        FRESH(a_key_in_use_stays),        FRESH(another_rings_key_stays),
        FRESH(two_keys_of_one_id_stay),   FRESH(it_takes_no_requests),
    };
    return FIXTURE_RUN_SCHEMES("destroying", tests);
}
