/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs other than the active one: which must be there, what is told when they are not, and how
 * those that are used are proved. */
#include "pool_jobs.h"
#include "ring_rig.h"
#include "ring_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct ring_rig rig;
static struct listed_key keys[2]; /* an older one and the active one */

static int setup(void **state)
{
    (void)state;
    rig_make(&rig);
    keys[0] = fake_key(1, KEY_DEACTIVATED, 1);
    keys[1] = fake_key(2, KEY_ACTIVE, 2);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rig_end(&rig);
    return 0;
}

/* A canary that opens with that material only. */
static void write_canary(uint16_t tail, const char *material)
{
    uint8_t envelope[ENVELOPE_MAX];
    const struct key_id key_id = fake_key_id(tail);
    size_t len = fake_envelope(FAMILY_CANARY, &key_id, material, envelope);
    assert_false(err_is(ring_state_set_canary(rig.dir, &key_id, bytes_of(envelope, len))));
}

static void start(void)
{
    rig_start(&rig, 60000, NEVER_MS, NEVER_MS);
}

static struct fake_agent *serve(size_t first, size_t n)
{
    return rig_serve_well(&rig, keys + first, n);
}

static void look(void)
{
    unsigned served = rig_served(&rig);
    keeper_rescan(rig.keeper);
    rig_wait_served(&rig, served + 1);
}

static size_t missing(uint16_t tail)
{
    size_t n = 0;
    struct ring_view *view = keyring_view(rig.keyring);
    const struct key_id *ids = ring_view_missing(view, &n);
    if (n > 0)
        assert_string_equal(ids[0].text, fake_key_id(tail).text);
    ring_view_unref(view);
    return n;
}

static bool quarantined(size_t key)
{
    struct ring_view *view = keyring_view(rig.keyring);
    const struct kek *kek = ring_view_find(view, &keys[key].id);
    bool is = kek && kek->quarantined;
    ring_view_unref(view);
    return is;
}

/* --- missing ------------------------------------------------------------------------------ */

static void an_older_kek_that_goes_is_believed_of_a_fresh_agent_and_is_no_outage(void **state)
{
    (void)state;
    write_canary(1, "\x01");
    start();
    struct fake_agent *agent = serve(0, 2);
    assert_int_equal(missing(1), 0);
    fake_agent_keys(agent, keys + 1, 1, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
    agent = serve(1, 1);
    assert_int_equal(missing(1), 1);
    assert_true(rig_warnings(&rig) > 0);
    unsigned warnings = rig_warnings(&rig);
    look();
    assert_int_equal(rig_condemnations(&rig), 1); /* believed once, it stays believed */
    assert_int_equal(rig_warnings(&rig), warnings);
    fake_agent_keys(agent, keys, 2, 2);
    look();
    assert_int_equal(missing(1), 0);
}

static void a_kek_that_was_gone_at_the_start_is_believed_at_once(void **state)
{
    (void)state;
    write_canary(1, "\x01");
    start();
    (void)serve(1, 1);
    assert_int_equal(missing(1), 1);
    assert_int_equal(rig_condemnations(&rig), 0);
}

static void what_a_decrypt_named_is_missing_until_it_is_found(void **state)
{
    (void)state;
    const struct key_id named = fake_key_id(1);
    start();
    struct fake_agent *agent = serve(1, 1);
    unsigned looks = rig_looks(&rig);
    keeper_named(rig.keeper, &named);
    rig_wait_looks(&rig, looks + 1);
    assert_int_equal(missing(1), 1);
    fake_agent_keys(agent, keys, 2, 2);
    look();
    assert_int_equal(missing(1), 0);
}

static void a_kek_that_is_given_up_is_not_missing_any_more(void **state)
{
    (void)state;
    const struct key_id lost = fake_key_id(1), named = fake_key_id(7);
    write_canary(1, "\x01");
    start();
    (void)serve(1, 1);
    assert_int_equal(missing(1), 1);
    unsigned looks = rig_looks(&rig);
    assert_false(err_is(keeper_forget(rig.keeper, &lost)));
    rig_wait_looks(&rig, looks + 1);
    assert_int_equal(missing(1), 0);
    looks = rig_looks(&rig);
    keeper_named(rig.keeper, &named);
    rig_wait_looks(&rig, looks + 1);
    assert_int_equal(missing(7), 1);
    looks = rig_looks(&rig);
    assert_false(err_is(keeper_forget(rig.keeper, &named)));
    rig_wait_looks(&rig, looks + 1);
    assert_int_equal(missing(7), 0);
    keeper_named(rig.keeper, &named); /* whoever still reads what they have sealed */
    keeper_named(rig.keeper, &lost);
    look();
    assert_int_equal(missing(1) + missing(7), 0);
}

static void a_kek_that_was_given_up_stays_so_after_a_restart(void **state)
{
    (void)state;
    const struct key_id lost = fake_key_id(1), named = fake_key_id(7);
    write_canary(1, "\x01");
    assert_false(err_is(ring_state_forget(rig.dir, &lost)));
    assert_false(err_is(ring_state_forget(rig.dir, &named)));
    start();
    (void)serve(1, 1);
    keeper_named(rig.keeper, &named);
    keeper_named(rig.keeper, &lost);
    look();
    assert_int_equal(missing(1) + missing(7), 0);
}

/* The rotation has made both the KEK and its canary. */
static void a_kek_made_since_the_start_is_missed_when_it_goes(void **state)
{
    (void)state;
    const struct listed_key later[] = {fake_key(2, KEY_DEACTIVATED, 2), fake_key(3, KEY_ACTIVE, 3)};
    start();
    write_canary(2, "\x01");
    struct fake_agent *agent = serve(1, 1);
    fake_agent_keys(agent, later, 2, 2);
    look();
    fake_agent_keys(agent, later + 1, 1, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
    (void)rig_serve_well(&rig, later + 1, 1);
    assert_int_equal(missing(2), 1);
}

static void a_given_up_kek_that_came_back_is_missed_when_it_goes_again(void **state)
{
    (void)state;
    const struct ring_memory known = {fake_key_id(2), 2, true};
    struct ring_memory after;
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    start();
    struct fake_agent *agent = serve(0, 2);
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &after)));
    assert_false(after.lost);
    fake_agent_keys(agent, keys, 1, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
    (void)rig_serve(&rig, keys, 1);
    assert_true(rig_wait_text(&rig, "is not on the token any more").failed);
}

static void a_lost_active_kek_is_followed_by_a_newer_one_alone(void **state)
{
    (void)state;
    const struct ring_memory known = {fake_key_id(9), 5, false};
    struct ring_memory after;
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    start();
    struct fake_agent *agent = rig_serve(&rig, keys, 2);
    assert_true(rig_wait_text(&rig, "is not on the token any more").failed);
    assert_false(err_is(keeper_forget(rig.keeper, &known.key_id)));
    assert_false(rig_wait_text(&rig, "acknowledged as lost").failed);
    keys[1] = fake_key(6, KEY_ACTIVE, 3);
    fake_agent_keys(agent, keys, 2, 2);
    keeper_rescan(rig.keeper);
    (void)rig_wait_ok(&rig);
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &after)));
    assert_string_equal(after.key_id.text, fake_key_id(3).text);
    assert_false(after.lost);
}

/* Else a restart would miss a KEK that was rightly destroyed, or let an older one seal again. */
static void what_could_not_be_written_is_written_at_a_later_look(void **state)
{
    (void)state;
    struct ring_memory after;
    char path[128];
    start();
    (void)snprintf(path, sizeof path, "%s/ring-k8s.active", rig.dir);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)serve(0, 2);
    assert_int_equal(rig_warnings(&rig), 1);
    look();
    assert_int_equal(rig_warnings(&rig), 1); /* said once */
    assert_int_equal(rmdir(path), 0);
    look();
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &after)));
    assert_string_equal(after.key_id.text, fake_key_id(2).text);
    assert_int_equal(after.generation, 2);
}

/* Known by its canary alone, as where the memory of the active one is damaged. */
static void a_known_kek_of_which_one_object_is_left_is_told(void **state)
{
    (void)state;
    struct health health;
    keys[0] = fake_key_object(&keys[1], SCHEME_AES_CBC_HMAC, 0);
    write_canary(2, "1");
    start();
    (void)rig_serve(&rig, keys, 1);
    health = rig_wait_text(&rig, "which this host knows, is not whole on the token any more");
    if (!strstr(health.text, "lacks its mac object"))
        fail_msg("%s", health.text);
    assert_false(health.failed);
    assert_int_equal(missing(2), 1);
}

static unsigned probes_of_older(struct fake_agent *agent)
{
    return fake_agent_probes_of(agent, fake_key_id(1));
}

/* --- older KEKs in use -------------------------------------------------------------------- */

static void the_first_use_of_an_older_kek_makes_its_canary(void **state)
{
    (void)state;
    char path[128];
    start();
    struct fake_agent *agent = serve(0, 2);
    rig_canary_path(&rig, 1, path, sizeof path);
    assert_int_not_equal(access(path, F_OK), 0);
    keeper_used(rig.keeper, &keys[0].id);
    fake_agent_wait_probes_of(agent, fake_key_id(1), 1);
    look(); /* after it */
    assert_int_equal(access(path, F_OK), 0);
    assert_int_equal(probes_of_older(agent), 1);
    keeper_used(rig.keeper, &keys[0].id); /* once an agent is enough */
    look();
    look();
    assert_int_equal(probes_of_older(agent), 1);
}

static void an_older_kek_with_other_material_is_quarantined_and_released(void **state)
{
    (void)state;
    write_canary(1, "\x07"); /* the token has material 1 */
    start();
    (void)serve(0, 2);
    assert_false(quarantined(0)); /* nobody has used it */
    keeper_used(rig.keeper, &keys[0].id);
    rig_wait_condemned(&rig, 1);
    assert_false(quarantined(0));
    rig_kill(&rig, "killed by signal 9");
    (void)serve(0, 2);
    assert_true(quarantined(0));
    look();
    assert_true(quarantined(0));
    assert_int_equal(rig_condemnations(&rig), 1);
    write_canary(1, "\x01"); /* as if the token had been restored */
    rig_kill(&rig, "killed by signal 9");
    (void)serve(0, 2);
    assert_false(quarantined(0));
}

/* The older KEK was used and did not open its canary: the next fresh agent is to prove it. */
static void make_suspect(void)
{
    write_canary(1, "\x07");
    start();
    (void)serve(0, 2);
    keeper_used(rig.keeper, &keys[0].id);
    rig_wait_condemned(&rig, 1);
    rig_kill(&rig, "killed by signal 9");
}

/* The next fresh agent begins with the proof of a suspect, and that is not answered. */
static void hiccup(void)
{
    struct fake_agent *agent = rig_agent(&rig, keys, 2);
    fake_agent_rule(agent, LANE_PROBE, FAKE_CLOSE);
    rig_offer(&rig);
    fake_agent_hello(agent);
    fake_agent_wait_seen(agent, LANE_PROBE, 1);
    rig_kill(&rig, "killed by signal 11");
}

static void an_older_kek_whose_proof_kills_agents_kills_one(void **state)
{
    (void)state;
    make_suspect();
    hiccup();
    struct fake_agent *agent = serve(0, 2);
    assert_int_equal(probes_of_older(agent), 0);
    assert_int_equal(rig_condemnations(&rig), 1);
}

static void a_hiccup_in_its_proof_costs_one_agent_and_the_next_proves(void **state)
{
    (void)state;
    make_suspect();
    hiccup();
    (void)serve(0, 2);
    keeper_used(rig.keeper, &keys[0].id); /* this agent leaves it alone */
    look();
    assert_int_equal(rig_condemnations(&rig), 1);
    assert_false(quarantined(0));
    rig_kill(&rig, "killed by signal 9");
    (void)serve(0, 2);
    assert_true(quarantined(0));
    rig_kill(&rig, "killed by signal 9");
    hiccup();
    write_canary(1, "\x01"); /* as if the token had been restored */
    (void)serve(0, 2);
    assert_true(quarantined(0));
    rig_kill(&rig, "killed by signal 9");
    (void)serve(0, 2);
    assert_false(quarantined(0));
}

static void one_whose_proof_kills_agents_is_not_tried_each_time(void **state)
{
    (void)state;
    make_suspect();
    for (unsigned i = 0; i < 2; i++) {
        hiccup();
        (void)serve(0, 2);
        rig_kill(&rig, "killed by signal 9");
    }
    for (unsigned i = 0; i < 3; i++) {
        struct fake_agent *agent = serve(0, 2);
        assert_int_equal(probes_of_older(agent), 0);
        rig_kill(&rig, "killed by signal 9");
    }
    assert_int_equal(rig_condemnations(&rig), 1);
}

static void two_keks_whose_proofs_kill_agents_kill_two(void **state)
{
    (void)state;
    const struct listed_key three[] = {fake_key(1, KEY_DEACTIVATED, 1),
                                       fake_key(2, KEY_DEACTIVATED, 2), fake_key(3, KEY_ACTIVE, 3)};
    write_canary(1, "\x07");
    write_canary(2, "\x07");
    start();
    for (uint64_t i = 0; i < 2; i++) {
        (void)rig_serve_well(&rig, three, 3);
        keeper_used(rig.keeper, &three[i].id);
        rig_wait_condemned(&rig, i + 1);
        rig_kill(&rig, "killed by signal 9");
    }
    for (unsigned i = 0; i < 2; i++) {
        struct fake_agent *agent = rig_agent(&rig, three, 3);
        fake_agent_rule(agent, LANE_PROBE, FAKE_CLOSE);
        rig_offer(&rig);
        fake_agent_hello(agent);
        fake_agent_wait_seen(agent, LANE_PROBE, 1);
        rig_kill(&rig, "killed by signal 11");
    }
    struct fake_agent *agent = rig_serve_well(&rig, three, 3);
    look();
    assert_int_equal(rig_condemnations(&rig), 2);
    assert_int_equal(probes_of_older(agent), 0);
    assert_int_equal(fake_agent_probes_of(agent, fake_key_id(2)), 0);
}

static void an_older_kek_that_fails_alone_is_no_outage(void **state)
{
    (void)state;
    start();
    struct fake_agent *agent = serve(0, 2);
    unsigned warnings = rig_warnings(&rig);
    size_t texts = rig_texts(&rig);
    fake_agent_fail(agent, LANE_PROBE, ERR_TOKEN, REMEDY_HUMAN, "may not be used");
    keeper_used(rig.keeper, &keys[0].id);
    fake_agent_wait_probes_of(agent, fake_key_id(1), 1);
    fake_agent_rule(agent, LANE_PROBE, FAKE_ANSWER);
    look();
    assert_int_equal(rig_warnings(&rig), warnings + 1);
    assert_int_equal(rig_texts(&rig), texts);
    assert_int_equal(rig_condemnations(&rig), 0);
}

#define KNOWN_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        KNOWN_TEST(an_older_kek_that_goes_is_believed_of_a_fresh_agent_and_is_no_outage),
        KNOWN_TEST(a_kek_that_was_gone_at_the_start_is_believed_at_once),
        KNOWN_TEST(what_a_decrypt_named_is_missing_until_it_is_found),
        KNOWN_TEST(a_kek_that_is_given_up_is_not_missing_any_more),
        KNOWN_TEST(a_kek_that_was_given_up_stays_so_after_a_restart),
        KNOWN_TEST(a_kek_made_since_the_start_is_missed_when_it_goes),
        KNOWN_TEST(a_given_up_kek_that_came_back_is_missed_when_it_goes_again),
        KNOWN_TEST(a_lost_active_kek_is_followed_by_a_newer_one_alone),
        KNOWN_TEST(what_could_not_be_written_is_written_at_a_later_look),
        KNOWN_TEST(a_known_kek_of_which_one_object_is_left_is_told),
        KNOWN_TEST(the_first_use_of_an_older_kek_makes_its_canary),
        KNOWN_TEST(an_older_kek_with_other_material_is_quarantined_and_released),
        KNOWN_TEST(an_older_kek_whose_proof_kills_agents_kills_one),
        KNOWN_TEST(a_hiccup_in_its_proof_costs_one_agent_and_the_next_proves),
        KNOWN_TEST(one_whose_proof_kills_agents_is_not_tried_each_time),
        KNOWN_TEST(two_keks_whose_proofs_kill_agents_kill_two),
        KNOWN_TEST(an_older_kek_that_fails_alone_is_no_outage),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
