/* SPDX-License-Identifier: Apache-2.0 */
/* The agent that destroys one key, on a live token. */
#include "fixture.h"

#include <stdio.h>
#include <stdlib.h>
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
    assert_int_equal(destroy(f), ERR_NONE); /* it is gone already */
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

/* As a destruction leaves it that was cut short: without its first object. */
static void make_rest(struct fixture *f, enum key_state state)
{
    static const char *const delete[] = {
        "--delete-object", "--type", "secrkey", "--id", "01890101010171018101010101010101", NULL};
    make(f, first_id, fixture_label(f, 1, 0, state));
    fixture_pkcs11_tool(f, delete);
    assert_int_equal(count(f), fixture_objects(f, 1) - 1);
}

static void what_was_left_goes_too(void **state)
{
    struct fixture *f = *state;
    make_rest(f, KEY_DEACTIVATED);
    make(f, other_id, fixture_label(f, 2, 0, KEY_DEACTIVATED));
    assert_int_equal(destroy(f), ERR_NONE);
    assert_int_equal(count(f), fixture_objects(f, 1));
}

/* Of a KEK of one object there is no rest. */
static void the_rest_of_one_in_use_stays(void **state)
{
    struct fixture *f = *state;
    uint32_t rest = fixture_objects(f, 1) - 1;
    make_rest(f, KEY_ACTIVE);
    assert_int_equal(destroy(f), rest > 0 ? ERR_REFUSED : ERR_NONE);
    assert_int_equal(count(f), rest);
}

/* It has the CKA_ID of a KEK's second object, and is labelled as a first one. */
static void what_is_not_labelled_as_the_rest_stays(void **state)
{
    struct fixture *f = *state;
    struct object_id first, second;
    char id[OBJECT_ID_MAX + 1] = "";
    assert_false(err_is(object_id_from(bytes_of(first_id, 16), &first)));
    assert_false(err_is(object_id_of_role(&first, SCHEME_AES_CBC_HMAC, 1, &second)));
    memcpy(id, second.data, second.len);
    fixture_make_odd_key(f, &(struct odd_key){.id = id,
                                              .label = fixture_label(f, 1, 0, KEY_DEACTIVATED),
                                              .alone = true});
    assert_int_equal(destroy(f), ERR_REFUSED);
    assert_non_null(strstr(f->reply.status.text, "is not labelled as that"));
    assert_int_equal(count(f), 1);
}

static const char another_id[] = "C_GetAttributeValue every attributes 1 garbage";

/* Another one may have the handle by now. */
static void a_handle_of_another_id_is_not_destroyed(void **state)
{
    struct fixture *f = *state;
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    fixture_fault(f, another_id);
    assert_int_not_equal(destroy(f), ERR_NONE);
    assert_non_null(strstr(f->reply.status.text, "CKA_ID: CKR_OBJECT_HANDLE_INVALID"));
    fixture_fault(f, NULL);
    assert_int_equal(count(f), fixture_objects(f, 1));
    assert_int_equal(destroy(f), ERR_NONE);
}

/* "nothing": the token says that it did. */
static void while_the_first_object_stays_all_do(void **state)
{
    struct fixture *f = *state;
    static const char *const faults[] = {"C_DestroyObject call 1 return CKR_DEVICE_ERROR",
                                         "C_DestroyObject call 1 nothing"};
    make(f, first_id, fixture_label(f, 1, 0, KEY_DEACTIVATED));
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        fixture_fault(f, faults[i]);
        assert_int_not_equal(destroy(f), ERR_NONE);
        fixture_fault(f, NULL);
        assert_int_equal(count(f), fixture_objects(f, 1));
    }
}

/* --- pairs ------------------------------------------------------------------------------- */

static const char refused[] = "C_DestroyObject every return CKR_DEVICE_ERROR";

/* Destroys the pairs of this CKA_ID, beside this fault; how it went. */
static enum err_code destroy_pairs(struct fixture *f, const struct object_id *id, const char *fault)
{
    f->config.lanes = 1;
    f->config.doomed = *id;
    fixture_fault(f, fault);
    fixture_start(f, AGENT_DESTROY);
    fixture_fault(f, NULL);
    f->config.doomed.len = 0;
    return f->reply.status.code;
}

/* After each of its four objects in turn, and the next agent finishes it. That the last one wants
 * to destroy nothing says that no public half is left. */
static void pairs_go_whatever_was_cut_short(void **state)
{
    struct fixture *f = *state;
    struct lane_request request = {.op = LANE_GENERATE};
    request.u.generate.label =
        (struct key_label){"k8s", 1, SCHEME_RSA_OAEP_SIGN, 0, KEY_DEACTIVATED};
    for (int call = 1; call <= 4; call++) {
        char fault[64];
        fixture_up(f, AGENT_MAKE);
        assert_int_equal(fixture_call(f, &request), ERR_NONE);
        const struct object_id id = f->reply.u.made;
        (void)snprintf(fault, sizeof fault, "C_DestroyObject call %d return CKR_DEVICE_ERROR",
                       call);
        assert_int_not_equal(destroy_pairs(f, &id, fault), ERR_NONE);
        assert_non_null(strstr(f->reply.status.text, "C_DestroyObject: CKR_DEVICE_ERROR"));
        assert_int_equal(count(f), call == 1 ? 2 : call < 4 ? 1 : 0);
        assert_int_not_equal(destroy_pairs(f, &id, another_id), ERR_NONE);
        assert_non_null(strstr(f->reply.status.text, "CKA_ID: CKR_OBJECT_HANDLE_INVALID"));
        assert_int_equal(destroy_pairs(f, &id, NULL), ERR_NONE);
        assert_int_equal(count(f), 0);
        assert_int_equal(destroy_pairs(f, &id, refused), ERR_NONE);
    }
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
        FRESH(it_destroys_its_key_alone),
        FRESH(a_compromised_key_may_go_too),
        FRESH(a_key_in_use_stays),
        FRESH(another_rings_key_stays),
        FRESH(two_keys_of_one_id_stay),
        FRESH(what_was_left_goes_too),
        FRESH(the_rest_of_one_in_use_stays),
        FRESH(what_is_not_labelled_as_the_rest_stays),
        FRESH(a_handle_of_another_id_is_not_destroyed),
        FRESH(while_the_first_object_stays_all_do),
        FRESH(it_takes_no_requests),
    };
    const struct CMUnitTest pairs[] = {FRESH(pairs_go_whatever_was_cut_short)};
    int failed = FIXTURE_RUN_SCHEMES("destroying", tests);
    if (failed || getenv("P11KMS_MEMCHECK")) /* there it takes minutes to make a pair */
        return failed;
    return FIXTURE_RUN("destroying pairs", pairs);
}
