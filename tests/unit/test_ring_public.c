/* SPDX-License-Identifier: Apache-2.0 */
/* Public keys on the token, which anybody can make without the PIN: what a look makes of them. */
#include "fake_agent.h"
#include "ring_look.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 60000 };

static struct ring_look take(bool external, const struct listed_key *keys, size_t n, size_t page)
{
    const struct ring_rules rules = {.name = "k8s", .external = external};
    struct ring_look look = {.n = 0};
    struct lane_status status;
    int lane;
    struct fake_agent *agent = fake_agent_new(1, &lane);
    fake_agent_keys(agent, keys, n, page);
    struct err e = ring_look_take(lane, TIMEOUT_MS, NULL, &rules, &look, &status);
    (void)close(lane);
    fake_agent_free(agent);
    assert_false(err_is(e));
    return look;
}

static struct listed_key make_public(struct listed_key key)
{
    key.attributes.value &= ~ATTR_BIT(ATTR_PRIVATE);
    return key;
}

static enum verdict judge(const struct listed_key *keys, size_t n, const struct key_id *known)
{
    const struct ring_memory memory = {.key_id = *known, .generation = 1};
    struct ring_look look = take(false, keys, n, n);
    struct health health;
    size_t active = 0;
    enum verdict verdict = ring_look_judge(&look, "k8s", &memory, &active, &health);
    ring_look_clear(&look);
    return verdict;
}

static void they_are_no_keks(void **state)
{
    (void)state;
    static const struct key_id none = {""};
    const struct listed_key kek = fake_key(3, KEY_ACTIVE, 1);
    struct listed_key keys[] = {fake_key_object(&kek, SCHEME_AES_CBC_HMAC, 0),
                                fake_key_object(&kek, SCHEME_AES_CBC_HMAC, 1),
                                make_public(fake_key(GENERATION_MAX, KEY_ACTIVE, 2)),
                                make_public(fake_key(4, KEY_PRE_ACTIVE, 3)),
                                make_public(fake_key(4, KEY_ACTIVE, 1)), /* with the KEK's CKA_ID */
                                make_public(fake_key(4, KEY_ACTIVE, 4)), /* with that of its mac */
                                fake_key(5, KEY_ACTIVE, 5)};             /* half a KEK */
    keys[5].id = keys[1].id;
    keys[6] = fake_key_object(&keys[6], SCHEME_AES_CBC_HMAC, 0);
    keys[6] = make_public(keys[6]);
    for (size_t page = 1; page <= 7; page++) {
        struct ring_look look = take(false, keys, 7, page);
        assert_int_equal(look.n, 1);
        assert_int_equal(look.keys[0].label.generation, 3);
        assert_int_equal(look.broken, 0);
        assert_int_equal(look.foreign, 5);
        assert_int_equal(look.publics, 5);
        ring_look_clear(&look);
    }
    const struct key_id known = fake_key_id(1);
    assert_int_equal(judge(keys, 7, &none), VERDICT_SEALS);
    assert_int_equal(judge(&keys[2], 5, &none), VERDICT_EMPTY);
    assert_int_equal(judge(&keys[2], 5, &known), VERDICT_MISSING);
}

/* Some tokens do not tell it. */
static void what_is_not_told_is_not_public(void **state)
{
    (void)state;
    struct listed_key key = make_public(fake_key(1, KEY_ACTIVE, 1));
    key.attributes.known &= ~ATTR_BIT(ATTR_PRIVATE);
    struct ring_look look = take(false, &key, 1, 1);
    assert_int_equal(look.n, 1);
    assert_int_equal(look.keys[0].wrong, ATTR_BIT(ATTR_PRIVATE));
    assert_int_equal(look.publics, 0);
    ring_look_clear(&look);
}

/* One of an operator's that is public by mistake has to be told, but stands in no other's place. */
static void one_of_an_external_ring_is_refused(void **state)
{
    (void)state;
    const struct listed_key keys[] = {
        make_public(fake_key(1, KEY_ACTIVE, 1)), make_public(fake_key(1, KEY_ACTIVE, 2)),
        fake_key(1, KEY_ACTIVE, 1), make_public(fake_key(1, KEY_ACTIVE, 1))};
    struct ring_look look = take(true, keys, 4, 4);
    assert_int_equal(look.n, 2);
    assert_true(kek_usable(&look.keys[0]));
    assert_true(object_id_equal(&look.keys[0].id, &keys[2].id));
    assert_true(object_id_equal(&look.keys[1].id, &keys[1].id));
    assert_int_equal(look.keys[1].wrong, ATTR_BIT(ATTR_PRIVATE));
    assert_int_equal(look.publics, 2);
    assert_int_equal(look.foreign, 0);
    ring_look_clear(&look);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(they_are_no_keks),
        cmocka_unit_test(what_is_not_told_is_not_public),
        cmocka_unit_test(one_of_an_external_ring_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
