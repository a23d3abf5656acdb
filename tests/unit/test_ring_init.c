/* SPDX-License-Identifier: Apache-2.0 */
/* The first KEK over agents without a token, on a host that remembers something or nothing. */
#include "fake_agent.h"
#include "io.h"
#include "own_agent.h"
#include "ring_init.h"
#include "ring_state.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct rig {
    struct config config;
    struct fake_token token;
    struct fake_agent *agent;
    int lane;
    struct ring_init_report report;
    char message[512];
} rig;

/* --- agents, in own_agent.c's place ------------------------------------------------------- */

static void end(void *context)
{
    (void)context;
    if (rig.agent) {
        (void)close(rig.lane);
        fake_agent_free(rig.agent);
    }
    rig.agent = NULL;
}

static struct err fresh(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1])
{
    (void)text;
    end(context);
    rig.agent = fake_agent_new(1, &rig.lane);
    fake_agent_share(rig.agent, &rig.token);
    fake_agent_hello(rig.agent);
    *ret_lane = rig.lane;
    return ERR_OK;
}

struct maker_source own_agent_source(struct own_agent *agent)
{
    return (struct maker_source){fresh, end, agent};
}

struct err own_agent_take_turn(const char *state_dir, int *ret_lock)
{
    (void)state_dir;
    *ret_lock = -1;
    return ERR_OK;
}

/* --- the rig ------------------------------------------------------------------------------ */

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    (void)snprintf(rig.config.state_dir, sizeof rig.config.state_dir, "/tmp/p11-kms-init.XXXXXX");
    (void)snprintf(rig.config.ring.name, sizeof rig.config.ring.name, "k8s");
    rig.config.ring.scheme = SCHEME_AES_GCM;
    rig.config.token.generate_timeout_ms = 60000;
    fake_token_init(&rig.token, NULL, 0);
    return mkdtemp(rig.config.state_dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    (void)state;
    return nftw(rig.config.state_dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void ignore(void *context, const char *text)
{
    (void)context, (void)text;
}

static enum err_code init(void)
{
    return ring_init(&rig.config, "", ignore, NULL, &rig.report, rig.message).code;
}

static void add(uint32_t generation, enum key_state state, uint16_t tail)
{
    const struct listed_key key = fake_key(generation, state, tail);
    fake_token_add(&rig.token, &key);
}

static void remember(uint16_t tail, uint32_t generation, bool lost)
{
    const struct ring_memory memory = {fake_key_id(tail), generation, lost};
    assert_false(err_is(ring_state_set_current(rig.config.state_dir, "k8s", &memory)));
}

static struct ring_memory remembered(void)
{
    struct ring_memory memory;
    assert_false(err_is(ring_state_current(rig.config.state_dir, "k8s", &memory)));
    return memory;
}

static void write_state(const char *name, const char *contents)
{
    char path[PATH_MAX];
    assert_false(err_is(path_join(rig.config.state_dir, name, path, sizeof path)));
    assert_false(err_is(file_replace(path, bytes_of_string(contents), 0600)));
}

static void count(uint16_t tail, uint64_t seals)
{
    const struct key_id key_id = fake_key_id(tail);
    assert_false(err_is(ring_state_set_seals(rig.config.state_dir, "k8s", &key_id, seals)));
}

/* UINT64_MAX: there is no count of it. */
static uint64_t counted(const struct key_id *key_id)
{
    uint64_t seals;
    struct err e = ring_state_seals(rig.config.state_dir, "k8s", key_id, &seals);
    return err_is(e) ? UINT64_MAX : seals;
}

/* Refused with this word, n KEKs on the token, and none was ever active. */
static void expect_refused(const char *says, size_t n)
{
    assert_string_equal(err_name(init()), err_name(ERR_REFUSED));
    if (!strstr(rig.message, says))
        fail_msg("\"%s\" does not say \"%s\"", rig.message, says);
    assert_int_equal(rig.token.n, n);
    assert_int_equal(rig.token.most[KEY_ACTIVE], 0);
}

static void expect_made(enum ring_init_result result, uint32_t generation)
{
    if (init() != ERR_NONE)
        fail_msg("%s", rig.message);
    assert_int_equal(rig.report.result, result);
    assert_int_equal(rig.report.kek.label.generation, generation);
    assert_int_equal(rig.report.kek.label.state, KEY_ACTIVE);
    assert_string_equal(remembered().key_id.text, rig.report.kek.key_id.text);
    assert_int_equal(remembered().generation, generation);
    assert_false(remembered().lost);
}

/* --- an empty token ----------------------------------------------------------------------- */

static void a_host_that_knows_nothing_gets_generation_1(void **state)
{
    (void)state;
    expect_made(RING_INIT_CREATED, 1);
    assert_int_equal(counted(&rig.report.kek.key_id), 0);
    expect_made(RING_INIT_EXISTING, 1);
    assert_int_equal(rig.token.n, 1);
}

static void a_host_that_remembers_an_active_kek_makes_none(void **state)
{
    (void)state;
    remember(3, 3, false);
    expect_refused(fake_key_id(3).text, 0);
    assert_non_null(strstr(rig.message, "restore the token"));
    assert_string_equal(remembered().key_id.text, fake_key_id(3).text);
}

static void a_host_that_has_a_canary_makes_none(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(2);
    assert_false(err_is(
        ring_state_set_canary(rig.config.state_dir, &key_id, bytes_of_string("sealed once"))));
    remember(3, 3, true); /* of several KEKs one alone was given up */
    expect_refused(key_id.text, 0);
}

static void a_damaged_memory_makes_none(void **state)
{
    (void)state;
    write_state("ring-k8s.active", "torn");
    expect_refused("/ring-k8s.active", 0);
}

static void the_first_after_all_were_given_up_is_newer_than_they(void **state)
{
    (void)state;
    remember(3, 3, true);
    expect_made(RING_INIT_CREATED, 4);
    assert_int_equal(rig.token.n, 1);
    assert_int_equal(counted(&rig.report.kek.key_id), 0);
}

/* --- what an init that was cut short has left --------------------------------------------- */

static void a_half_made_kek_is_activated(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(1);
    uint8_t envelope[ENVELOPE_MAX];
    size_t len = fake_envelope(FAMILY_CANARY, &key_id, "\x01", envelope);
    assert_false(
        err_is(ring_state_set_canary(rig.config.state_dir, &key_id, bytes_of(envelope, len))));
    add(1, KEY_PRE_ACTIVE, 1);
    expect_made(RING_INIT_COMPLETED, 1);
}

static void a_half_made_one_after_a_loss_is_activated(void **state)
{
    (void)state;
    remember(3, 3, true);
    add(4, KEY_PRE_ACTIVE, 1);
    expect_made(RING_INIT_COMPLETED, 4);
}

/* As another host's init leaves it, where a new token took the old one's place. */
static void a_half_made_one_does_not_take_the_place_of_a_known_one(void **state)
{
    (void)state;
    add(1, KEY_PRE_ACTIVE, 1);
    remember(3, 3, false);
    expect_refused(fake_key_id(3).text, 1);
    write_state("ring-k8s.active", "torn");
    expect_refused("/ring-k8s.active", 1);
}

static void a_half_made_one_older_than_a_loss_stays_so(void **state)
{
    (void)state;
    add(1, KEY_PRE_ACTIVE, 1);
    remember(3, 3, true);
    assert_int_equal(init(), ERR_TOKEN);
    assert_int_equal(rig.token.most[KEY_ACTIVE], 0);
}

/* --- a ring that is there ----------------------------------------------------------------- */

static void a_count_begins_with_the_kek(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(2);
    add(2, KEY_ACTIVE, 2);
    remember(1, 1, true);
    count(1, 70);
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), 0);
}

static void a_count_is_not_reset(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(2);
    add(2, KEY_ACTIVE, 2);
    count(2, 70); /* as where a power cut took what is written after it */
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), 70);
    write_state("ring-k8s.active", "torn");
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), 70);
}

/* It may have been sealing here, nobody knows how often. */
static void where_the_memory_is_damaged_no_count_begins(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(2);
    add(2, KEY_ACTIVE, 2);
    write_state("ring-k8s.active", "torn");
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), UINT64_MAX);
    write_state("ring-k8s.seals", "torn");
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), UINT64_MAX);
}

static void a_given_up_kek_that_is_back_is_not_lost_any_more(void **state)
{
    (void)state;
    const struct key_id key_id = fake_key_id(2);
    add(2, KEY_ACTIVE, 2);
    remember(2, 2, true);
    count(2, 70);
    expect_made(RING_INIT_EXISTING, 2);
    assert_int_equal(counted(&key_id), 70);
}

#define INIT_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INIT_TEST(a_host_that_knows_nothing_gets_generation_1),
        INIT_TEST(a_host_that_remembers_an_active_kek_makes_none),
        INIT_TEST(a_host_that_has_a_canary_makes_none),
        INIT_TEST(a_damaged_memory_makes_none),
        INIT_TEST(the_first_after_all_were_given_up_is_newer_than_they),
        INIT_TEST(a_half_made_kek_is_activated),
        INIT_TEST(a_half_made_one_after_a_loss_is_activated),
        INIT_TEST(a_half_made_one_does_not_take_the_place_of_a_known_one),
        INIT_TEST(a_half_made_one_older_than_a_loss_stays_so),
        INIT_TEST(a_count_begins_with_the_kek),
        INIT_TEST(a_count_is_not_reset),
        INIT_TEST(where_the_memory_is_damaged_no_count_begins),
        INIT_TEST(a_given_up_kek_that_is_back_is_not_lost_any_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
