/* SPDX-License-Identifier: Apache-2.0 */
/* What a lane answers where sessions and logins are lost: a module of a few functions stands in for
 * the token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent.h"
#include "io.h"
#include "ops.h"
#include "p11_call.h"

#include <string.h>
#include <sys/socket.h>

/* The token: how its first searches fail, and what else does. */
static struct {
    CK_RV rv;
    unsigned find_fails, finds;
    bool open_fails, info_fails;
} token;

static struct agent agent;
static struct lane lane;
static struct lane_room room;
static struct lane_reply reply;
static uint8_t packet[LANE_LIST_PACKET_MAX];

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *ret)
{
    (void)slot, (void)flags, (void)application, (void)notify;
    static CK_SESSION_HANDLE last;
    *ret = ++last;
    return token.open_fails ? CKR_SESSION_COUNT : CKR_OK;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    (void)session;
    return CKR_OK;
}

static CK_RV session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *ret)
{
    (void)session;
    ret->state = CKS_RO_USER_FUNCTIONS;
    return token.info_fails ? CKR_SESSION_HANDLE_INVALID : CKR_OK;
}

static CK_RV find_init(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG n)
{
    (void)session, (void)wanted, (void)n;
    return token.finds++ < token.find_fails ? token.rv : CKR_OK;
}

static CK_RV find(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *ret, CK_ULONG room_for, CK_ULONG *n)
{
    (void)session, (void)ret, (void)room_for;
    *n = 0;
    return CKR_OK;
}

static CK_FUNCTION_LIST functions = {.C_OpenSession = open_session,
                                     .C_CloseSession = close_session,
                                     .C_GetSessionInfo = session_info,
                                     .C_FindObjectsInit = find_init,
                                     .C_FindObjects = find,
                                     .C_FindObjectsFinal = close_session};
static struct p11_module module = {.functions = &functions};

static int set_up(void **state)
{
    (void)state;
    memset(&token, 0, sizeof token);
    token.rv = CKR_SESSION_HANDLE_INVALID;
    agent = (struct agent){.module = &module, .login_lock = PTHREAD_MUTEX_INITIALIZER};
    agent.config.role = AGENT_SERVE;
    memcpy(agent.config.ring, "k8s", sizeof "k8s");
    agent.token.pin.login_required = true;
    lane = (struct lane){.agent = &agent, .room = &room};
    assert_false(err_is(p11_session_open(&module, &agent.token, false, &lane.session)));
    return err_is(key_cache_new(&agent.keys)) ? -1 : 0;
}

static int tear_down(void **state)
{
    (void)state;
    p11_session_close(&lane.session);
    key_cache_free(agent.keys);
    listing_free(lane.listing);
    return 0;
}

/* Asks for the ring's keys, and has the lane answer that and then find its peer gone. */
static const struct lane_status *asked(void)
{
    const struct lane_request request = {.op = LANE_LIST, .number = 1, .u.list.ring = "k8s"};
    struct writer w = writer_over(packet, sizeof packet);
    int pair[2];
    size_t len;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    lane_put_request(&w, &request);
    assert_false(err_is(packet_send(pair[0], writer_bytes(&w), NULL, 0)));
    assert_int_equal(shutdown(pair[0], SHUT_WR), 0);
    lane.fd = pair[1];
    lane_serve(&lane);
    assert_false(err_is(packet_receive(pair[0], packet, sizeof packet, &len, NULL, 0, NULL)));
    assert_false(err_is(lane_get_reply(bytes_of(packet, len), &reply)));
    assert_int_equal(close(pair[0]), 0);
    assert_int_equal(close(pair[1]), 0);
    return &reply.status;
}

static void assert_needs_agent(const struct lane_status *status)
{
    assert_int_equal(status->code, ERR_UNAVAILABLE);
    assert_int_equal(status->remedy, REMEDY_AGENT);
}

static void a_lost_session_is_mended_unnoticed(void **state)
{
    (void)state;
    token.find_fails = 1;
    assert_int_equal(asked()->code, ERR_NONE);
    assert_int_equal(reply.status.remedy, REMEDY_NONE);
}

static void one_that_cannot_be_opened_anew_needs_a_new_agent(void **state)
{
    (void)state;
    token.find_fails = 1;
    token.open_fails = true;
    assert_needs_agent(asked());
    assert_non_null(strstr(reply.status.text, "CKR_SESSION_COUNT"));
    assert_int_equal(token.finds, 1);
}

static void one_in_which_nobody_can_log_in_needs_a_new_agent(void **state)
{
    (void)state;
    token.find_fails = 1;
    token.info_fails = true;
    assert_needs_agent(asked());
    assert_int_equal(token.finds, 1);
}

static void one_that_is_lost_again_at_once_needs_a_new_agent(void **state)
{
    const CK_RV rvs[] = {CKR_SESSION_HANDLE_INVALID, CKR_USER_NOT_LOGGED_IN, CKR_OPERATION_ACTIVE};
    (void)state;
    for (size_t i = 0; i < sizeof rvs / sizeof *rvs; i++) {
        token.rv = rvs[i];
        token.finds = 0;
        token.find_fails = 2;
        assert_needs_agent(asked());
        assert_int_equal(token.finds, 2);
        assert_int_equal(reply.status.ckr, rvs[i]);
    }
}

static void what_no_new_session_mends_is_answered_at_once(void **state)
{
    (void)state;
    token.rv = CKR_ATTRIBUTE_VALUE_INVALID;
    token.find_fails = 1;
    (void)asked();
    assert_int_equal(reply.status.remedy, REMEDY_HUMAN);
    assert_int_equal(token.finds, 1);
}

int main(void)
{
#define LANE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LANE(a_lost_session_is_mended_unnoticed),
        LANE(one_that_cannot_be_opened_anew_needs_a_new_agent),
        LANE(one_in_which_nobody_can_log_in_needs_a_new_agent),
        LANE(one_that_is_lost_again_at_once_needs_a_new_agent),
        LANE(what_no_new_session_mends_is_answered_at_once),
    };
    return cmocka_run_group_tests_name("a lane's answers", tests, NULL, NULL);
}
