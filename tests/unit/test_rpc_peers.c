/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_peers.h"

#include "rpc_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct rpc_peers peers;

static int set_up(void **state)
{
    (void)state;
    rpc_peers_init(&peers);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    rpc_peers_destroy(&peers);
    return 0;
}

static void test_finds_by_name(void **state)
{
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 9});
    struct rpc_peer found = rpc_peers_find(&peers, "fd:70");
    assert_int_equal(found.uid, 5);
    assert_int_equal(found.connection, 9);
}

static void test_a_number_used_again_is_the_new_peer(void **state)
{
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 1});
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 6, .connection = 2});
    assert_int_equal(rpc_peers_find(&peers, "fd:70").uid, 6);
}

/* Two numbers may share an entry: then the older is unknown, never taken for the newer. */
static void test_shared_entry_is_no_mistaken_identity(void **state)
{
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 1});
    rpc_peers_put(&peers, 70 + RPC_PEERS, &(struct rpc_peer){.uid = 6, .connection = 2});
    assert_int_equal(rpc_peers_find(&peers, "fd:70").connection, 0);
    char newer[16];
    (void)snprintf(newer, sizeof newer, "fd:%d", 70 + RPC_PEERS);
    assert_int_equal(rpc_peers_find(&peers, newer).connection, 2);
}

/* Else it would be refused for ever where it lives on. */
static void test_a_peer_that_is_not_known_gets_places_that_are_left(void **state)
{
    struct rpc_place place = {.taken = false};
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 1});
    rpc_peers_put(&peers, 70 + RPC_PEERS, &(struct rpc_peer){.uid = 6, .connection = 2});
    for (unsigned i = 0; i < 2 * RPC_CALLS_MAX; i++) {
        assert_true(rpc_peers_take(&peers, "fd:70", &place));
        rpc_peers_give_back(&peers, &place);
    }
    for (unsigned i = 0; i < RPC_CALLS_MAX; i++)
        assert_true(rpc_peers_take(&peers, "fd:70", &place));
    assert_false(rpc_peers_take(&peers, "fd:70", &place));
}

static void test_other_names_are_nobody(void **state)
{
    static const char *const names[] = {"", "fd:", "fd:-1", "fd:71", "fd:70x", "unix:/x", "ipv4:1"};
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 1});
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(rpc_peers_find(&peers, names[i]).connection, 0);
}

static struct rpc_place places[2 * RPC_CALLS_MAX];

/* How many places this peer gets, from the given one on. */
static unsigned take_all(const char *name, unsigned from)
{
    unsigned n = 0;
    while (rpc_peers_take(&peers, name, &places[from + n]))
        n++;
    return n;
}

static void test_a_connection_has_as_many_calls_as_it_leaves_to_others(void **state)
{
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.connection = 1});
    rpc_peers_put(&peers, 71, &(struct rpc_peer){.connection = 2});
    unsigned first = take_all("fd:70", 0);
    assert_int_equal(first, RPC_CALLS_MAX / 2);
    assert_int_equal(take_all("fd:71", first), RPC_CALLS_MAX / 4);
    rpc_peers_give_back(&peers, &places[0]);
    assert_true(rpc_peers_take(&peers, "fd:71", &places[0]));
}

static void test_each_connection_has_some_calls_always(void **state)
{
    unsigned n = 0;
    char name[16];
    (void)state;
    for (int fd = 0; fd < 100; fd++) {
        rpc_peers_put(&peers, fd, &(struct rpc_peer){.connection = (uint64_t)fd + 1});
        (void)snprintf(name, sizeof name, "fd:%d", fd);
        unsigned taken = take_all(name, n);
        assert_true(taken >= RPC_CALLS_ALWAYS);
        n += taken;
    }
    while (n > 0)
        rpc_peers_give_back(&peers, &places[--n]);
    assert_int_equal(peers.waiting, 0);
    assert_int_equal(take_all("fd:5", 0), RPC_CALLS_MAX / 2);
}

static void test_calls_of_the_last_connection_are_not_the_next_ones(void **state)
{
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.connection = 1});
    assert_true(rpc_peers_take(&peers, "fd:70", &places[0]));
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.connection = 2});
    assert_true(rpc_peers_take(&peers, "fd:70", &places[1]));
    rpc_peers_give_back(&peers, &places[0]);
    assert_int_equal(peers.entries[70].waiting, 1);
    assert_int_equal(peers.waiting, 1);
    rpc_peers_give_back(&peers, &places[1]);
    assert_int_equal(peers.entries[70].waiting, 0);
    rpc_peers_give_back(&peers, &(struct rpc_place){0}); /* none was taken */
    assert_int_equal(peers.waiting, 0);
}

#define PEERS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEERS_TEST(test_finds_by_name),
        PEERS_TEST(test_a_number_used_again_is_the_new_peer),
        PEERS_TEST(test_shared_entry_is_no_mistaken_identity),
        PEERS_TEST(test_a_peer_that_is_not_known_gets_places_that_are_left),
        PEERS_TEST(test_other_names_are_nobody),
        PEERS_TEST(test_a_connection_has_as_many_calls_as_it_leaves_to_others),
        PEERS_TEST(test_each_connection_has_some_calls_always),
        PEERS_TEST(test_calls_of_the_last_connection_are_not_the_next_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
