/* SPDX-License-Identifier: Apache-2.0 */
/* The list of adopted keys on disk: kept in order, whole or told. */
#include "ring_adopted.h"

#include "io.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[64], path[128];

static int setup(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof dir, "/tmp/p11-kms-adopted.XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void)snprintf(path, sizeof path, "%s/ring-k8s.adopted", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)chmod(dir, 0700);
    return err_is(file_remove(path)) ? -1 : rmdir(dir);
}

static struct key_id key(const char *text)
{
    struct key_id key_id;
    (void)snprintf(key_id.text, sizeof key_id.text, "%s", text);
    return key_id;
}

static struct ring_adopted load(void)
{
    struct ring_adopted adopted;
    assert_false(err_is(ring_adopted_load(dir, "k8s", &adopted)));
    return adopted;
}

static enum err_code append(struct ring_adopted *adopted, const char *text)
{
    const struct key_id key_id = key(text);
    return ring_adopted_append(dir, "k8s", adopted, &key_id, 1).code;
}

static void no_file_is_an_empty_list(void **state)
{
    (void)state;
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    assert_int_equal(adopted.n, 0);
}

static void keys_come_back_in_order(void **state)
{
    (void)state;
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    const struct key_id two[] = {key("k8s.01890101-0101-7101-8101-010101010101"), key("k8s.02")};
    struct stat st;
    assert_int_equal(append(&adopted, "k8s.0a"), ERR_NONE);
    assert_false(err_is(ring_adopted_append(dir, "k8s", &adopted, two, 2)));
    CLEANUP(ring_adopted_clear) struct ring_adopted again = load();
    assert_int_equal(again.n, 3);
    assert_string_equal(again.keys[0].key_id.text, "k8s.0a");
    assert_string_equal(again.keys[2].key_id.text, "k8s.02");
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(ring_adopted_place_of(&again, &adopted.keys[i].key_id), i + 1);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_place_is_found_by_either_form(void **state)
{
    (void)state;
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    assert_int_equal(append(&adopted, "k8s.01890101-0101-7101-8101-010101010101"), ERR_NONE);
    const struct key_id hex = key("k8s.01890101010171018101010101010101"), none = key("k8s.01");
    assert_int_equal(ring_adopted_place_of(&adopted, &hex), 1);
    assert_int_equal(ring_adopted_place_of(&adopted, &none), 0);
    assert_int_equal(append(&adopted, hex.text), ERR_INVALID);
}

static void what_does_not_belong_is_not_written(void **state)
{
    (void)state;
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    assert_int_equal(append(&adopted, "k8s.01"), ERR_NONE);
    const struct key_id mixed[] = {key("k8s.02"), key("other.03")};
    assert_int_equal(ring_adopted_append(dir, "k8s", &adopted, mixed, 2).code, ERR_INVALID);
    assert_int_equal(adopted.n, 1);
    assert_int_equal(append(&adopted, "k8s.01"), ERR_INVALID);
    assert_int_equal(append(&adopted, "nonsense"), ERR_INVALID);
    CLEANUP(ring_adopted_clear) struct ring_adopted again = load();
    assert_int_equal(again.n, 1);
}

/* Every truncation, every flipped bit and anything behind it is told; none is taken for a shorter
 * list, under which an older key would seal. */
static void a_torn_file_is_told(void **state)
{
    (void)state;
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    struct ring_adopted untouched = {NULL, 77};
    uint8_t file[512], bad[512];
    size_t len = 0;
    assert_int_equal(append(&adopted, "k8s.01"), ERR_NONE);
    assert_int_equal(append(&adopted, "k8s.02"), ERR_NONE);
    assert_false(err_is(file_read(path, file, sizeof file - 1, &len)));
    for (size_t i = 0; i < len; i++) {
        assert_false(err_is(file_replace(path, bytes_of(file, i), 0600)));
        assert_int_equal(ring_adopted_load(dir, "k8s", &untouched).code, ERR_INVALID);
        memcpy(bad, file, len);
        bad[i] ^= 1;
        assert_false(err_is(file_replace(path, bytes_of(bad, len), 0600)));
        assert_int_equal(ring_adopted_load(dir, "k8s", &untouched).code, ERR_INVALID);
    }
    file[len] = '\n';
    assert_false(err_is(file_replace(path, bytes_of(file, len + 1), 0600)));
    assert_int_equal(ring_adopted_load(dir, "k8s", &untouched).code, ERR_INVALID);
    assert_int_equal(untouched.n, 77);
}

/* A list that another ring's file was copied over, checksum and all. */
static void another_rings_list_is_refused(void **state)
{
    (void)state;
    struct ring_adopted other = {NULL, 0}, ret;
    const struct key_id key_id = key("other.01");
    char from[128];
    assert_false(err_is(ring_adopted_append(dir, "other", &other, &key_id, 1)));
    ring_adopted_clear(&other);
    (void)snprintf(from, sizeof from, "%s/ring-other.adopted", dir);
    assert_int_equal(rename(from, path), 0);
    assert_int_equal(ring_adopted_load(dir, "k8s", &ret).code, ERR_INVALID);
}

static void a_full_list_refuses_more(void **state)
{
    (void)state;
    static struct key_id keys[ADOPTED_MAX];
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = load();
    for (unsigned i = 0; i < ADOPTED_MAX; i++)
        (void)snprintf(keys[i].text, sizeof keys[i].text, "k8s.%0128x", i);
    assert_false(err_is(ring_adopted_append(dir, "k8s", &adopted, keys, ADOPTED_MAX)));
    assert_int_equal(append(&adopted, "k8s.ff"), ERR_EXHAUSTED);
    CLEANUP(ring_adopted_clear) struct ring_adopted again = load();
    assert_int_equal(again.n, ADOPTED_MAX);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(no_file_is_an_empty_list),
        FRESH(keys_come_back_in_order),
        FRESH(a_place_is_found_by_either_form),
        FRESH(what_does_not_belong_is_not_written),
        FRESH(a_torn_file_is_told),
        FRESH(another_rings_list_is_refused),
        FRESH(a_full_list_refuses_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
