/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper of an external ring: what this host has adopted decides, not what labels say. */
#include "pool_jobs.h"
#include "ring_adopted.h"
#include "ring_rig.h"
#include "ring_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static struct ring_rig rig;
static struct listed_key keys[2];

static int setup(void **state)
{
    (void)state;
    rig_make(&rig);
    keyring_set_external(rig.keyring, WAIVE_USAGE);
    for (uint16_t i = 0; i < 2; i++) {
        keys[i] = fake_key(1, KEY_COMPROMISED, i); /* a label that must mean nothing here */
        keys[i].attributes.value |= ATTR_BIT(ATTR_WRAP);
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

static struct key_id name_of(size_t key)
{
    struct key_id key_id;
    assert_false(err_is(key_id_make_external("k8s", &keys[key].id, &key_id)));
    return key_id;
}

static void adopt(size_t key)
{
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted;
    const struct key_id key_id = name_of(key);
    assert_false(err_is(ring_adopted_load(rig.dir, "k8s", &adopted)));
    assert_false(err_is(ring_adopted_append(rig.dir, "k8s", &adopted, &key_id, 1)));
}

static void start(void)
{
    rig_start(&rig, 60000, NEVER_MS, NEVER_MS);
}

static void expect_current(size_t key)
{
    struct health health;
    struct key_id current;
    keyring_status(rig.keyring, &health, &current);
    assert_string_equal(current.text, name_of(key).text);
}

static void expect_state(size_t key, enum key_state state)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    const struct kek *kek = ring_view_find(view, &keys[key].id);
    assert_non_null(kek);
    assert_int_equal(kek->label.state, state);
    assert_int_equal(kek->waived, ATTR_BIT(ATTR_WRAP));
}

/* Until the first look has ended, and found all well. */
static void serve_until_ok(size_t n)
{
    (void)rig_serve_well(&rig, keys, n);
}

/* Waits for the health to hold the words while it is not ok. */
static void expect_sick(const char *words, bool failed)
{
    struct health health = rig_wait_text(&rig, words);
    assert_false(health.ok);
    assert_int_equal(health.failed, failed);
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    assert_null(ring_view_active(view));
}

static void nothing_seals_until_a_key_is_adopted(void **state)
{
    (void)state;
    start();
    (void)rig_serve(&rig, keys, 2);
    expect_sick("has no key adopted on this host yet", false);
    expect_state(0, KEY_PRE_ACTIVE);
    adopt(1);
    keeper_rescan(rig.keeper);
    (void)rig_wait_ok(&rig);
    expect_current(1);
    expect_state(0, KEY_PRE_ACTIVE);
    expect_state(1, KEY_ACTIVE);
}

static void ring_active_takes_effect_at_the_next_look(void **state)
{
    (void)state;
    adopt(0);
    adopt(1);
    struct key_id wanted = name_of(0);
    const struct ring_memory known = {.key_id = wanted, .generation = 1};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    keyring_set_wanted(rig.keyring, &wanted);
    start();
    serve_until_ok(2);
    expect_current(0);
    unsigned looks = rig_looks(&rig);
    wanted.text[0] = '\0';
    keyring_set_wanted(rig.keyring, &wanted);
    keeper_rescan(rig.keeper);
    rig_wait_looks(&rig, looks + 1);
    expect_current(1);
    expect_state(0, KEY_DEACTIVATED);
    wanted = name_of(0); /* and there is no way back */
    keyring_set_wanted(rig.keyring, &wanted);
    keeper_rescan(rig.keeper);
    expect_sick("an active key never goes back", false);
}

static void a_missing_adopted_key_fails_status_and_no_other_seals(void **state)
{
    (void)state;
    adopt(0);
    adopt(1);
    start();
    (void)rig_serve(&rig, keys, 1);
    expect_sick("is not among the keys that ring.select finds", true);
}

static void other_material_is_quarantined(void **state)
{
    (void)state;
    adopt(0);
    start();
    serve_until_ok(1);
    fake_agent_material(rig.agent, 2);
    keeper_kick(rig.keeper);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
    fake_agent_material(rig_agent(&rig, keys, 1), 2);
    rig_offer(&rig);
    fake_agent_hello(rig.agent);
    expect_sick("is quarantined", true);
}

static void a_refused_key_is_told_once(void **state)
{
    (void)state;
    adopt(0);
    keys[0].attributes.value &= ~ATTR_BIT(ATTR_WRAP);
    keys[1].attributes.value |= ATTR_BIT(ATTR_EXTRACTABLE);
    start();
    serve_until_ok(2); /* a bad key beside it does no harm */
    assert_int_equal(rig_warnings(&rig), 1);
    assert_non_null(strstr(rig.warning, "is refused: the token reports EXTRACTABLE"));
    unsigned looks = rig_looks(&rig);
    keeper_rescan(rig.keeper);
    rig_wait_looks(&rig, looks + 1);
    assert_int_equal(rig_warnings(&rig), 1);
}

static void what_is_waived_is_told(void **state)
{
    (void)state;
    adopt(0);
    start();
    serve_until_ok(1);
    assert_int_equal(rig_warnings(&rig), 1);
    assert_non_null(strstr(rig.warning, "is accepted by ring.waive (waived: WRAP)"));
}

static void a_damaged_list_seals_nothing(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/ring-k8s.adopted", rig.dir);
    adopt(0);
    assert_int_equal(truncate(path, 20), 0);
    start();
    (void)rig_serve(&rig, keys, 1);
    expect_sick("is damaged or cannot be read, and nothing is sealed", false);
}

/* What the host knows by the names of a managed ring is not missing because of the new names. */
static void a_ring_that_became_external_misses_nothing(void **state)
{
    (void)state;
    const struct ring_memory known = {.key_id = fake_key_id(0), .generation = 7};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    const struct key_id managed = fake_key_id(0);
    assert_false(
        err_is(ring_state_set_canary(rig.dir, &managed, bytes_of_string("not looked into"))));
    adopt(0);
    start();
    serve_until_ok(2);
    expect_current(0);
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    size_t n = 1;
    (void)ring_view_missing(view, &n);
    assert_int_equal(n, 0);
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(nothing_seals_until_a_key_is_adopted),
        RIG(ring_active_takes_effect_at_the_next_look),
        RIG(a_missing_adopted_key_fails_status_and_no_other_seals),
        RIG(other_material_is_quarantined),
        RIG(a_refused_key_is_told_once),
        RIG(what_is_waived_is_told),
        RIG(a_damaged_list_seals_nothing),
        RIG(a_ring_that_became_external_misses_nothing),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
