/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions of a token that gives the lowest free number, as tables of sessions do: one that it has
 * closed by itself has its number given out again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "p11_call.h"
#include "p11_session.h"

#include <string.h>

enum { NUMBERS = 8, SESSIONS = 3 };

/* The token: which numbers name a session, and the one that was opened with it. */
static struct {
    unsigned opened[NUMBERS + 1]; /* the how-manieth it is; 0: no session */
    unsigned n_opened, most, closed;
} token;

static struct p11_session sessions[SESSIONS];

static unsigned count_open(void)
{
    unsigned n = 0;
    for (size_t i = 1; i <= NUMBERS; i++)
        n += token.opened[i] != 0;
    return n;
}

static CK_RV open_session(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                          CK_SESSION_HANDLE *ret)
{
    (void)slot, (void)flags, (void)application, (void)notify;
    for (CK_SESSION_HANDLE i = 1; i <= NUMBERS && count_open() < token.most; i++)
        if (token.opened[i] == 0) {
            token.opened[i] = ++token.n_opened;
            *ret = i;
            return CKR_OK;
        }
    return CKR_SESSION_COUNT;
}

static bool is_open(CK_SESSION_HANDLE session)
{
    return session >= 1 && session <= NUMBERS && token.opened[session] != 0;
}

static CK_RV close_session(CK_SESSION_HANDLE session)
{
    if (!is_open(session))
        return CKR_SESSION_HANDLE_INVALID;
    token.opened[session] = 0;
    token.closed++;
    return CKR_OK;
}

static CK_RV session_info(CK_SESSION_HANDLE session, CK_SESSION_INFO *ret)
{
    ret->state = CKS_RO_USER_FUNCTIONS;
    return is_open(session) ? CKR_OK : CKR_SESSION_HANDLE_INVALID;
}

static CK_FUNCTION_LIST functions = {.C_OpenSession = open_session,
                                     .C_CloseSession = close_session,
                                     .C_GetSessionInfo = session_info};
static const struct p11_module module = {.functions = &functions};

static int set_up(void **state)
{
    const struct p11_token any = {.slot = 0};
    (void)state;
    memset(&token, 0, sizeof token);
    token.most = NUMBERS;
    for (size_t i = 0; i < SESSIONS; i++)
        assert_false(err_is(p11_session_open(&module, &any, false, &sessions[i])));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++)
        p11_session_close(&sessions[i]);
    assert_int_equal(count_open(), 0); /* nothing was left behind */
    return 0;
}

/* The token does, as after an idle timeout. */
static void lose(const struct p11_session *session)
{
    assert_true(is_open(session->handle));
    token.opened[session->handle] = 0;
}

static void reopen(struct p11_session *session)
{
    assert_false(err_is(p11_session_reopen(session)));
}

static void assert_well(const struct p11_session *session)
{
    bool logged_in = false;
    assert_false(err_is(p11_session_logged_in(session, &logged_in)));
    assert_true(logged_in);
}

/* And no two of them share one. */
static void assert_all_well(void)
{
    for (size_t i = 0; i < SESSIONS; i++) {
        assert_well(&sessions[i]);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(sessions[i].handle, sessions[k].handle);
    }
    assert_int_equal(count_open(), SESSIONS);
}

static void a_session_that_is_well_is_another_after_it(void **state)
{
    (void)state;
    unsigned before = token.opened[sessions[1].handle];
    reopen(&sessions[1]);
    assert_int_not_equal(token.opened[sessions[1].handle], before);
    assert_int_equal(token.closed, 1);
    assert_all_well();
}

static void the_number_of_a_lost_one_may_come_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < SESSIONS; i++) {
        lose(&sessions[i]);
        reopen(&sessions[i]);
        assert_well(&sessions[i]);
    }
    assert_int_equal(token.closed, 0);
    assert_all_well();
}

static void no_two_share_a_session_after_all_were_lost(void **state)
{
    (void)state;
    for (size_t first = 0; first < SESSIONS; first++) {
        for (size_t i = 0; i < SESSIONS; i++)
            lose(&sessions[i]);
        for (size_t i = 0; i < SESSIONS; i++) {
            struct p11_session *session = &sessions[(first + i) % SESSIONS];
            unsigned others[SESSIONS] = {0};
            for (size_t k = 0; k < SESSIONS; k++)
                others[k] = token.opened[sessions[k].handle];
            reopen(session);
            assert_well(session);
            for (size_t k = 0; k < SESSIONS; k++) /* nobody's is closed but its own */
                if (&sessions[k] != session && others[k] != 0)
                    assert_int_equal(token.opened[sessions[k].handle], others[k]);
        }
        assert_all_well();
    }
}

static void no_more_sessions_are_needed_than_there_were(void **state)
{
    (void)state;
    token.most = SESSIONS;
    for (size_t i = SESSIONS; i-- > 0;)
        lose(&sessions[i]);
    for (size_t i = SESSIONS; i-- > 0;)
        reopen(&sessions[i]);
    assert_all_well();
}

static void what_could_not_be_opened_has_no_number(void **state)
{
    (void)state;
    struct p11_session *a = &sessions[0], *b = &sessions[1];
    bool logged_in;
    lose(a);
    token.most = 0;
    assert_true(err_is(p11_session_reopen(a)));
    assert_true(err_is(p11_session_logged_in(a, &logged_in)));
    token.most = NUMBERS;
    lose(b);
    reopen(b); /* which is given the number that was a's */
    assert_true(err_is(p11_session_logged_in(a, &logged_in)));
    unsigned of_b = token.opened[b->handle];
    reopen(a);
    assert_int_equal(token.opened[b->handle], of_b);
    assert_all_well();
}

static CK_RV open_the_same(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify,
                           CK_SESSION_HANDLE *ret)
{
    (void)slot, (void)flags, (void)application, (void)notify;
    *ret = sessions[0].handle;
    return CKR_OK;
}

static void a_session_that_another_has_is_not_taken(void **state)
{
    (void)state;
    functions.C_OpenSession = open_the_same;
    struct err e = p11_session_reopen(&sessions[1]);
    functions.C_OpenSession = open_session;
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_well(&sessions[0]);
}

int main(void)
{
#define SESSION(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        SESSION(a_session_that_is_well_is_another_after_it),
        SESSION(the_number_of_a_lost_one_may_come_again),
        SESSION(no_two_share_a_session_after_all_were_lost),
        SESSION(no_more_sessions_are_needed_than_there_were),
        SESSION(what_could_not_be_opened_has_no_number),
        SESSION(a_session_that_another_has_is_not_taken),
    };
    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
