/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "key_cache.h"

#include <string.h>

static struct object_id id_of(uint8_t n)
{
    return (struct object_id){.len = 2, .data = {n, (uint8_t)(n * 3)}};
}

static int make_cache(void **state)
{
    struct key_cache *cache = NULL;
    struct err e = key_cache_new(&cache);
    *state = cache;
    return err_is(e) ? -1 : 0;
}

static struct key_set keys_of(uint8_t n, unsigned long handle)
{
    return (struct key_set){.scheme = SCHEME_AES_GCM, .handles = {handle}, .ids = {id_of(n)}};
}

static void add(struct key_cache *cache, uint8_t n)
{
    struct key_set keys = keys_of(n, n);
    key_cache_add(cache, key_cache_epoch(cache), &keys);
}

static bool has(struct key_cache *cache, uint8_t n)
{
    struct key_set keys;
    struct object_id id = id_of(n);
    bool found = key_cache_find(cache, &id, &keys);
    assert_true(!found || (keys.handles[0] == n && object_id_equal(&keys.ids[0], &id)));
    return found;
}

static void finds_what_was_added(void **state)
{
    for (uint8_t n = 0; n < 255; n++)
        add(*state, n);
    for (uint8_t n = 0; n < 255; n++)
        assert_true(has(*state, n));
    assert_false(has(*state, 255));
}

static void newest_handle_replaces_the_one_before(void **state)
{
    struct key_cache *cache = *state;
    struct object_id id = id_of(1);
    struct key_set keys = keys_of(1, 77), found;
    add(cache, 1);
    key_cache_add(cache, key_cache_epoch(cache), &keys);
    assert_true(key_cache_find(cache, &id, &found));
    assert_int_equal(found.handles[0], 77);
    assert_true(key_cache_drop(cache, &id));
    assert_false(key_cache_drop(cache, &id));
}

static void drops_one(void **state)
{
    struct object_id id = id_of(1);
    add(*state, 1);
    add(*state, 2);
    assert_true(key_cache_drop(*state, &id));
    assert_false(key_cache_drop(*state, &id));
    assert_false(has(*state, 1));
    assert_true(has(*state, 2));
}

static void clearing_forgets_all(void **state)
{
    add(*state, 1);
    key_cache_clear(*state);
    assert_false(has(*state, 1));
}

/* A handle found before a login may be another key's after it. */
static void handle_from_before_a_clear_is_not_added(void **state)
{
    struct key_set keys = keys_of(9, 9);
    unsigned long epoch = key_cache_epoch(*state);
    key_cache_clear(*state);
    key_cache_add(*state, epoch, &keys);
    assert_false(has(*state, 9));
}

/* What prepare() proved of key pairs is kept, and goes where another KEK without any takes its
 * place. */
static void keeps_public_halves(void **state)
{
    struct key_cache *cache = *state;
    struct object_id id = id_of(5);
    struct key_set pairs = keys_of(5, 50), found = {.scheme = SCHEME_NONE};
    pairs.scheme = SCHEME_RSA_OAEP_SIGN;
    pairs.handles[1] = 51;
    pairs.ids[1] = id_of(6);
    pairs.types[1] = KEY_TYPE_EC;
    pairs.choice = 2;
    pairs.publics[0] = (struct public_half){3, {1, 2, 3}};
    pairs.publics[1] = (struct public_half){2, {4, 5}};
    key_cache_add(cache, key_cache_epoch(cache), &pairs);
    assert_true(key_cache_find(cache, &id, &found));
    assert_memory_equal(&found, &pairs, sizeof found);
    add(cache, 5);
    assert_true(key_cache_find(cache, &id, &found));
    assert_int_equal(found.publics[0].len + found.publics[1].len, 0);
    assert_int_equal(found.handles[0], 5);
}

static int free_cache(void **state)
{
    key_cache_free(*state);
    return 0;
}

#define WITH_CACHE(test) cmocka_unit_test_setup_teardown(test, make_cache, free_cache)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_CACHE(finds_what_was_added),
        WITH_CACHE(newest_handle_replaces_the_one_before),
        WITH_CACHE(drops_one),
        WITH_CACHE(clearing_forgets_all),
        WITH_CACHE(handle_from_before_a_clear_is_not_added),
        WITH_CACHE(keeps_public_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
