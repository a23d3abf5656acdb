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

static void add(struct key_cache *cache, uint8_t n)
{
    struct object_id id = id_of(n);
    key_cache_add(cache, key_cache_epoch(cache), &id, (struct cached_key){n, SCHEME_AES_GCM});
}

static bool has(struct key_cache *cache, uint8_t n)
{
    struct cached_key key = {.handle = 0};
    struct object_id id = id_of(n);
    bool found = key_cache_find(cache, &id, &key);
    assert_true(!found || key.handle == n);
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
    struct cached_key key = {.handle = 0};
    add(cache, 1);
    key_cache_add(cache, key_cache_epoch(cache), &id, (struct cached_key){77, SCHEME_AES_GCM});
    assert_true(key_cache_find(cache, &id, &key));
    assert_int_equal(key.handle, 77);
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
    struct object_id id = id_of(9);
    unsigned long epoch = key_cache_epoch(*state);
    key_cache_clear(*state);
    key_cache_add(*state, epoch, &id, (struct cached_key){9, SCHEME_AES_GCM});
    assert_false(has(*state, 9));
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
