/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "rotation_rig.h"

#include "ring_state.h"

#include "ring_external.h"
#include "ring_look.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_MS = 60000 }; /* no test of these is about an answer that comes late */

struct rotation_rig rig;

/* --- the rotation's surroundings ----------------------------------------------------------- */

void (*rig_aside)(bool begins);

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
    assert_false(
        err_is(ring_look_take(lane, ANSWER_MS, NULL, keyring_rules(rig.keyring), &look, &status)));
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

static void rig_publish(void)
{
    if (rig_aside)
        rig_aside(true);
    publish();
    if (rig_aside)
        rig_aside(false);
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
    pthread_cond_broadcast(&rig.changed);
    bool stale = rig.stale;
    pthread_mutex_unlock(&rig.lock);
    if (!stale)
        rig_publish();
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

static int published_state(const struct key_id *key_id)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(rig.keyring);
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    if (err_is(key_id_parse(bytes_of_string(key_id->text), ring, &id)))
        return -1;
    const struct kek *kek = ring_view_find(view, &id);
    return kek ? (int)kek->label.state : -1;
}

static void on_report(void *context, const struct ring_report *report)
{
    (void)context;
    int published = published_state(&report->key_id);
    pthread_mutex_lock(&rig.lock);
    rig.report = *report;
    rig.published = published;
    rig.n_reports++;
    pthread_cond_broadcast(&rig.changed);
    pthread_mutex_unlock(&rig.lock);
}

struct ring_report rig_order(enum ring_command command, const struct object_id *id)
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

void rig_refused(enum ring_command command, const struct object_id *id, const char *word)
{
    struct ring_report report = rig_order(command, id);
    assert_int_equal(report.code, ERR_REFUSED);
    if (!strstr(report.text, word))
        fail_msg("\"%s\" does not say \"%s\"", report.text, word);
}

int rig_setup(void **state)
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

int rig_teardown(void **state)
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

void rig_start(int64_t rotate_every_ms, int64_t activation_delay_ms, uint64_t max_seals)
{
    const struct rotation_options options = {
        .state_dir = rig.dir,
        .keyring = rig.keyring,
        .generate_timeout_ms = ANSWER_MS,
        .attended = rig.attended,
        .scheme = rig.scheme,
        .tuning = {rotate_every_ms, activation_delay_ms, max_seals},
        .hooks = {on_want, on_end, on_changed, on_forget, on_note, NULL}};
    rig_publish();
    pthread_mutex_lock(&rig.lock); /* its hooks wait until the rig knows it */
    struct err e = rotation_new(&options, &rig.rotation);
    pthread_mutex_unlock(&rig.lock);
    assert_false(err_is(e));
}

struct listed_key rig_add(uint32_t generation, enum key_state state, uint16_t tail)
{
    struct listed_key key = fake_key(generation, state, tail);
    fake_token_add(&rig.token, &key);
    return key;
}

void rig_expect_key(size_t i, uint32_t generation, enum key_state state)
{
    struct listed_key keys[TOKEN_KEYS_MAX];
    struct key_label label;
    assert_true(i < fake_token_list(&rig.token, keys));
    assert_false(err_is(key_label_parse(bytes_of_string(keys[i].label), &label)));
    assert_int_equal(label.generation, generation);
    assert_int_equal(label.state, state);
}

void rig_expect_scheme(size_t i, enum scheme scheme)
{
    struct listed_key keys[TOKEN_KEYS_MAX];
    struct key_label label;
    assert_true(i < fake_token_list(&rig.token, keys));
    assert_false(err_is(key_label_parse(bytes_of_string(keys[i].label), &label)));
    assert_int_equal(label.scheme, scheme);
}

size_t rig_keys(void)
{
    struct listed_key keys[TOKEN_KEYS_MAX];
    return fake_token_list(&rig.token, keys);
}

struct rotation_status rig_settle(void)
{
    struct rotation_status status;
    const struct object_id nobody = {.len = 16};
    rotation_looked(rig.rotation);
    (void)rig_order(RING_ACTIVATE, &nobody);
    (void)rig_order(RING_ACTIVATE, &nobody);
    rotation_status(rig.rotation, &status);
    return status;
}

void rig_add_canary(uint16_t tail)
{
    const struct key_id key_id = fake_key_id(tail);
    assert_false(err_is(ring_state_set_canary(rig.dir, &key_id, bytes_of("x", 1))));
}
