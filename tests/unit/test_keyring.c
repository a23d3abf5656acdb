/* SPDX-License-Identifier: Apache-2.0 */
/* Views of the ring: finding, lifetime, and publishing while others read. */
#include "fake_agent.h"
#include "keyring.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

#include <cmocka.h>

enum { MANY = 5000, READERS = 3, PUBLISHES = 2000 };

static struct kek kek_of(uint16_t tail)
{
    struct listed_key listed = fake_key(1, KEY_ACTIVE, tail);
    return (struct kek){.id = listed.id, .key_id = fake_key_id(tail)};
}

static struct ring_view *view_of(size_t n, size_t active)
{
    struct ring_view *view = NULL;
    struct kek *keys = calloc(n + 1, sizeof *keys);
    assert_non_null(keys);
    for (size_t i = 0; i < n; i++)
        keys[i] = kek_of((uint16_t)i);
    const struct key_id gone = {"k8s.gone"};
    const struct ring_content content = {
        .keys = keys,
        .n = n,
        .active = active,
        .current = active < n ? keys[active].key_id : (struct key_id){"k8s.last"},
        .missing = &gone,
        .n_missing = 1,
    };
    struct err e = ring_view_new(&content, &view);
    free(keys); /* the view has copies */
    assert_false(err_is(e));
    size_t n_missing = 0;
    assert_string_equal(ring_view_missing(view, &n_missing)[0].text, "k8s.gone");
    assert_int_equal(n_missing, 1);
    return view;
}

static void thousands_of_keys_are_found(void **state)
{
    (void)state;
    size_t n = 0;
    struct ring_view *view = view_of(MANY, MANY - 1);
    for (uint16_t i = 0; i < MANY; i++) {
        struct kek key = kek_of(i);
        const struct kek *found = ring_view_find(view, &key.id);
        assert_non_null(found);
        assert_string_equal(found->key_id.text, key.key_id.text);
    }
    for (uint16_t i = MANY; i < MANY + 1000; i++) {
        struct kek key = kek_of(i);
        assert_null(ring_view_find(view, &key.id));
    }
    assert_non_null(ring_view_keys(view, &n));
    assert_int_equal(n, MANY);
    assert_string_equal(ring_view_active(view)->key_id.text, fake_key_id(MANY - 1).text);
    ring_view_unref(view);
}

static void an_empty_view_finds_nothing(void **state)
{
    (void)state;
    struct ring_view *view = view_of(0, SIZE_MAX);
    struct kek key = kek_of(1);
    assert_null(ring_view_find(view, &key.id));
    assert_null(ring_view_active(view));
    assert_string_equal(ring_view_current(view)->text, "k8s.last");
    ring_view_unref(view);
    ring_view_unref(NULL);
}

static void a_new_keyring_knows_nothing_and_is_not_well(void **state)
{
    (void)state;
    struct keyring *keyring = NULL;
    struct health health;
    struct key_id current;
    assert_false(err_is(keyring_new("k8s", &keyring)));
    assert_string_equal(keyring_name(keyring), "k8s");
    keyring_status(keyring, &health, &current);
    assert_false(health.ok);
    assert_string_equal(current.text, "");
    keyring_free(keyring);
    keyring_free(NULL);
}

static void a_view_outlives_its_successor(void **state)
{
    (void)state;
    struct keyring *keyring = NULL;
    const struct health health = {.ok = true, .text = "ok"};
    assert_false(err_is(keyring_new("k8s", &keyring)));
    keyring_publish(keyring, view_of(3, 0), &health);
    struct ring_view *held = keyring_view(keyring);
    keyring_publish(keyring, view_of(2, 1), &health);
    keyring_free(keyring);
    assert_string_equal(ring_view_active(held)->key_id.text, fake_key_id(0).text);
    ring_view_unref(held);
}

static void health_alone_keeps_the_view(void **state)
{
    (void)state;
    struct keyring *keyring = NULL;
    const struct health ok = {.ok = true, .text = "ok"}, away = {.text = "away"};
    struct health health;
    struct key_id current;
    assert_false(err_is(keyring_new("k8s", &keyring)));
    keyring_publish(keyring, view_of(1, 0), &ok);
    keyring_publish(keyring, NULL, &away);
    keyring_status(keyring, &health, &current);
    assert_string_equal(health.text, "away");
    assert_string_equal(current.text, fake_key_id(0).text);
    keyring_free(keyring);
}

struct race {
    struct keyring *keyring;
    atomic_bool over, torn;
};

/* Health and key_id must be of one moment; a view must stay whole. */
static void *read_on(void *argument)
{
    struct race *race = argument;
    while (!atomic_load(&race->over)) {
        struct health health;
        struct key_id current;
        keyring_status(race->keyring, &health, &current);
        if (strcmp(health.text, current.text) != 0)
            atomic_store(&race->torn, true);
        struct ring_view *view = keyring_view(race->keyring);
        const struct kek *active = ring_view_active(view);
        if (!active || ring_view_find(view, &active->id) != active)
            atomic_store(&race->torn, true);
        ring_view_unref(view);
    }
    return NULL;
}

static void publish_named(struct keyring *keyring, size_t active)
{
    struct health health = {.ok = true};
    (void)snprintf(health.text, sizeof health.text, "%s", fake_key_id((uint16_t)active).text);
    keyring_publish(keyring, view_of(4, active), &health);
}

static void readers_never_see_half_a_publish(void **state)
{
    (void)state;
    struct race race = {.keyring = NULL};
    pthread_t readers[READERS];
    assert_false(err_is(keyring_new("k8s", &race.keyring)));
    publish_named(race.keyring, 0);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_on, &race), 0);
    for (size_t i = 0; i < PUBLISHES; i++)
        publish_named(race.keyring, i % 4);
    atomic_store(&race.over, true);
    for (size_t i = 0; i < READERS; i++)
        assert_int_equal(pthread_join(readers[i], NULL), 0);
    assert_false(atomic_load(&race.torn));
    keyring_free(race.keyring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thousands_of_keys_are_found),
        cmocka_unit_test(an_empty_view_finds_nothing),
        cmocka_unit_test(a_new_keyring_knows_nothing_and_is_not_well),
        cmocka_unit_test(a_view_outlives_its_successor),
        cmocka_unit_test(health_alone_keeps_the_view),
        cmocka_unit_test(readers_never_see_half_a_publish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
