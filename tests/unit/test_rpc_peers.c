/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_peers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

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
    assert_int_equal(rpc_peers_find(&peers, "fd:582").connection, 2);
}

static void test_other_names_are_nobody(void **state)
{
    static const char *const names[] = {"", "fd:", "fd:-1", "fd:71", "fd:70x", "unix:/x", "ipv4:1"};
    (void)state;
    rpc_peers_put(&peers, 70, &(struct rpc_peer){.uid = 5, .connection = 1});
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(rpc_peers_find(&peers, names[i]).connection, 0);
}

#define PEERS_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        PEERS_TEST(test_finds_by_name),
        PEERS_TEST(test_a_number_used_again_is_the_new_peer),
        PEERS_TEST(test_shared_entry_is_no_mistaken_identity),
        PEERS_TEST(test_other_names_are_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
