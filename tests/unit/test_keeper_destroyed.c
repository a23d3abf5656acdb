/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs that `keys destroy` has begun to destroy: whether the daemon misses them. */
#include "pool_jobs.h"
#include "ring_retired.h"
#include "ring_rig.h"
#include "ring_state.h"
#include "text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

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

/* Starts a daemon that knows the older KEK by its canary. */
static void start(void)
{
    const struct key_id key_id = fake_key_id(1);
    uint8_t envelope[ENVELOPE_MAX];
    size_t len = fake_envelope(FAMILY_CANARY, &key_id, "\x01", envelope);
    assert_false(err_is(ring_state_set_canary(rig.dir, &key_id, bytes_of(envelope, len))));
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

static bool is_missing(void)
{
    size_t n = 0;
    struct ring_view *view = keyring_view(rig.keyring);
    (void)ring_view_missing(view, &n);
    ring_view_unref(view);
    return n > 0;
}

/* Begun, and done where finish says so, so long ago. */
static void record_destruction(int64_t ms_ago, bool finish)
{
    const struct key_id key_id = fake_key_id(1);
    assert_false(err_is(ring_retired_begin(rig.dir, &key_id, clock_wall_ms() - ms_ago)));
    if (finish)
        assert_false(err_is(ring_retired_finish(rig.dir, &key_id)));
}

static bool is_forgiven(void)
{
    const struct key_id key_id = fake_key_id(1);
    bool begun;
    assert_false(err_is(ring_retired_begun(rig.dir, &key_id, &begun)));
    return begun;
}

static void lose_the_older(struct fake_agent *agent)
{
    fake_agent_keys(agent, keys + 1, 1, 1);
    keeper_rescan(rig.keeper);
    rig_wait_condemned(&rig, rig.generation);
    rig_kill(&rig, "killed by signal 9");
    (void)serve(1, 1);
}

static void one_that_came_back_is_missed_when_it_goes_again(void **state)
{
    (void)state;
    record_destruction(2 * NEVER_MS, true);
    start();
    struct fake_agent *agent = serve(0, 2);
    lose_the_older(agent);
    assert_true(is_missing());
}

static void one_that_nobody_finished_is_missed_when_it_goes(void **state)
{
    (void)state;
    record_destruction(2 * NEVER_MS, false);
    start();
    struct fake_agent *agent = serve(0, 2);
    lose_the_older(agent);
    assert_true(is_missing());
}

static void one_that_is_going_on_is_not_missed(void **state)
{
    (void)state;
    record_destruction(0, false);
    start();
    struct fake_agent *agent = serve(0, 2);
    assert_true(is_forgiven());
    fake_agent_keys(agent, keys + 1, 1, 1);
    look();
    assert_false(is_missing());
}

/* An agent that does not see what others do goes on to see what they have destroyed. */
static void what_an_old_agent_sees_is_not_back(void **state)
{
    (void)state;
    start();
    (void)serve(0, 2);
    record_destruction(2 * NEVER_MS, true);
    look();
    assert_true(is_forgiven());
    rig_kill(&rig, "killed by signal 9");
    (void)serve(0, 2);
    assert_false(is_forgiven());
}

#define DESTROYED_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DESTROYED_TEST(one_that_came_back_is_missed_when_it_goes_again),
        DESTROYED_TEST(one_that_nobody_finished_is_missed_when_it_goes),
        DESTROYED_TEST(one_that_is_going_on_is_not_missed),
        DESTROYED_TEST(what_an_old_agent_sees_is_not_back),
    };
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
