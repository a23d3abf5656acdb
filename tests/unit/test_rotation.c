/* SPDX-License-Identifier: Apache-2.0 */
/* The rotation with fake makers on a fake token: what it does by itself and by order, and how it
 * takes failures, other replicas and crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fake_agent.h"
#include "ring_external.h"
#include "ring_look.h"
#include "rotation.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NEVER = 0, SOON_MS = 60, HOUR_MS = 3600000, AGENTS_MAX = 64 };

static struct rig {
    char dir[32];
    struct fake_token token;
    struct keyring *keyring;
    struct rotation *rotation;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct fake_agent *agents[AGENTS_MAX];
    unsigned n_agents;
    const char *no_maker;     /* why there is none */
    enum lane_op fail_op;     /* makers fail this */
    struct listed_key before; /* another replica makes this before a maker looks; len 0: none */
    struct key_id missing, forgotten;
    bool unwell, stale; /* stale: what is published is of before */
    bool silent;        /* no maker comes, and nothing is said */
    uint64_t wanted, ended;
    unsigned bad_notes, n_reports;
    struct ring_report report;
} rig;

/* --- the rotation's surroundings ----------------------------------------------------------- */

static void publish(void)
{
    int lane;
    size_t active = SIZE_MAX;
    struct ring_look look;
    struct lane_status status;
    struct ring_memory known;
    struct health health = {.ok = true, .text = "ok"};
    struct ring_view *view = NULL;
    const struct key_id nobody = {""};
    struct fake_agent *agent = fake_agent_new(1, &lane);
    fake_agent_share(agent, &rig.token);
    assert_false(err_is(ring_look_take(lane, 1000, keyring_rules(rig.keyring), &look, &status)));
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &known)));
    if (keyring_rules(rig.keyring)->external)
        (void)ring_external_look(&look, rig.dir, keyring_rules(rig.keyring), &nobody, &known.key_id,
                                 &active, &health);
    else
        (void)ring_look_judge(&look, "k8s", &known, &active, &health);
    pthread_mutex_lock(&rig.lock);
    const struct ring_content content = {.keys = look.keys,
                                         .n = look.n,
                                         .active = active,
                                         .missing = &rig.missing,
                                         .n_missing = rig.missing.text[0] != '\0'};
    if (rig.unwell)
        health = (struct health){.text = "away"};
    else if (active != SIZE_MAX)
        health = (struct health){.ok = true, .text = "ok"};
    assert_false(err_is(ring_view_new(&content, &view)));
    pthread_mutex_unlock(&rig.lock);
    keyring_publish(rig.keyring, view, &health);
    ring_look_clear(&look);
    (void)close(lane);
    fake_agent_free(agent);
}

static void on_want(void *context, uint64_t number)
{
    int lane;
    (void)context;
    pthread_mutex_lock(&rig.lock);
    const char *no_maker = rig.no_maker;
    rig.wanted = number;
    pthread_cond_broadcast(&rig.changed);
    if (rig.silent) {
        pthread_mutex_unlock(&rig.lock);
        return;
    }
    if (rig.before.id.len > 0)
        fake_token_add(&rig.token, &rig.before);
    rig.before.id.len = 0;
    struct fake_agent *agent = fake_agent_new(1, &lane);
    fake_agent_share(agent, &rig.token);
    if (rig.fail_op)
        fake_agent_fail(agent, rig.fail_op, ERR_TOKEN, REMEDY_HUMAN, "the token is full");
    assert_true(rig.n_agents < AGENTS_MAX);
    rig.agents[rig.n_agents++] = agent;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
    if (no_maker) {
        (void)close(lane);
        rotation_maker_gone(rig.rotation, number, no_maker);
        return;
    }
    fake_agent_hello(agent);
    rotation_offer(rig.rotation, number, lane);
}

static void on_end(void *context, uint64_t number)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.ended = number;
    pthread_mutex_unlock(&rig.lock);
}

static void on_changed(void *context, bool unseen)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.stale = rig.stale && !unseen;
    bool stale = rig.stale;
    pthread_mutex_unlock(&rig.lock);
    if (!stale)
        publish();
    rotation_looked(rig.rotation);
}

static struct err on_forget(void *context, const struct key_id *key_id)
{
    struct ring_memory known;
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.forgotten = *key_id;
    rig.missing.text[0] = '\0';
    pthread_mutex_unlock(&rig.lock);
    assert_false(err_is(ring_state_current(rig.dir, "k8s", &known)));
    known.lost = strcmp(known.key_id.text, key_id->text) == 0;
    return known.lost ? ring_state_set_current(rig.dir, "k8s", &known) : ERR_OK;
}

static void on_note(void *context, bool bad, const char *what, const char *key_id, const char *why)
{
    (void)context, (void)what, (void)key_id, (void)why;
    pthread_mutex_lock(&rig.lock);
    rig.bad_notes += bad;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

static void on_report(void *context, const struct ring_report *report)
{
    (void)context;
    pthread_mutex_lock(&rig.lock);
    rig.report = *report;
    rig.n_reports++;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

static struct ring_report give_order(enum ring_command command, const struct object_id *id)
{
    struct ring_order order = {.command = command, .done = on_report};
    if (id)
        order.id = *id;
    pthread_mutex_lock(&rig.lock);
    unsigned before = rig.n_reports;
    pthread_mutex_unlock(&rig.lock);
    rotation_order(rig.rotation, &order);
    pthread_mutex_lock(&rig.lock);
    while (rig.n_reports == before)
        pthread_cond_wait(&rig.changed, &rig.lock);
    struct ring_report report = rig.report;
    pthread_mutex_unlock(&rig.lock);
    assert_true(report.text[0] != '\0');
    return report;
}

static void expect_refusal(enum ring_command command, const struct object_id *id, const char *word)
{
    struct ring_report report = give_order(command, id);
    assert_int_equal(report.code, ERR_REFUSED);
    if (!strstr(report.text, word))
        fail_msg("\"%s\" does not say \"%s\"", report.text, word);
}

static int setup(void **state)
{
    (void)state;
    memset(&rig, 0, sizeof rig);
    (void)snprintf(rig.dir, sizeof rig.dir, "/tmp/p11kms-rotate-XXXXXX");
    assert_non_null(mkdtemp(rig.dir));
    pthread_mutex_init(&rig.lock, NULL);
    pthread_cond_init(&rig.changed, NULL);
    fake_token_init(&rig.token, NULL, 0);
    assert_false(err_is(keyring_new("k8s", &rig.keyring)));
    return 0;
}

static int teardown(void **state)
{
    char command[64];
    (void)state;
    rotation_free(rig.rotation);
    for (unsigned i = 0; i < rig.n_agents; i++)
        fake_agent_free(rig.agents[i]);
    keyring_free(rig.keyring);
    (void)snprintf(command, sizeof command, "rm -r %s", rig.dir);
    return system(command);
}

static void start(int64_t rotate_every_ms, int64_t activation_delay_ms, uint64_t max_seals)
{
    const struct rotation_options options = {
        .state_dir = rig.dir,
        .keyring = rig.keyring,
        .generate_timeout_ms = 2000,
        .tuning = {rotate_every_ms, activation_delay_ms, max_seals},
        .hooks = {on_want, on_end, on_changed, on_forget, on_note, NULL}};
    publish();
    pthread_mutex_lock(&rig.lock); /* its hooks wait until the rig knows it */
    struct err e = rotation_new(&options, &rig.rotation);
    pthread_mutex_unlock(&rig.lock);
    assert_false(err_is(e));
}

static struct listed_key add(uint32_t generation, enum key_state state, uint16_t tail)
{
    struct listed_key key = fake_key(generation, state, tail);
    fake_token_add(&rig.token, &key);
    return key;
}

/* The token's key number i: its generation and state. */
static void expect_key(size_t i, uint32_t generation, enum key_state state)
{
    struct listed_key keys[TOKEN_KEYS_MAX];
    struct key_label label;
    assert_true(i < fake_token_list(&rig.token, keys));
    assert_false(err_is(key_label_parse(bytes_of_string(keys[i].label), &label)));
    assert_int_equal(label.generation, generation);
    assert_int_equal(label.state, state);
}

static size_t keys_on_token(void)
{
    struct listed_key keys[TOKEN_KEYS_MAX];
    return fake_token_list(&rig.token, keys);
}

/* Until the rotation has looked at what is published: an order is carried out after that. */
static struct rotation_status settle(void)
{
    struct rotation_status status;
    const struct object_id nobody = {.len = 16};
    rotation_looked(rig.rotation);
    (void)give_order(RING_ACTIVATE, &nobody);
    (void)give_order(RING_ACTIVATE, &nobody);
    rotation_status(rig.rotation, &status);
    return status;
}

/* --- by itself ------------------------------------------------------------------------------ */

static void an_old_kek_is_followed_and_retired(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(HOUR_MS, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    expect_key(0, 7, KEY_DEACTIVATED);
    expect_key(1, 8, KEY_ACTIVE);
    (void)settle();
    assert_int_equal(keys_on_token(), 2);
}

static void a_new_kek_waits_and_is_told(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(HOUR_MS, HOUR_MS, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1);
    struct rotation_status status = settle();
    assert_true(status.pending.text[0] != '\0');
    assert_true(status.activate_due_ms > 0);
    expect_key(0, 7, KEY_ACTIVE);
}

static void never_means_never(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, SOON_MS, 1000);
    struct rotation_status status = settle();
    assert_int_equal(status.rotate_due_ms, 0);
    assert_int_equal(keys_on_token(), 1);
}

static void enough_seals_bring_a_successor(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, SOON_MS, 1000);
    (void)settle();
    for (int i = 0; i < 999; i++)
        rotation_sealed(rig.rotation);
    assert_int_equal(settle().seals, 999);
    assert_int_equal(keys_on_token(), 1);
    rotation_sealed(rig.rotation);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    expect_key(1, 8, KEY_ACTIVE);
}

static void a_lost_count_brings_a_successor(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(1), 7, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    start(NEVER, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
}

static void a_count_outlives_the_daemon(void **state)
{
    (void)state;
    uint64_t seals = 0;
    const struct key_id key_id = fake_key_id(1);
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, SOON_MS, 1000000);
    (void)settle();
    rotation_sealed(rig.rotation);
    (void)settle();
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &key_id, &seals)));
    assert_true(seals > 1); /* reserved, should it crash now */
    rotation_sealed(rig.rotation);
    rotation_free(rig.rotation);
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &key_id, &seals)));
    assert_int_equal(seals, 2);
    start(NEVER, SOON_MS, 1000000);
    assert_int_equal(settle().seals, 2);
    assert_int_equal(keys_on_token(), 1);
}

/* A directory that is not empty is in the file's place: as good as a full disk. */
static void block_the_count(void)
{
    char command[160];
    (void)snprintf(command, sizeof command,
                   "rm -f %s/ring-k8s.seals && mkdir -p %s/ring-k8s.seals/full", rig.dir, rig.dir);
    assert_int_equal(system(command), 0);
}

static void a_full_disk_brings_one_successor_and_no_more(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, 0, 1000);
    (void)settle();
    for (int i = 0; i < 999; i++)
        rotation_sealed(rig.rotation);
    (void)settle();
    block_the_count();
    rotation_sealed(rig.rotation);
    fake_token_wait(&rig.token, KEY_DEACTIVATED, 1);
    pthread_mutex_lock(&rig.lock);
    unsigned bad = rig.bad_notes;
    pthread_mutex_unlock(&rig.lock);
    assert_int_equal(settle().seals, 0);
    (void)settle();
    assert_int_equal(keys_on_token(), 2);
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.bad_notes <= bad + 1); /* told once, not at every turn */
    pthread_mutex_unlock(&rig.lock);
}

static void the_end_does_not_take_a_count_away_that_the_keeper_has_begun(void **state)
{
    (void)state;
    uint64_t seals = 0;
    const struct ring_memory next = {fake_key_id(2), 8, false};
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, SOON_MS, 1000);
    (void)settle();
    assert_false(err_is(ring_state_set_seals(rig.dir, "k8s", &next.key_id, 0)));
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &next)));
    rotation_free(rig.rotation);
    rig.rotation = NULL;
    assert_false(err_is(ring_state_seals(rig.dir, "k8s", &next.key_id, &seals)));
}

static void what_another_replica_has_made_is_not_made_again(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.before = fake_key(8, KEY_PRE_ACTIVE, 2);
    start(HOUR_MS, SOON_MS, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2); /* it was due already */
    assert_int_equal(keys_on_token(), 2);
    expect_key(1, 8, KEY_ACTIVE);
}

static void what_only_a_new_agent_sees_is_seen_in_the_end(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.stale = true;
    start(HOUR_MS, 0, 1000);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    assert_int_equal(keys_on_token(), 2);
    pthread_mutex_lock(&rig.lock);
    assert_true(rig.n_agents <= 8);
    pthread_mutex_unlock(&rig.lock);
}

static void a_token_that_fails_is_not_asked_in_a_row(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.fail_op = LANE_GENERATE;
    start(HOUR_MS, SOON_MS, 1000);
    pthread_mutex_lock(&rig.lock);
    while (rig.bad_notes == 0)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    assert_non_null(strstr(settle().failed, "the token is full"));
    pthread_mutex_lock(&rig.lock);
    unsigned first = rig.n_agents;
    rig.fail_op = 0;
    pthread_mutex_unlock(&rig.lock);
    assert_true(first <= 1 + 2 * 2); /* one step, and the orders of settle */
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    assert_string_equal(settle().failed, "");
}

static void a_kek_with_odd_attributes_is_neither_used_nor_replaced(void **state)
{
    (void)state;
    struct listed_key keys[TOKEN_KEYS_MAX];
    (void)add(7, KEY_ACTIVE, 1);
    rig.token.odd = ATTR_BIT(ATTR_EXTRACTABLE);
    start(HOUR_MS, 0, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1);
    assert_non_null(strstr(settle().blocked, "EXTRACTABLE"));
    assert_int_equal(keys_on_token(), 2);
    rig.token.odd = 0;
    (void)fake_token_list(&rig.token, keys);
    assert_int_equal(give_order(RING_DEACTIVATE, &keys[1].id).code, ERR_NONE);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2);
    expect_key(2, 9, KEY_ACTIVE);
}

static void nothing_is_made_while_a_kek_is_missing(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.missing = fake_key_id(5);
    start(HOUR_MS, SOON_MS, 1000);
    assert_non_null(strstr(settle().blocked, fake_key_id(5).text));
    expect_refusal(RING_ROTATE, NULL, "--acknowledge-loss");
    assert_int_equal(keys_on_token(), 1);
    struct object_id lost = fake_key(1, KEY_ACTIVE, 5).id;
    struct ring_report report = give_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_string_equal(rig.forgotten.text, fake_key_id(5).text);
    fake_token_wait(&rig.token, KEY_ACTIVE, 2); /* by age, now that nothing is in the way */
}

static void add_canary(uint16_t tail)
{
    const struct key_id key_id = fake_key_id(tail);
    assert_false(err_is(ring_state_set_canary(rig.dir, &key_id, bytes_of("x", 1))));
}

/* The token has lost it since the keeper looked. */
static void nothing_is_made_when_the_maker_itself_misses_a_kek(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    add_canary(5);
    start(HOUR_MS, SOON_MS, 1000);
    (void)settle();
    expect_refusal(RING_ROTATE, NULL, fake_key_id(5).text);
    assert_int_equal(keys_on_token(), 1);
}

static void nothing_is_made_on_a_token_that_is_not_well(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.unwell = true;
    start(HOUR_MS, SOON_MS, 1000);
    assert_non_null(strstr(settle().blocked, "away"));
    assert_int_equal(keys_on_token(), 1);
}

/* --- by order ------------------------------------------------------------------------------- */

static void rotating_by_order_makes_one_and_no_second(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, HOUR_MS, 1000);
    struct ring_report report = give_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_NONE);
    assert_true(report.active_ms > 0);
    expect_key(1, 8, KEY_PRE_ACTIVE);
    expect_refusal(RING_ROTATE, NULL, report.key_id.text);
    assert_int_equal(keys_on_token(), 2);
}

static void activating_by_order_does_not_wait(void **state)
{
    (void)state;
    struct object_id old = add(6, KEY_PRE_ACTIVE, 1).id;
    struct object_id active = add(7, KEY_ACTIVE, 2).id;
    struct object_id next = add(8, KEY_PRE_ACTIVE, 3).id;
    const struct object_id nobody = fake_key(1, KEY_ACTIVE, 99).id;
    start(NEVER, 24 * HOUR_MS, 1000);
    expect_refusal(RING_ACTIVATE, &old, "superseded");
    expect_refusal(RING_ACTIVATE, &active, "is active");
    assert_int_equal(give_order(RING_ACTIVATE, &nobody).code, ERR_NOT_FOUND);
    assert_int_equal(give_order(RING_ACTIVATE, &next).code, ERR_NONE);
    expect_key(2, 8, KEY_ACTIVE);
}

static void the_active_kek_gets_a_successor_before_it_goes(void **state)
{
    (void)state;
    struct object_id active = add(7, KEY_ACTIVE, 1).id;
    start(NEVER, HOUR_MS, 1000);
    assert_int_equal(give_order(RING_DEACTIVATE, &active).code, ERR_NONE);
    expect_key(0, 7, KEY_DEACTIVATED);
    expect_key(1, 8, KEY_ACTIVE);
    expect_refusal(RING_DEACTIVATE, &active, "already");
    assert_int_equal(give_order(RING_COMPROMISE, &active).code, ERR_NONE);
    expect_key(0, 7, KEY_COMPROMISED);
    expect_refusal(RING_DEACTIVATE, &active, "already");
    assert_int_equal(keys_on_token(), 2);
}

static void a_compromised_active_kek_is_followed_by_the_one_that_waits(void **state)
{
    (void)state;
    struct object_id active = add(7, KEY_ACTIVE, 1).id;
    start(NEVER, HOUR_MS, 1000);
    assert_int_equal(give_order(RING_ROTATE, NULL).code, ERR_NONE);
    assert_int_equal(give_order(RING_COMPROMISE, &active).code, ERR_NONE);
    expect_key(0, 7, KEY_COMPROMISED);
    expect_key(1, 8, KEY_ACTIVE);
    assert_int_equal(keys_on_token(), 2);
}

static void a_successor_that_cannot_be_made_keeps_the_active_kek(void **state)
{
    (void)state;
    struct object_id active = add(7, KEY_ACTIVE, 1).id;
    rig.fail_op = LANE_GENERATE;
    start(NEVER, HOUR_MS, 1000);
    struct ring_report report = give_order(RING_DEACTIVATE, &active);
    assert_int_equal(report.code, ERR_TOKEN);
    assert_non_null(strstr(report.text, "the token is full"));
    expect_key(0, 7, KEY_ACTIVE);
}

static void a_lost_active_kek_is_never_followed_by_an_older_one(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    start(NEVER, HOUR_MS, 1000);
    expect_refusal(RING_ROTATE, NULL, known.key_id.text);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    assert_int_equal(give_order(RING_ROTATE, &lost).code, ERR_NONE);
    expect_key(0, 7, KEY_ACTIVE);
    expect_key(1, 13, KEY_ACTIVE); /* at once: nobody sealed */
}

/* Another replica has rotated meanwhile: its KEK is the successor. */
static void giving_a_kek_up_makes_none_where_a_newer_one_is_active(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 5, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(5, KEY_ACTIVE, 9).id;
    struct ring_report report = give_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "the active KEK stays"));
    assert_int_equal(keys_on_token(), 1);
}

static void one_of_two_lost_keks_given_up_is_not_enough(void **state)
{
    (void)state;
    (void)add(7, KEY_DEACTIVATED, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    add_canary(5);
    start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    struct ring_report report = give_order(RING_ROTATE, &lost);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, fake_key_id(5).text));
    assert_int_equal(keys_on_token(), 1);
}

/* Other replicas may seal, and must see it first. */
static void a_token_that_is_not_well_here_makes_no_kek_active_too_early(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.unwell = true;
    start(NEVER, HOUR_MS, 1000);
    assert_int_equal(give_order(RING_ROTATE, NULL).code, ERR_NONE);
    expect_key(1, 8, KEY_PRE_ACTIVE);
}

static void a_lost_active_kek_is_followed_by_the_one_that_waits(void **state)
{
    (void)state;
    (void)add(13, KEY_PRE_ACTIVE, 1);
    const struct ring_memory known = {fake_key_id(9), 12, false};
    assert_false(err_is(ring_state_set_current(rig.dir, "k8s", &known)));
    rig.missing = known.key_id;
    start(NEVER, HOUR_MS, 1000);
    struct object_id lost = fake_key(12, KEY_ACTIVE, 9).id;
    assert_int_equal(give_order(RING_ROTATE, &lost).code, ERR_NONE);
    expect_key(0, 13, KEY_ACTIVE);
    assert_int_equal(keys_on_token(), 1);
}

static void what_is_not_missing_cannot_be_given_up(void **state)
{
    (void)state;
    struct object_id active = add(7, KEY_ACTIVE, 1).id;
    const struct object_id nobody = fake_key(1, KEY_ACTIVE, 99).id;
    start(NEVER, HOUR_MS, 1000);
    expect_refusal(RING_ROTATE, &active, "it is not lost");
    expect_refusal(RING_ROTATE, &nobody, "known to be missing");
    assert_int_equal(keys_on_token(), 1);
}

static void an_empty_ring_is_not_begun(void **state)
{
    (void)state;
    start(HOUR_MS, SOON_MS, 1000);
    expect_refusal(RING_ROTATE, NULL, "p11-kms init");
    assert_int_equal(keys_on_token(), 0);
}

static void without_a_maker_the_order_says_why(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    rig.no_maker = "fork failed";
    start(NEVER, HOUR_MS, 1000);
    struct ring_report report = give_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(report.text, "fork failed"));
}

static void external_keys_are_not_adopted_here(void **state)
{
    (void)state;
    struct object_id active = add(7, KEY_ACTIVE, 1).id;
    start(NEVER, HOUR_MS, 1000);
    expect_refusal(RING_ADOPT, &active, "external");
}

/* However old the key, and however often it sealed. */
static void an_external_ring_is_never_changed(void **state)
{
    (void)state;
    keyring_set_external(rig.keyring, 0);
    struct listed_key key = add(7, KEY_ACTIVE, 1);
    start(HOUR_MS, 0, 1000);
    struct ring_report report = give_order(RING_ADOPT, &key.id);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "is adopted and seals on this host"));
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    assert_string_equal(ring_view_active(view)->key_id.text, report.key_id.text);
    for (unsigned i = 0; i < 2000; i++)
        rotation_sealed(rig.rotation);
    const enum ring_command others[] = {RING_ROTATE, RING_ACTIVATE, RING_DEACTIVATE,
                                        RING_COMPROMISE};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        expect_refusal(others[i], others[i] == RING_ROTATE ? NULL : &key.id, "is external");
    struct rotation_status status = settle();
    assert_string_equal(status.blocked, "");
    assert_int_equal(status.rotate_due_ms, 0);
    assert_int_equal(keys_on_token(), 1);
    expect_key(0, 7, KEY_ACTIVE);
}

static void a_key_that_does_not_seal_once_adopted_is_told(void **state)
{
    (void)state;
    keyring_set_external(rig.keyring, 0);
    struct listed_key key = add(7, KEY_ACTIVE, 1);
    start(HOUR_MS, 0, 1000);
    (void)add(1, KEY_ACTIVE, 2);
    struct ring_report report = give_order(RING_ADOPT, &(struct object_id){.len = 3});
    assert_int_equal(report.code, ERR_NOT_FOUND);
    assert_string_equal(report.key_id.text, "k8s.000000");
    const struct key_id wanted = {"k8s.0a"};
    keyring_set_wanted(rig.keyring, &wanted);
    report = give_order(RING_ADOPT, &key.id);
    assert_int_equal(report.code, ERR_NONE);
    assert_non_null(strstr(report.text, "does not seal yet: ring.active names KEK k8s.0a"));
}

static void a_maker_that_hangs_does_not_hold_up_the_end(void **state)
{
    (void)state;
    (void)add(7, KEY_ACTIVE, 1);
    start(HOUR_MS, HOUR_MS, 1000);
    fake_token_wait(&rig.token, KEY_PRE_ACTIVE, 1); /* teardown stops in the middle of the proof */
}

static void a_maker_that_nobody_waits_for_any_more_is_ended(void **state)
{
    (void)state;
    int ends[2];
    uint8_t packet[8];
    (void)add(7, KEY_ACTIVE, 1);
    rig.silent = true;
    start(HOUR_MS, HOUR_MS, 1000);
    pthread_mutex_lock(&rig.lock);
    while (rig.wanted == 0)
        pthread_cond_wait(&rig.changed, &rig.lock);
    pthread_mutex_unlock(&rig.lock);
    rotation_stop(rig.rotation);
    assert_int_equal(rig.ended, rig.wanted);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends), 0);
    rotation_offer(rig.rotation, rig.wanted, ends[1]); /* too late */
    assert_int_equal(recv(ends[0], packet, sizeof packet, MSG_DONTWAIT), 0);
    (void)close(ends[0]);
}

/* The keeper outlives it. */
static void a_stopped_rotation_takes_calls_and_refuses_orders(void **state)
{
    (void)state;
    struct rotation_status status;
    (void)add(7, KEY_ACTIVE, 1);
    start(NEVER, HOUR_MS, 1000);
    rotation_stop(rig.rotation);
    rotation_looked(rig.rotation);
    rotation_sealed(rig.rotation);
    rotation_status(rig.rotation, &status);
    struct ring_report report = give_order(RING_ROTATE, NULL);
    assert_int_equal(report.code, ERR_UNAVAILABLE);
    assert_non_null(strstr(report.text, "stops"));
}

#define ROTATION_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ROTATION_TEST(an_old_kek_is_followed_and_retired),
        ROTATION_TEST(a_new_kek_waits_and_is_told),
        ROTATION_TEST(never_means_never),
        ROTATION_TEST(enough_seals_bring_a_successor),
        ROTATION_TEST(a_lost_count_brings_a_successor),
        ROTATION_TEST(a_count_outlives_the_daemon),
        ROTATION_TEST(a_full_disk_brings_one_successor_and_no_more),
        ROTATION_TEST(the_end_does_not_take_a_count_away_that_the_keeper_has_begun),
        ROTATION_TEST(what_another_replica_has_made_is_not_made_again),
        ROTATION_TEST(what_only_a_new_agent_sees_is_seen_in_the_end),
        ROTATION_TEST(a_token_that_fails_is_not_asked_in_a_row),
        ROTATION_TEST(a_kek_with_odd_attributes_is_neither_used_nor_replaced),
        ROTATION_TEST(nothing_is_made_while_a_kek_is_missing),
        ROTATION_TEST(nothing_is_made_when_the_maker_itself_misses_a_kek),
        ROTATION_TEST(nothing_is_made_on_a_token_that_is_not_well),
        ROTATION_TEST(rotating_by_order_makes_one_and_no_second),
        ROTATION_TEST(activating_by_order_does_not_wait),
        ROTATION_TEST(the_active_kek_gets_a_successor_before_it_goes),
        ROTATION_TEST(a_compromised_active_kek_is_followed_by_the_one_that_waits),
        ROTATION_TEST(a_successor_that_cannot_be_made_keeps_the_active_kek),
        ROTATION_TEST(a_lost_active_kek_is_never_followed_by_an_older_one),
        ROTATION_TEST(giving_a_kek_up_makes_none_where_a_newer_one_is_active),
        ROTATION_TEST(one_of_two_lost_keks_given_up_is_not_enough),
        ROTATION_TEST(a_token_that_is_not_well_here_makes_no_kek_active_too_early),
        ROTATION_TEST(a_lost_active_kek_is_followed_by_the_one_that_waits),
        ROTATION_TEST(what_is_not_missing_cannot_be_given_up),
        ROTATION_TEST(an_empty_ring_is_not_begun),
        ROTATION_TEST(without_a_maker_the_order_says_why),
        ROTATION_TEST(external_keys_are_not_adopted_here),
        ROTATION_TEST(an_external_ring_is_never_changed),
        ROTATION_TEST(a_key_that_does_not_seal_once_adopted_is_told),
        ROTATION_TEST(a_maker_that_hangs_does_not_hold_up_the_end),
        ROTATION_TEST(a_maker_that_nobody_waits_for_any_more_is_ended),
        ROTATION_TEST(a_stopped_rotation_takes_calls_and_refuses_orders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
