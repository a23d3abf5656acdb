/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper finds on the token, what it believes, and of whom. */
#include "io.h"
#include "pool_jobs.h"
#include "ring_rig.h"
#include "ring_state.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct ring_rig rig;

static int setup(void **state)
{
    (void)state;
    rig_make(&rig);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

static void start(void)
{
    rig_start(&rig, 60000, NEVER_MS, NEVER_MS);
}

static struct fake_agent *serve_until_ok(void)
{
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    return rig_serve_well(&rig, &key, 1);
}

static const struct key_id *current(void)
{
    static struct key_id key_id;
    struct health health;
    keyring_status(rig.keyring, &health, &key_id);
    return &key_id;
}

static int64_t ms_since(int64_t start_ns)
{
    return (clock_monotonic_ns() - start_ns) / 1000000;
}

/* --- missing ----------------------------------------------------------------------------- */

static void a_missing_kek_is_believed_of_a_fresh_agent_alone(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_keys(agent, NULL, 0, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, 1);
    assert_false(rig_ever_said(&rig, "not on the token"));
    rig_kill(&rig, "killed by signal 9");
    agent = rig_serve(&rig, NULL, 0);
    struct health health = rig_wait_text(&rig, "is not on the token any more");
    assert_true(health.failed);
    assert_string_equal(current()->text, fake_key_id(1).text);
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    fake_agent_keys(agent, &key, 1, 1); /* it is looked for while sick */
    health = rig_wait_ok(&rig);
    assert_false(health.failed);
    assert_int_equal(rig_condemnations(&rig), 1);
}

/* While another starts, intact older KEKs open nothing: that must not be most of the time. */
static void the_slower_agents_start_the_longer_one_stays(void **state)
{
    (void)state;
    enum { START_MS = 800, STAYS_MS = 4000 }; /* ten times START_MS, if nothing is late */
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_keys(agent, NULL, 0, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
    agent = rig_agent(&rig, NULL, 0);
    rig_offer(&rig);
    int64_t offered_ns = clock_monotonic_ns();
    while (ms_since(offered_ns) < START_MS)
        (void)poll(NULL, 0, 20);
    int64_t up_ns = clock_monotonic_ns();
    fake_agent_hello(agent);
    rig_wait_condemned(&rig, 2); /* but not for ever */
    assert_in_range(ms_since(up_ns), STAYS_MS, 60000);
}

static void a_kek_missing_since_before_the_start_is_believed_at_once(void **state)
{
    (void)state;
    const struct ring_memory known = {fake_key_id(1), 1, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    start();
    struct listed_key other = fake_key(5, KEY_ACTIVE, 2);
    (void)rig_serve(&rig, &other, 1);
    assert_true(rig_wait_text(&rig, "is not on the token any more").failed);
    assert_string_equal(current()->text, known.key_id.text);
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void an_empty_token_is_told_and_the_first_kek_found(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = rig_serve(&rig, NULL, 0);
    struct health health = rig_wait_text(&rig, "p11-kms init");
    assert_false(health.failed);
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    fake_agent_keys(agent, &key, 1, 1);
    (void)rig_wait_ok(&rig);
}

static void an_unfit_kek_is_told(void **state)
{
    (void)state;
    start();
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    key.attributes.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
    (void)rig_serve(&rig, &key, 1);
    struct health health = rig_wait_text(&rig, "EXTRACTABLE");
    assert_false(health.failed);
    rig_wait_looks(&rig, 1);
    assert_true(lane_pool_has_lanes(rig.pool)); /* others may still be opened */
}

/* --- canaries ---------------------------------------------------------------------------- */

/* Neither seals nor opens, or both. */
static bool is_quarantined(void)
{
    struct ring_view *view = keyring_view(rig.keyring);
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    const struct kek *kek = ring_view_find(view, &key.id);
    assert_non_null(kek);
    assert_int_equal(kek->quarantined, !ring_view_active(view));
    bool yes = kek->quarantined;
    ring_view_unref(view);
    return yes;
}

static void changed_material_is_quarantined_by_a_fresh_agent_alone(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_material(agent, 2);
    keeper_kick(rig.keeper);
    rig_wait_condemned(&rig, 1);
    assert_false(rig_ever_said(&rig, "quarantined"));
    rig_kill(&rig, "killed by signal 9");
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    agent = rig_agent(&rig, &key, 1);
    fake_agent_material(agent, 2);
    unsigned served = rig_served(&rig);
    rig_offer(&rig);
    fake_agent_hello(agent);
    assert_true(rig_wait_text(&rig, "quarantined").failed);
    assert_true(is_quarantined());
    rig_wait_served(&rig, served + 2); /* it is looked at while sick, by the same agent */
    assert_int_equal(rig_condemnations(&rig), 1);
    assert_true(is_quarantined());
    fake_agent_material(agent, 1);
    assert_false(rig_wait_ok(&rig).failed);
    assert_false(is_quarantined());
}

static void a_canary_that_cannot_be_made_anew_is_an_outage(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    rig_kill(&rig, "killed by signal 9");
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    agent = rig_agent(&rig, &key, 1);
    fake_agent_fail(agent, LANE_PROBE, ERR_AUTH, REMEDY_CALLER, "nothing opens");
    rig_offer(&rig);
    fake_agent_hello(agent);
    struct health health = rig_wait_text(&rig, "nothing opens");
    assert_false(health.failed);
    assert_false(is_quarantined());
    rig_wait_condemned(&rig, 2);
}

static void a_torn_canary_never_quarantines(void **state)
{
    (void)state;
    char path[256];
    start();
    (void)serve_until_ok();
    rig_kill(&rig, "killed by signal 9");
    rig_canary_path(&rig, 1, path, sizeof path);
    assert_int_equal(truncate(path, 30), 0);
    struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    struct fake_agent *agent = rig_agent(&rig, &key, 1);
    fake_agent_material(agent, 2);
    unsigned served = rig_served(&rig);
    rig_offer(&rig);
    fake_agent_hello(agent);
    rig_wait_served(&rig, served + 1);
    struct canary canary;
    struct key_id key_id = fake_key_id(1);
    assert_false(err_is(ring_state_canary(rig.dir, &key_id, &canary))); /* whole again */
    assert_false(is_quarantined());
    (void)rig_wait_ok(&rig);
    assert_int_equal(rig_warnings(&rig), 1);
}

static void a_canary_that_cannot_be_read_is_not_replaced(void **state)
{
    (void)state;
    char path[256];
    struct stat st;
    rig_canary_path(&rig, 1, path, sizeof path);
    *strrchr(path, '/') = '\0';
    assert_int_equal(mkdir(path, 0700), 0);
    rig_canary_path(&rig, 1, path, sizeof path);
    assert_int_equal(mkdir(path, 0700), 0); /* a directory opens, and does not read */
    start();
    (void)serve_until_ok();
    assert_int_equal(rig_warnings(&rig), 1);
    assert_string_equal(rig.warning, "the canary file cannot be read: the KEK is not proved");
    assert_int_equal(stat(path, &st), 0);
    assert_true(S_ISDIR(st.st_mode));
}

/* --- public keys ------------------------------------------------------------------------- */

static void public_keys_that_pass_for_the_rings_are_told_once(void **state)
{
    (void)state;
    struct listed_key keys[] = {fake_key(1, KEY_ACTIVE, 1), fake_key(2, KEY_ACTIVE, 2)};
    keys[1].attributes.value &= ~ATTR_BIT(ATTR_PRIVATE);
    start();
    struct fake_agent *agent = serve_until_ok();
    for (unsigned i = 0; i < 2; i++) {
        unsigned looks = rig_looks(&rig);
        fake_agent_keys(agent, keys, 2, 2);
        keeper_rescan(rig.keeper);
        rig_wait_looks(&rig, looks + 1);
        assert_int_equal(rig_warnings(&rig), 1);
        assert_non_null(strstr(rig.warning, "pass for the ring's, 1 in all"));
        assert_string_equal(current()->text, fake_key_id(1).text);
    }
}

/* --- sick tokens ------------------------------------------------------------------------- */

static void a_failing_probe_condemns_and_is_told(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_fail(agent, LANE_PROBE, ERR_UNAVAILABLE, REMEDY_AGENT, "CKR_DEVICE_REMOVED");
    keeper_kick(rig.keeper);
    struct health health = rig_wait_text(&rig, "CKR_DEVICE_REMOVED");
    assert_false(health.ok);
    rig_wait_condemned(&rig, 1);
    assert_false(lane_pool_has_lanes(rig.pool));
    assert_string_equal(current()->text, fake_key_id(1).text);
}

static void a_hung_probe_condemns_within_the_timeout(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_rule(agent, LANE_PROBE, FAKE_HOLD);
    keeper_retune(rig.keeper, 100, NEVER_MS, NEVER_MS); /* from here on: the first look has time */
    keeper_kick(rig.keeper);
    (void)rig_wait_text(&rig, "the token does not answer");
    rig_wait_condemned(&rig, 1);
    assert_string_equal(rig.why, "no answer within token.timeout");
}

static void what_waits_fails_in_an_outage(void **state)
{
    (void)state;
    struct test_job job;
    start();
    (void)serve_until_ok();
    rig_kill(&rig, "killed by signal 9");
    while (lane_pool_has_lanes(rig.pool))
        (void)poll(NULL, 0, 1);
    job_submit(rig.pool, &job, "dek"); /* waits for the next agent, but not for ever */
    job_expect(&job, ERR_UNAVAILABLE);
}

static void lost_lanes_condemn_at_the_next_kick(void **state)
{
    (void)state;
    start();
    (void)serve_until_ok();
    lane_pool_drop(rig.pool, rig.generation, "broken");
    keeper_kick(rig.keeper);
    rig_wait_condemned(&rig, 1);
}

static void an_agent_that_is_to_be_replaced_is_condemned(void **state)
{
    (void)state;
    start();
    (void)serve_until_ok();
    keeper_replace(rig.keeper, CONDEMN_SICK, "it said so");
    rig_wait_condemned(&rig, 1);
    assert_string_equal(rig.why, "it said so");
    assert_false(lane_pool_has_lanes(rig.pool));
}

static void a_probe_period_probes(void **state)
{
    (void)state;
    rig_start(&rig, 60000, 50, NEVER_MS);
    struct fake_agent *agent = serve_until_ok();
    fake_agent_wait_seen(agent, LANE_PROBE, 4);
    assert_int_equal(fake_agent_seen(agent, LANE_LIST), 1);
    keeper_retune(rig.keeper, 60000, NEVER_MS, 50);
    fake_agent_wait_seen(agent, LANE_LIST, 3);
}

/* --- memory ------------------------------------------------------------------------------ */

static void the_remembered_key_id_is_told_before_any_agent(void **state)
{
    (void)state;
    const struct ring_memory known = {fake_key_id(9), 1, false};
    struct health health;
    struct key_id told;
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    start();
    keyring_status(rig.keyring, &health, &told);
    assert_false(health.ok);
    assert_string_equal(health.text, "the token agent is starting");
    assert_string_equal(told.text, known.key_id.text);
}

static void a_damaged_memory_is_warned_of_and_ignored(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof path, "%s/ring-k8s.active", rig.dir);
    assert_false(err_is(file_replace(path, bytes_of("rubbish\n", 8), 0600)));
    start();
    assert_int_equal(rig_warnings(&rig), 1);
    (void)serve_until_ok();
    assert_string_equal(current()->text, fake_key_id(1).text);
}

/* --- looks ------------------------------------------------------------------------------- */

static void a_wanted_look_comes_once_a_second_at_most(void **state)
{
    (void)state;
    start();
    int64_t start_ns = clock_monotonic_ns(); /* before the first look */
    struct fake_agent *agent = serve_until_ok();
    uint64_t number = keeper_want_look(rig.keeper);
    assert_int_equal(keeper_want_look(rig.keeper), number);
    rig_wait_looks(&rig, 2);
    assert_in_range(ms_since(start_ns), LOOK_AGAIN_MS, 30000);
    assert_int_equal(fake_agent_seen(agent, LANE_LIST), 2);
    assert_int_equal(keeper_want_look(rig.keeper), number + 1);
}

/* What it lists may be older than the KEK that is asked for. */
static void a_look_under_way_answers_nobody_who_comes_later(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve_until_ok();
    fake_agent_rule(agent, LANE_LIST, FAKE_HOLD);
    uint64_t number = keeper_want_look(rig.keeper);
    fake_agent_wait_seen(agent, LANE_LIST, 2);
    assert_int_equal(keeper_want_look(rig.keeper), number + 1);
    fake_agent_release(agent);
    rig_wait_looks(&rig, 3);
    unsigned probes = fake_agent_seen(agent, LANE_PROBE);
    keeper_kick(rig.keeper); /* what is wanted still would be done with it */
    fake_agent_wait_seen(agent, LANE_PROBE, probes + 1);
    assert_int_equal(fake_agent_seen(agent, LANE_LIST), 3);
}

static void without_an_agent_a_wanted_look_ends_at_once(void **state)
{
    (void)state;
    start();
    (void)keeper_want_look(rig.keeper);
    rig_wait_looks(&rig, 1);
}

static void while_the_first_agent_starts_a_wanted_look_ends_at_once(void **state)
{
    (void)state;
    start();
    (void)rig_agent(&rig, NULL, 0);
    rig_offer(&rig);
    (void)keeper_want_look(rig.keeper);
    rig_wait_looks(&rig, 1);
}

static void a_wanted_look_ends_though_its_agent_dies_and_none_comes(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = rig_serve(&rig, NULL, 0);
    rig_wait_looks(&rig, 1);
    fake_agent_rule(agent, LANE_LIST, FAKE_CLOSE);
    unsigned looks = rig_looks(&rig);
    (void)keeper_want_look(rig.keeper);
    rig_wait_looks(&rig, looks + 1);
}

#define LOOK_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOK_TEST(a_missing_kek_is_believed_of_a_fresh_agent_alone),
        LOOK_TEST(the_slower_agents_start_the_longer_one_stays),
        LOOK_TEST(a_kek_missing_since_before_the_start_is_believed_at_once),
        LOOK_TEST(an_empty_token_is_told_and_the_first_kek_found),
        LOOK_TEST(an_unfit_kek_is_told),
        LOOK_TEST(changed_material_is_quarantined_by_a_fresh_agent_alone),
        LOOK_TEST(a_canary_that_cannot_be_made_anew_is_an_outage),
        LOOK_TEST(a_torn_canary_never_quarantines),
        LOOK_TEST(a_canary_that_cannot_be_read_is_not_replaced),
        LOOK_TEST(public_keys_that_pass_for_the_rings_are_told_once),
        LOOK_TEST(a_failing_probe_condemns_and_is_told),
        LOOK_TEST(a_hung_probe_condemns_within_the_timeout),
        LOOK_TEST(what_waits_fails_in_an_outage),
        LOOK_TEST(lost_lanes_condemn_at_the_next_kick),
        LOOK_TEST(an_agent_that_is_to_be_replaced_is_condemned),
        LOOK_TEST(a_probe_period_probes),
        LOOK_TEST(the_remembered_key_id_is_told_before_any_agent),
        LOOK_TEST(a_damaged_memory_is_warned_of_and_ignored),
        LOOK_TEST(a_wanted_look_comes_once_a_second_at_most),
        LOOK_TEST(a_look_under_way_answers_nobody_who_comes_later),
        LOOK_TEST(without_an_agent_a_wanted_look_ends_at_once),
        LOOK_TEST(while_the_first_agent_starts_a_wanted_look_ends_at_once),
        LOOK_TEST(a_wanted_look_ends_though_its_agent_dies_and_none_comes),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
