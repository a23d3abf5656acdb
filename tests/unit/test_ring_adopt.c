/* SPDX-License-Identifier: Apache-2.0 */
/* Adopting a key over agents without a token: what is proved, what is refused, what is kept. */
#include "fake_agent.h"
#include "ring_adopt.h"
#include "ring_adopted.h"
#include "ring_state.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { TIMEOUT_MS = 60000 };

static const struct ring_rules rules = {.name = "k8s", .external = true};

/* Every agent of a run is a new one; the second may differ from the first. */
struct rig {
    char dir[64];
    struct listed_key keys[3];
    size_t n;
    uint8_t material, later_material;
    unsigned agents, probes_fail_from;
    struct fake_agent *agent;
    int lane;
    struct maker maker;
};

static void end(void *context)
{
    struct rig *rig = context;
    if (rig->agent) {
        (void)close(rig->lane);
        fake_agent_free(rig->agent);
    }
    rig->agent = NULL;
}

static struct err fresh(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1])
{
    struct rig *rig = context;
    (void)text;
    end(rig);
    rig->agent = fake_agent_new(1, &rig->lane);
    fake_agent_keys(rig->agent, rig->keys, rig->n, LANE_LIST_PAGE);
    fake_agent_material(rig->agent, ++rig->agents > 1 ? rig->later_material : rig->material);
    if (rig->probes_fail_from != 0 && rig->agents >= rig->probes_fail_from)
        fake_agent_fail(rig->agent, LANE_PROBE, ERR_UNAVAILABLE, REMEDY_AGENT, "the token is away");
    fake_agent_hello(rig->agent);
    *ret_lane = rig->lane;
    return ERR_OK;
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);
    if (!rig)
        return -1;
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/p11-kms-adopt.XXXXXX");
    if (!mkdtemp(rig->dir))
        return -1;
    for (uint16_t i = 0; i < 3; i++) {
        rig->keys[i] = fake_key(1, KEY_ACTIVE, i);
        (void)snprintf(rig->keys[i].label, sizeof rig->keys[i].label, "customer-%u", i);
    }
    rig->n = 3;
    rig->material = rig->later_material = 1;
    rig->maker = (struct maker){.source = {fresh, end, rig},
                                .state_dir = rig->dir,
                                .rules = &rules,
                                .timeout_ms = TIMEOUT_MS};
    *state = rig;
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    maker_end(&rig->maker);
    int failed = nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(rig);
    return failed;
}

static struct key_id name_of(const struct rig *rig, size_t key)
{
    struct key_id key_id;
    assert_false(err_is(key_id_make_external("k8s", &rig->keys[key].id, &key_id)));
    return key_id;
}

static enum err_code adopt_wanting(struct rig *rig, size_t key, const char *wanted)
{
    struct adoption adoption = {.id = rig->keys[key].id};
    (void)snprintf(adoption.wanted.text, sizeof adoption.wanted.text, "%s", wanted);
    rig->agents = 0;
    struct err e = ring_adopt(&rig->maker, &adoption);
    maker_end(&rig->maker);
    return e.code;
}

static void expect(struct rig *rig, size_t key, enum err_code code, const char *says)
{
    assert_string_equal(err_name(adopt_wanting(rig, key, "")), err_name(code));
    if (!strstr(rig->maker.text, says))
        fail_msg("\"%s\" does not say \"%s\"", rig->maker.text, says);
}

/* How many are adopted; nothing was changed where that stays the same. */
static size_t count(const struct rig *rig)
{
    struct ring_adopted adopted;
    assert_false(err_is(ring_adopted_load(rig->dir, "k8s", &adopted)));
    size_t n = adopted.n;
    ring_adopted_clear(&adopted);
    return n;
}

static bool has_canary(const struct rig *rig, size_t key)
{
    struct canary canary;
    const struct key_id key_id = name_of(rig, key);
    return !err_is(ring_state_canary(rig->dir, &key_id, &canary));
}

static void sealed_last(const struct rig *rig, const struct key_id *key_id)
{
    const struct ring_memory memory = {.key_id = *key_id, .generation = 1};
    assert_false(err_is(ring_state_set_current(rig->dir, "k8s", &memory)));
}

static void a_fit_key_is_proved_by_two_agents_and_kept(void **state)
{
    struct rig *rig = *state;
    expect(rig, 0, ERR_NONE, "is adopted and seals on this host");
    assert_int_equal(rig->agents, 2);
    assert_int_equal(count(rig), 1);
    assert_true(has_canary(rig, 0));
    expect(rig, 1, ERR_NONE, name_of(rig, 1).text);
    assert_int_equal(count(rig), 2);
}

static void adopting_the_newest_again_changes_nothing(void **state)
{
    struct rig *rig = *state;
    expect(rig, 0, ERR_NONE, "");
    expect(rig, 0, ERR_NONE, "is already adopted");
    assert_int_equal(count(rig), 1);
}

static void an_older_key_is_refused(void **state)
{
    struct rig *rig = *state;
    expect(rig, 0, ERR_NONE, "");
    expect(rig, 1, ERR_NONE, "");
    expect(rig, 0, ERR_REFUSED, "an active key never goes back");
    assert_int_equal(count(rig), 2);
}

static void a_key_that_is_not_there_is_not_found(void **state)
{
    struct rig *rig = *state;
    rig->n = 2;
    expect(rig, 2, ERR_NOT_FOUND, "is not among the 2 keys that ring.select finds");
    assert_int_equal(count(rig), 0);
}

static void an_unfit_key_is_refused_with_the_reason(void **state)
{
    struct rig *rig = *state;
    rig->keys[0].attributes.value ^= ATTR_BIT(ATTR_EXTRACTABLE);
    expect(rig, 0, ERR_REFUSED, "\"customer-0\") is refused: the token reports EXTRACTABLE");
    rig->keys[1].ambiguous = true;
    expect(rig, 1, ERR_REFUSED, "the same CKA_ID");
    assert_int_equal(count(rig), 0);
    assert_false(has_canary(rig, 0) || has_canary(rig, 1));
}

static void waived_attributes_are_named(void **state)
{
    struct rig *rig = *state;
    struct ring_rules waiving = rules;
    waiving.waive = WAIVE_USAGE;
    rig->maker.rules = &waiving;
    rig->keys[0].attributes.value |= ATTR_BIT(ATTR_WRAP) | ATTR_BIT(ATTR_UNWRAP);
    expect(rig, 0, ERR_NONE, "adopted (waived: WRAP,UNWRAP) and seals");
}

/* What only the agent that sealed it opens is no key to trust. */
static void a_fresh_agent_must_open_the_canary(void **state)
{
    struct rig *rig = *state;
    rig->later_material = 2;
    assert_int_equal(adopt_wanting(rig, 0, ""), ERR_AUTH);
    assert_int_equal(rig->agents, 2);
    assert_int_equal(count(rig), 0);
    assert_false(has_canary(rig, 0));
}

static void other_material_than_before_is_refused(void **state)
{
    struct rig *rig = *state;
    expect(rig, 0, ERR_NONE, "");
    rig->material = rig->later_material = 2;
    expect(rig, 0, ERR_REFUSED, "other key material stands behind");
}

static void an_outage_adopts_nothing(void **state)
{
    struct rig *rig = *state;
    for (rig->probes_fail_from = 1; rig->probes_fail_from <= 2; rig->probes_fail_from++)
        expect(rig, 0, ERR_UNAVAILABLE, "the token is away");
    assert_int_equal(count(rig), 0);
    rig->probes_fail_from = 0;
    expect(rig, 0, ERR_NONE, "");
}

static void ring_active_is_said_to_stand_in_the_way(void **state)
{
    struct rig *rig = *state;
    expect(rig, 0, ERR_NONE, "");
    assert_int_equal(adopt_wanting(rig, 1, name_of(rig, 0).text), ERR_NONE);
    assert_non_null(strstr(rig->maker.text, "does not seal yet: ring.active names KEK"));
    assert_int_equal(adopt_wanting(rig, 2, name_of(rig, 2).text), ERR_NONE);
    assert_non_null(strstr(rig->maker.text, "seals on this host"));
}

static void a_torn_list_is_told_not_replaced(void **state)
{
    struct rig *rig = *state;
    char path[128];
    struct ring_adopted adopted;
    (void)snprintf(path, sizeof path, "%s/ring-k8s.adopted", rig->dir);
    expect(rig, 0, ERR_NONE, "");
    assert_int_equal(truncate(path, 30), 0);
    expect(rig, 1, ERR_REFUSED, "ring-k8s.adopted in stateDir is damaged");
    assert_int_equal(ring_adopted_load(rig->dir, "k8s", &adopted).code, ERR_INVALID);
    const struct key_id last = name_of(rig, 0);
    sealed_last(rig, &last);
    assert_int_equal(unlink(path), 0);
    expect(rig, 1, ERR_REFUSED, "its adoption is lost: adopt it first");
    expect(rig, 0, ERR_NONE, "");
    expect(rig, 1, ERR_NONE, "");
}

/* The KEK that the ring had when it was managed is superseded by the first that is adopted, also
 * when the ring was external once before. */
static void a_managed_kek_that_sealed_is_superseded(void **state)
{
    struct rig *rig = *state;
    const struct key_id managed = fake_key_id(9); /* RING.UUID */
    expect(rig, 0, ERR_NONE, "");
    sealed_last(rig, &managed);
    expect(rig, 0, ERR_REFUSED, "is superseded: adopt a newer one");
    expect(rig, 1, ERR_NONE, "");
    struct ring_adopted adopted;
    assert_false(err_is(ring_adopted_load(rig->dir, "k8s", &adopted)));
    assert_int_equal(adopted.n, 3);
    assert_string_equal(adopted.keys[1].key_id.text, managed.text);
    ring_adopted_clear(&adopted);
    expect(rig, 1, ERR_NONE, "already");
}

/* Its own KEK, adopted when the ring becomes external, seals on under its new name. */
static void a_managed_kek_may_itself_be_adopted(void **state)
{
    struct rig *rig = *state;
    const struct key_id managed = fake_key_id(0);
    sealed_last(rig, &managed);
    expect(rig, 0, ERR_NONE, "seals on this host");
    assert_int_equal(count(rig), 1);
    expect(rig, 0, ERR_NONE, "already");
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(a_fit_key_is_proved_by_two_agents_and_kept),
        FRESH(adopting_the_newest_again_changes_nothing),
        FRESH(an_older_key_is_refused),
        FRESH(a_key_that_is_not_there_is_not_found),
        FRESH(an_unfit_key_is_refused_with_the_reason),
        FRESH(waived_attributes_are_named),
        FRESH(a_fresh_agent_must_open_the_canary),
        FRESH(other_material_than_before_is_refused),
        FRESH(an_outage_adopts_nothing),
        FRESH(ring_active_is_said_to_stand_in_the_way),
        FRESH(a_torn_list_is_told_not_replaced),
        FRESH(a_managed_kek_that_sealed_is_superseded),
        FRESH(a_managed_kek_may_itself_be_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
