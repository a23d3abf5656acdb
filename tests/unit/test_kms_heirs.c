/* SPDX-License-Identifier: Apache-2.0 */
/* Decrypts that name unknown KEKs, on a token whose agents see nothing that others have made since
 * they started: only an heir can tell. */
#include "kms_calls.h"
#include "pool_jobs.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static struct kms_rig rig;

static int setup(void **state)
{
    (void)state;
    kms_rig_make(&rig);
    kms_rig_serve(&rig);
    keyring_set_needs_heirs(rig.ring.keyring);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    kms_rig_end(&rig);
    return 0;
}

/* The agent that serves looks once more, for whatever reason. */
static void look_in_between(void)
{
    unsigned looks = rig_looks(&rig.ring);
    keeper_rescan(rig.ring.keeper);
    rig_wait_looks(&rig.ring, looks + 1);
}

static void let_an_heir_look(uint16_t keks)
{
    struct listed_key keys[3];
    unsigned looks = rig_looks(&rig.ring);
    rig_wait_heir(&rig.ring, RIG_WANTED, rig.ring.generation);
    for (uint16_t i = 0; i < keks; i++)
        keys[i] = fake_key(i + 1U, i + 1 == keks ? KEY_ACTIVE : KEY_DEACTIVATED, (uint16_t)(i + 1));
    (void)rig_serve(&rig.ring, keys, keks);
    rig_wait_looks(&rig.ring, looks + 1);
}

/* Asked for already, or paced: the second comes seconds after the first. */
static void a_kek_that_only_an_heir_sees_is_waited_for(void **state)
{
    (void)state;
    struct call call;
    call_decrypt(&rig, &call, 2, "asked for");
    rig_wait_heir(&rig.ring, RIG_WANTED, 1);
    look_in_between();
    assert_false(call_ended(&call));
    let_an_heir_look(2);
    call_expect_text(&call, "asked for");
    call_decrypt(&rig, &call, 3, "paced");
    look_in_between();
    assert_false(call_ended(&call));
    let_an_heir_look(3);
    call_expect_text(&call, "paced");
    assert_int_equal(rig_warnings(&rig.ring), 0); /* none was taken for missing */
}

static void a_kek_that_an_heir_does_not_see_is_not_found(void **state)
{
    (void)state;
    struct call call;
    call_decrypt(&rig, &call, 2, "dek");
    look_in_between();
    let_an_heir_look(1);
    call_expect(&call, ERR_NOT_FOUND, "no KEK");
}

static void without_an_agent_nobody_waits_for_an_heir(void **state)
{
    (void)state;
    struct call call;
    call_decrypt(&rig, &call, 2, "dek");
    look_in_between();
    rig_kill(&rig.ring, "killed by signal 9");
    call_expect(&call, ERR_UNAVAILABLE, "the token agent ended");
}

static void whoever_waits_no_more_is_let_go_while_no_heir_comes(void **state)
{
    (void)state;
    struct call gone, waits;
    call_decrypt(&rig, &gone, 100, "dek");
    call_decrypt(&rig, &waits, 101, "dek");
    atomic_store(&gone.cancelled, true);
    look_in_between();
    call_expect(&gone, ERR_DEADLINE, "no fresh agent");
    assert_false(call_ended(&waits));
    let_an_heir_look(1);
    call_expect(&waits, ERR_NOT_FOUND, "no KEK");
}

/* Nor does a client wait for ever that has no deadline. */
static void nobody_waits_for_more_than_ten_seconds(void **state)
{
    (void)state;
    struct call call;
    call_decrypt(&rig, &call, 2, "dek");
    int64_t end_ns = clock_monotonic_ns() + INT64_C(10100000000);
    while (clock_monotonic_ns() < end_ns)
        (void)poll(NULL, 0, 20);
    assert_false(call_ended(&call));
    look_in_between();
    call_expect(&call, ERR_DEADLINE, "no fresh agent");
}

static void whoever_waits_no_more_takes_nobodys_place(void **state)
{
    (void)state;
    enum { PLACES = 64 };
    static struct call gone[PLACES], waits, refused;
    for (uint16_t i = 0; i < PLACES; i++)
        call_decrypt(&rig, &gone[i], (uint16_t)(100 + i), "dek");
    call_decrypt(&rig, &refused, 200, "dek");
    call_expect(&refused, ERR_EXHAUSTED, "unknown KEKs");
    for (size_t i = 0; i < PLACES; i++)
        atomic_store(&gone[i].cancelled, true);
    call_decrypt(&rig, &waits, 200, "dek");
    assert_false(call_ended(&waits));
    for (size_t i = 0; i < PLACES; i++)
        call_expect(&gone[i], ERR_DEADLINE, "no fresh agent");
    let_an_heir_look(1);
    call_expect(&waits, ERR_NOT_FOUND, "no KEK");
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_kek_that_only_an_heir_sees_is_waited_for),
        TEST(a_kek_that_an_heir_does_not_see_is_not_found),
        TEST(without_an_agent_nobody_waits_for_an_heir),
        TEST(whoever_waits_no_more_is_let_go_while_no_heir_comes),
        TEST(nobody_waits_for_more_than_ten_seconds),
        TEST(whoever_waits_no_more_takes_nobodys_place),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
