/* SPDX-License-Identifier: Apache-2.0 */
/* What a host remembers of its ring: whole, damaged, or not there. */
#include "fake_agent.h"
#include "io.h"
#include "ring_state.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct rig {
    char dir[64];
    char active[128], canary[256];
    struct key_id key_id;
};

static int setup(void **state)
{
    static struct rig rig;
    (void)snprintf(rig.dir, sizeof rig.dir, "/tmp/p11-kms-state-XXXXXX");
    if (!mkdtemp(rig.dir))
        return -1;
    rig.key_id = fake_key_id(1);
    (void)snprintf(rig.active, sizeof rig.active, "%s/ring-k8s.active", rig.dir);
    (void)snprintf(rig.canary, sizeof rig.canary, "%s/canaries/%s", rig.dir, rig.key_id.text);
    *state = &rig;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    const struct rig *rig = *state;
    return nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void write_file(const char *path, const void *data, size_t len)
{
    assert_false(err_is(file_replace(path, bytes_of(data, len), 0600)));
}

static enum err_code current_code(const struct rig *rig, const char *contents)
{
    struct ring_memory memory;
    write_file(rig->active, contents, strlen(contents));
    return ring_state_current(rig->dir, "k8s", &memory).code;
}

static void no_active_file_is_an_empty_key_id(void **state)
{
    const struct rig *rig = *state;
    struct ring_memory memory = {.key_id = {"untouched"}, .generation = 1, .lost = true};
    assert_false(err_is(ring_state_current(rig->dir, "k8s", &memory)));
    assert_string_equal(memory.key_id.text, "");
    assert_int_equal(memory.generation, 0);
    assert_false(memory.lost);
}

static void the_active_key_id_is_kept_and_replaced(void **state)
{
    const struct rig *rig = *state;
    for (uint16_t i = 1; i < 4; i++) {
        const struct ring_memory wrote = {fake_key_id(i), i * 333333U, i == 2};
        struct ring_memory read = {.generation = 0};
        assert_false(err_is(ring_state_set_current(rig->dir, "k8s", &wrote)));
        assert_false(err_is(ring_state_current(rig->dir, "k8s", &read)));
        assert_string_equal(read.key_id.text, wrote.key_id.text);
        assert_int_equal(read.generation, wrote.generation);
        assert_int_equal(read.lost, wrote.lost);
    }
    struct stat st;
    assert_int_equal(stat(rig->active, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
}

static void a_damaged_active_file_is_invalid(void **state)
{
    const struct rig *rig = *state;
    char text[256];
    static const char *const tails[] = {"",        "\n",         " 7",          " 7\n\n",
                                        " 7 \n",   " 7 lose\n",  " -7\n",       "  7\n",
                                        " 7 lost", " 1000000\n", " 7 lost x\n", " 7 lost\nx"};
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        (void)snprintf(text, sizeof text, "%s%s", rig->key_id.text, tails[i]);
        assert_int_equal(current_code(rig, text), ERR_INVALID);
    }
    assert_int_equal(current_code(rig, ""), ERR_INVALID);
    assert_int_equal(current_code(rig, "\n"), ERR_INVALID);
    (void)snprintf(text, sizeof text, "other%s 7\n", rig->key_id.text + 3);
    assert_int_equal(current_code(rig, text), ERR_INVALID);
    memset(text, 'a', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    assert_int_equal(current_code(rig, text), ERR_INVALID);
    for (size_t len = 1; len < strlen(rig->key_id.text); len++) {
        if (len > 4 && len <= 12 && len % 2 == 0)
            continue; /* up to the first dash that is a whole RING.HEX, of some external key */
        (void)snprintf(text, sizeof text, "%.*s 7\n", (int)len, rig->key_id.text);
        assert_int_equal(current_code(rig, text), ERR_INVALID);
    }
    (void)snprintf(text, sizeof text, "%s 7\n", rig->key_id.text);
    assert_int_equal(current_code(rig, text), ERR_NONE);
}

static void seals_are_counted_for_one_kek(void **state)
{
    const struct rig *rig = *state;
    const struct key_id other = fake_key_id(77);
    char path[128];
    uint64_t seals = 5;
    assert_int_equal(ring_state_seals(rig->dir, "k8s", &rig->key_id, &seals).code, ERR_NOT_FOUND);
    assert_false(err_is(ring_state_set_seals(rig->dir, "k8s", &rig->key_id, UINT64_MAX)));
    assert_false(err_is(ring_state_seals(rig->dir, "k8s", &rig->key_id, &seals)));
    assert_true(seals == UINT64_MAX);
    assert_int_equal(ring_state_seals(rig->dir, "k8s", &other, &seals).code, ERR_NOT_FOUND);
    (void)snprintf(path, sizeof path, "%s/ring-k8s.seals", rig->dir);
    write_file(path, "torn", 4);
    assert_int_equal(ring_state_seals(rig->dir, "k8s", &rig->key_id, &seals).code, ERR_INVALID);
}

static struct bytes write_canary(const struct rig *rig, uint8_t raw[static 2048])
{
    uint8_t envelope[ENVELOPE_MAX];
    size_t len = fake_envelope(FAMILY_CANARY, &rig->key_id, "canary", envelope);
    size_t raw_len = 0;
    assert_false(err_is(ring_state_set_canary(rig->dir, &rig->key_id, bytes_of(envelope, len))));
    assert_false(err_is(file_read(rig->canary, raw, 2048, &raw_len)));
    return bytes_of(raw, raw_len);
}

static enum err_code canary_code(const struct rig *rig)
{
    struct canary canary = {.len = 77};
    enum err_code code = ring_state_canary(rig->dir, &rig->key_id, &canary).code;
    if (code != ERR_NONE)
        assert_int_equal(canary.len, 77);
    return code;
}

static void a_canary_never_made_is_not_found(void **state)
{
    const struct rig *rig = *state;
    assert_int_equal(canary_code(rig), ERR_NOT_FOUND);
    uint8_t raw[2048];
    (void)write_canary(rig, raw);
    struct canary canary;
    struct key_id other = fake_key_id(2);
    assert_int_equal(ring_state_canary(rig->dir, &other, &canary).code, ERR_NOT_FOUND);
}

static void a_canary_is_kept_and_replaced(void **state)
{
    const struct rig *rig = *state;
    static uint8_t envelope[ENVELOPE_MAX + 1];
    for (size_t len = 1; len <= ENVELOPE_MAX; len += 341) {
        struct canary canary;
        memset(envelope, (int)len, len);
        assert_false(
            err_is(ring_state_set_canary(rig->dir, &rig->key_id, bytes_of(envelope, len))));
        assert_false(err_is(ring_state_canary(rig->dir, &rig->key_id, &canary)));
        assert_int_equal(canary.len, len);
        assert_memory_equal(canary.data, envelope, len);
    }
    assert_true(err_is(
        ring_state_set_canary(rig->dir, &rig->key_id, bytes_of(envelope, ENVELOPE_MAX + 1))));
    assert_int_equal(canary_code(rig), ERR_NONE);
}

static void every_truncation_of_a_canary_is_torn(void **state)
{
    const struct rig *rig = *state;
    uint8_t raw[2048];
    struct bytes whole = write_canary(rig, raw);
    for (size_t len = 0; len < whole.len; len++) {
        write_file(rig->canary, raw, len);
        assert_int_equal(canary_code(rig), ERR_INVALID);
    }
    raw[whole.len] = 0;
    write_file(rig->canary, raw, whole.len + 1);
    assert_int_equal(canary_code(rig), ERR_INVALID);
    static const uint8_t huge[4096];
    write_file(rig->canary, huge, sizeof huge);
    assert_int_equal(canary_code(rig), ERR_INVALID);
    write_file(rig->canary, raw, whole.len);
    assert_int_equal(canary_code(rig), ERR_NONE);
}

static void every_flipped_byte_of_a_canary_is_torn(void **state)
{
    const struct rig *rig = *state;
    uint8_t raw[2048];
    struct bytes whole = write_canary(rig, raw);
    for (size_t i = 0; i < whole.len; i++) {
        raw[i] ^= (uint8_t)(1U << i % 8);
        write_file(rig->canary, raw, whole.len);
        assert_int_equal(canary_code(rig), ERR_INVALID);
        raw[i] ^= (uint8_t)(1U << i % 8);
    }
}

/* A crash between write and rename leaves the old file and a temporary beside it. */
static void a_half_written_successor_harms_nothing(void **state)
{
    const struct rig *rig = *state;
    uint8_t raw[2048];
    char half[300];
    (void)write_canary(rig, raw);
    (void)snprintf(half, sizeof half, "%s.new.1", rig->canary);
    write_file(half, raw, 10);
    assert_int_equal(canary_code(rig), ERR_NONE);
    struct canary canary;
    assert_false(err_is(ring_state_canary(rig->dir, &rig->key_id, &canary)));
}

struct known {
    unsigned n;
    struct key_id last;
};

static void count(void *context, const struct key_id *key_id)
{
    struct known *known = context;
    known->n++;
    known->last = *key_id;
}

static void known_keks_are_those_of_the_ring_with_a_canary(void **state)
{
    const struct rig *rig = *state;
    struct known known = {0};
    uint8_t raw[2048];
    char path[300];
    assert_false(err_is(ring_state_known(rig->dir, "k8s", count, &known)));
    assert_int_equal(known.n, 0);
    (void)write_canary(rig, raw);
    (void)snprintf(path, sizeof path, "%s.new.1", rig->canary);
    write_file(path, raw, 1);
    (void)snprintf(path, sizeof path, "%s/canaries/other%s", rig->dir, rig->key_id.text + 3);
    write_file(path, raw, 1);
    assert_false(err_is(ring_state_known(rig->dir, "k8s", count, &known)));
    assert_int_equal(known.n, 1);
    assert_string_equal(known.last.text, rig->key_id.text);
}

static void a_forgotten_kek_is_not_known_and_its_canary_is_kept_aside(void **state)
{
    const struct rig *rig = *state;
    struct known known = {.n = 0};
    uint8_t raw[2048];
    char path[256];
    (void)write_canary(rig, raw);
    assert_false(err_is(ring_state_forget(rig->dir, &rig->key_id)));
    assert_false(err_is(ring_state_known(rig->dir, "k8s", count, &known)));
    assert_int_equal(known.n, 0);
    (void)snprintf(path, sizeof path, "%s/lost/%s", rig->dir, rig->key_id.text);
    assert_int_equal(access(path, F_OK), 0);
    assert_false(err_is(ring_state_forget(rig->dir, &rig->key_id)));
}

static void a_directory_that_is_not_there_is_an_error_to_write(void **state)
{
    const struct rig *rig = *state;
    const struct ring_memory memory = {rig->key_id, 1, false};
    assert_true(err_is(ring_state_set_current("/nonexistent/p11-kms", "k8s", &memory)));
    assert_true(err_is(ring_state_set_seals("/nonexistent/p11-kms", "k8s", &rig->key_id, 1)));
    assert_true(
        err_is(ring_state_set_canary("/nonexistent/p11-kms", &rig->key_id, bytes_of("x", 1))));
}

#define STATE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STATE_TEST(no_active_file_is_an_empty_key_id),
        STATE_TEST(the_active_key_id_is_kept_and_replaced),
        STATE_TEST(a_damaged_active_file_is_invalid),
        STATE_TEST(seals_are_counted_for_one_kek),
        STATE_TEST(a_forgotten_kek_is_not_known_and_its_canary_is_kept_aside),
        STATE_TEST(a_canary_never_made_is_not_found),
        STATE_TEST(a_canary_is_kept_and_replaced),
        STATE_TEST(every_truncation_of_a_canary_is_torn),
        STATE_TEST(every_flipped_byte_of_a_canary_is_torn),
        STATE_TEST(a_half_written_successor_harms_nothing),
        STATE_TEST(known_keks_are_those_of_the_ring_with_a_canary),
        STATE_TEST(a_directory_that_is_not_there_is_an_error_to_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
