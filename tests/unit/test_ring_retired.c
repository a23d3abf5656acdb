/* SPDX-License-Identifier: Apache-2.0 */
/* When a KEK may be destroyed, and what a host writes down about it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io.h"
#include "ring_retired.h"

#include <ftw.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { KEYS = 3 };

#define DAY INT64_C(86400000)
#define NOW (INT64_C(20000) * DAY)

/* Generations 1 to 3: compromised long ago, superseded, active. */
static struct kek keys[KEYS];
static struct ring_look look = {.keys = keys, .n = KEYS};
static const struct key_id nothing = {""};
static char dir[64], text[RETIRED_TEXT_MAX + 1];

static struct kek kek_of(uint8_t tail, uint32_t generation, enum key_state state, int64_t made_ms)
{
    struct kek kek = {.id = {.len = UUID_BYTES}};
    for (int i = 0; i < 6; i++)
        kek.id.data[i] = (uint8_t)(made_ms >> (40 - 8 * i));
    kek.id.data[6] = 0x70;
    kek.id.data[8] = 0x80;
    kek.id.data[15] = tail;
    kek.label = (struct key_label){"k8s", generation, SCHEME_AES_GCM, 0, state};
    assert_false(err_is(key_id_make("k8s", &kek.id, &kek.key_id)));
    return kek;
}

static int set_up(void **state)
{
    (void)state;
    keys[0] = kek_of(1, 1, KEY_COMPROMISED, NOW - 100 * DAY);
    keys[1] = kek_of(2, 2, KEY_DEACTIVATED, NOW - 60 * DAY);
    keys[2] = kek_of(3, 3, KEY_ACTIVE, NOW - 30 * DAY);
    (void)snprintf(dir, sizeof dir, "/tmp/p11-kms-retired-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* --- whether ----------------------------------------------------------------------------- */

static enum err_code judge(const struct kek *kek, const struct key_id *current, int64_t since_ms)
{
    text[0] = '\0';
    return ring_retired_judge(&look, kek, &keys[2], current, since_ms, NOW, text).code;
}

static void expect_refused(const struct kek *kek, const struct key_id *current, int64_t since_ms,
                           const char *why)
{
    assert_int_equal(judge(kek, current, since_ms), ERR_REFUSED);
    if (!strstr(text, why))
        fail_msg("\"%s\" does not say \"%s\"", text, why);
}

static void after_seven_days_it_may_go(void **state)
{
    (void)state;
    assert_int_equal(judge(&keys[1], &keys[2].key_id, NOW - 7 * DAY), ERR_NONE);
    assert_int_equal(judge(&keys[0], &nothing, NOW - 7 * DAY), ERR_NONE);
    expect_refused(&keys[1], &nothing, NOW - 7 * DAY + 1, "less than seven days");
    expect_refused(&keys[1], &nothing, NOW, "less than seven days");
}

static void a_clock_that_jumped_is_no_reason(void **state)
{
    (void)state;
    expect_refused(&keys[1], &nothing, NOW + 1, "its clock says");
    expect_refused(&keys[1], &nothing, INT64_MAX, "its clock says");
    expect_refused(&keys[1], &nothing, NOW - 60 * DAY - 1, "before it was made");
    expect_refused(&keys[1], &nothing, 0, "before it was made");
}

static void the_active_one_never(void **state)
{
    (void)state;
    expect_refused(&keys[2], &nothing, NOW - 20 * DAY, "is active");
    keys[1].label.state = KEY_ACTIVE; /* superseded, not yet relabelled */
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "is active");
    keys[1].label.state = KEY_PRE_ACTIVE;
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "is pre-active");
    keys[1].label.state = KEY_DEACTIVATED;
    expect_refused(&keys[1], &keys[1].key_id, NOW - 20 * DAY, "start the daemon");
}

static void an_ambiguous_one_never(void **state)
{
    (void)state;
    keys[1].ambiguous = true;
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "two keys");
}

static void its_successor_must_be_as_old(void **state)
{
    (void)state;
    keys[2] = kek_of(3, 3, KEY_ACTIVE, NOW - 7 * DAY + 1);
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "no newer, usable KEK");
    assert_int_equal(judge(&keys[0], &nothing, NOW - 20 * DAY), ERR_NONE); /* has another one */
    keys[2] = kek_of(3, 3, KEY_ACTIVE, NOW + DAY);
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "no newer, usable KEK");
    keys[2] = kek_of(3, 3, KEY_ACTIVE, 0);
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "no newer, usable KEK");
    keys[2] = kek_of(3, 3, KEY_ACTIVE, NOW - 30 * DAY);
    keys[2].wrong = ATTR_BIT(ATTR_WRAP);
    expect_refused(&keys[1], &nothing, NOW - 20 * DAY, "no newer, usable KEK");
}

/* --- records ----------------------------------------------------------------------------- */

static int64_t since(const struct kek *kek)
{
    int64_t ms = -1;
    struct err e = ring_retired_since(dir, &kek->key_id, &ms);
    assert_true(!err_is(e) || e.code == ERR_NOT_FOUND);
    return ms;
}

static void note(const struct kek *kek, int64_t now_ms)
{
    assert_false(err_is(ring_retired_note(dir, kek, now_ms)));
}

static void the_first_sight_stands(void **state)
{
    (void)state;
    assert_int_equal(since(&keys[1]), -1);
    note(&keys[1], NOW);
    note(&keys[1], NOW + DAY);
    keys[1].label.state = KEY_COMPROMISED;
    note(&keys[1], NOW + 2 * DAY);
    assert_int_equal(since(&keys[1]), NOW);
}

static void one_that_came_back_to_use_starts_anew(void **state)
{
    (void)state;
    note(&keys[1], NOW);
    keys[1].label.state = KEY_ACTIVE;
    note(&keys[1], NOW + DAY);
    assert_int_equal(since(&keys[1]), -1);
    note(&keys[1], NOW + DAY); /* no record: nothing to do */
}

static void write_record(const struct kek *kek, const char *contents)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/deactivated/%s", dir, kek->key_id.text);
    assert_false(err_is(file_replace(path, bytes_of_string(contents), 0600)));
}

static void a_damaged_record_starts_anew(void **state)
{
    (void)state;
    static const char *const damaged[] = {"",
                                          "\n",
                                          "12",
                                          "12 \n",
                                          "-1\n",
                                          "99999999999999999999\n",
                                          "a long line that no writer of ours would have left\n"};
    int64_t ms;
    note(&keys[1], NOW);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        write_record(&keys[1], damaged[i]);
        assert_int_equal(ring_retired_since(dir, &keys[1].key_id, &ms).code, ERR_INVALID);
        note(&keys[1], NOW + DAY);
        assert_int_equal(since(&keys[1]), NOW + DAY);
    }
}

static void a_look_notes_what_is_new_in_it(void **state)
{
    (void)state;
    struct ring_view *empty, *before;
    const struct ring_content none = {.active = SIZE_MAX},
                              all = {.keys = keys, .n = KEYS, .active = 2};
    assert_false(err_is(ring_view_new(&none, &empty)));
    assert_false(err_is(ring_view_new(&all, &before)));
    assert_false(err_is(ring_retired_note_all(dir, &look, empty, NOW)));
    assert_int_equal(since(&keys[0]), NOW);
    assert_int_equal(since(&keys[1]), NOW);
    assert_int_equal(since(&keys[2]), -1);
    write_record(&keys[0], "1\n");
    keys[2].label.state = KEY_DEACTIVATED;
    assert_false(err_is(ring_retired_note_all(dir, &look, before, NOW + DAY)));
    assert_int_equal(since(&keys[0]), 1); /* not looked at again */
    assert_int_equal(since(&keys[2]), NOW + DAY);
    ring_view_unref(empty);
    ring_view_unref(before);
}

static bool begun(const struct kek *kek)
{
    bool ret = false;
    assert_false(err_is(ring_retired_begun(dir, &kek->key_id, &ret)));
    return ret;
}

static bool exists(const char *folder, const struct kek *kek)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/%s/%s", dir, folder, kek->key_id.text);
    return access(path, F_OK) == 0;
}

static void a_destruction_is_told_from_a_loss(void **state)
{
    (void)state;
    assert_false(begun(&keys[1]));
    assert_false(err_is(ring_retired_begin(dir, &keys[1].key_id, NOW)));
    assert_true(begun(&keys[1]));
    assert_false(begun(&keys[0]));
    assert_false(err_is(ring_retired_abandon(dir, &keys[1].key_id)));
    assert_false(begun(&keys[1]));
    assert_false(err_is(ring_retired_abandon(dir, &keys[1].key_id)));
}

/* A KEK that the token's backup brought back, say. */
static void one_that_is_done_ends_where_the_kek_is_there_again(void **state)
{
    (void)state;
    const struct key_id *key_id = &keys[1].key_id;
    for (int i = 0; i < 2; i++) {
        assert_false(err_is(ring_retired_begin(dir, key_id, NOW)));
        assert_false(err_is(ring_retired_finish(dir, key_id)));
        if (i == 1) /* and a second one was begun */
            assert_false(err_is(ring_retired_begin(dir, key_id, NOW)));
        assert_true(begun(&keys[1]));
        assert_false(err_is(ring_retired_abandon(dir, key_id)));
        assert_false(begun(&keys[1]));
    }
}

/* Within an hour it may still be going on, and what a clock that jumped says is not known. */
static void a_look_ends_those_that_were_begun_long_before(void **state)
{
    (void)state;
    static const int64_t stays[] = {NOW - DAY / 24 + 1, NOW, NOW + 1};
    const struct key_id *key_id = &keys[1].key_id;
    for (size_t i = 0; i < sizeof stays / sizeof *stays; i++) {
        assert_false(err_is(ring_retired_begin(dir, key_id, stays[i])));
        assert_false(err_is(ring_retired_abandon_whole(dir, &look, NOW)));
        assert_true(begun(&keys[1]));
    }
    assert_false(err_is(ring_retired_begin(dir, key_id, NOW - DAY / 24)));
    const struct ring_look without = {.keys = keys, .n = 1};
    assert_false(err_is(ring_retired_abandon_whole(dir, &without, NOW)));
    assert_true(begun(&keys[1]));
    assert_false(err_is(ring_retired_abandon_whole(dir, &look, NOW)));
    assert_false(begun(&keys[1]));
}

static void a_new_one_outlives_the_record_of_an_old_one(void **state)
{
    (void)state;
    const struct key_id *key_id = &keys[1].key_id;
    assert_false(err_is(ring_retired_begin(dir, key_id, NOW - DAY)));
    assert_false(err_is(ring_retired_finish(dir, key_id)));
    assert_false(err_is(ring_retired_begin(dir, key_id, NOW)));
    assert_false(err_is(ring_retired_abandon_whole(dir, &look, NOW)));
    assert_true(exists("destroying", &keys[1]));
    assert_false(err_is(ring_retired_abandon_whole(dir, &look, NOW + DAY)));
    assert_false(begun(&keys[1]));
}

static void finishing_moves_all_aside_and_may_be_repeated(void **state)
{
    (void)state;
    const struct key_id *key_id = &keys[1].key_id;
    note(&keys[1], NOW);
    assert_false(err_is(ring_state_set_canary(dir, key_id, bytes_of_string("sealed"))));
    assert_false(err_is(ring_retired_begin(dir, key_id, NOW)));
    for (int i = 0; i < 2; i++) {
        assert_false(err_is(ring_retired_finish(dir, key_id)));
        assert_false(exists("canaries", &keys[1]));
        assert_false(exists("deactivated", &keys[1]));
        assert_false(exists("destroying", &keys[1]));
        assert_true(exists("destroyed", &keys[1]));
        assert_true(begun(&keys[1]));
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(after_seven_days_it_may_go),
        TEST(a_clock_that_jumped_is_no_reason),
        TEST(the_active_one_never),
        TEST(an_ambiguous_one_never),
        TEST(its_successor_must_be_as_old),
        TEST(the_first_sight_stands),
        TEST(one_that_came_back_to_use_starts_anew),
        TEST(a_damaged_record_starts_anew),
        TEST(a_look_notes_what_is_new_in_it),
        TEST(a_destruction_is_told_from_a_loss),
        TEST(one_that_is_done_ends_where_the_kek_is_there_again),
        TEST(a_look_ends_those_that_were_begun_long_before),
        TEST(a_new_one_outlives_the_record_of_an_old_one),
        TEST(finishing_moves_all_aside_and_may_be_repeated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
