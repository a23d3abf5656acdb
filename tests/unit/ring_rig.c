/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_rig.h"

#include "pool_jobs.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* On the pool's thread, which outlives the keeper. */
static void kick_keeper(struct ring_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    if (!rig->ending)
        keeper_kick(rig->keeper);
    pthread_mutex_unlock(&rig->lock);
}

static void on_pool_condemns(void *context, uint64_t generation, enum control_reason reason,
                             const char *why)
{
    (void)generation;
    (void)reason;
    (void)why;
    kick_keeper(context);
}

static void on_lanes_ended(void *context, uint64_t generation)
{
    (void)generation;
    kick_keeper(context);
}

static void on_condemn(void *context, uint64_t generation, enum control_reason reason,
                       const char *why)
{
    struct ring_rig *rig = context;
    (void)reason;
    pthread_mutex_lock(&rig->lock);
    rig->condemnations++;
    rig->condemned = generation;
    (void)snprintf(rig->why, sizeof rig->why, "%s", why);
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_heir(void *context, enum control_op op, uint64_t generation, const char *why)
{
    struct ring_rig *rig = context;
    (void)why;
    pthread_mutex_lock(&rig->lock);
    rig->heir[op == CONTROL_WANT_HEIR     ? RIG_WANTED
              : op == CONTROL_HEIR_SERVES ? RIG_SERVES
                                          : RIG_ENDED] = generation;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_health(void *context, const struct health *health)
{
    struct ring_rig *rig = context;
    pthread_mutex_lock(&rig->lock);
    rig->health = *health;
    if (rig->n_texts < RIG_TEXTS)
        memcpy(rig->texts[rig->n_texts++], health->text, sizeof health->text);
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_looked(void *context, uint64_t number)
{
    struct ring_rig *rig = context;
    bool serves = lane_pool_has_lanes(rig->pool);
    if (rig->looked)
        rig->looked(rig->context, number);
    pthread_mutex_lock(&rig->lock);
    rig->looks++;
    rig->served += serves;
    pthread_cond_broadcast(&rig->changed);
    pthread_mutex_unlock(&rig->lock);
}

static void on_warn(void *context, const char *message, const char *key_id)
{
    struct ring_rig *rig = context;
    (void)key_id;
    pthread_mutex_lock(&rig->lock);
    rig->warnings++;
    (void)snprintf(rig->warning, sizeof rig->warning, "%s", message);
    pthread_mutex_unlock(&rig->lock);
}

void rig_make(struct ring_rig *rig)
{
    memset(rig, 0, sizeof *rig);
    rig->fds_before = fd_count();
    pthread_mutex_init(&rig->lock, NULL);
    pthread_cond_init(&rig->changed, NULL);
    (void)snprintf(rig->dir, sizeof rig->dir, "/tmp/p11-kms-rig-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    assert_false(err_is(keyring_new("k8s", &rig->keyring)));
    const struct lane_pool_hooks hooks = {on_pool_condemns, on_lanes_ended, rig};
    assert_false(err_is(lane_pool_new(NEVER_MS, &hooks, &rig->pool)));
}

struct err rig_try_start(struct ring_rig *rig, int64_t timeout_ms, int64_t probe_every_ms,
                         int64_t rescan_every_ms)
{
    const struct keeper_options options = {
        .state_dir = rig->dir,
        .keyring = rig->keyring,
        .pool = rig->pool,
        .timeout_ms = timeout_ms,
        .probe_every_ms = probe_every_ms,
        .rescan_every_ms = rescan_every_ms,
        .hooks = {on_condemn, on_heir, on_health, on_looked, on_warn, rig}};
    lane_pool_set_timeout(rig->pool, timeout_ms);
    return keeper_new(&options, &rig->keeper);
}

void rig_start(struct ring_rig *rig, int64_t timeout_ms, int64_t probe_every_ms,
               int64_t rescan_every_ms)
{
    assert_false(err_is(rig_try_start(rig, timeout_ms, probe_every_ms, rescan_every_ms)));
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

void rig_end(struct ring_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    rig->ending = true;
    pthread_mutex_unlock(&rig->lock);
    keeper_free(rig->keeper);
    lane_pool_free(rig->pool);
    keyring_free(rig->keyring);
    fake_agent_free(rig->agent);
    for (size_t i = 0; i < rig->n_old; i++)
        fake_agent_free(rig->old[i]);
    pthread_cond_destroy(&rig->changed);
    pthread_mutex_destroy(&rig->lock);
    assert_int_equal(nftw(rig->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS), 0);
    if (rig->fds_before > 0)
        assert_int_equal(fd_count(), rig->fds_before);
}

struct fake_agent *rig_agent(struct ring_rig *rig, const struct listed_key *keys, size_t n)
{
    if (rig->agent)
        rig->old[rig->n_old++] = rig->agent;
    rig->agent = fake_agent_new(RIG_LANES, rig->fds);
    rig->generation++;
    fake_agent_keys(rig->agent, keys, n, LANE_LIST_PAGE);
    return rig->agent;
}

void rig_offer(struct ring_rig *rig)
{
    keeper_offer(rig->keeper, rig->generation, rig->fds, RIG_LANES);
}

struct fake_agent *rig_serve(struct ring_rig *rig, const struct listed_key *keys, size_t n)
{
    struct fake_agent *agent = rig_agent(rig, keys, n);
    rig_offer(rig);
    fake_agent_hello(agent);
    return agent;
}

struct fake_agent *rig_serve_well(struct ring_rig *rig, const struct listed_key *keys, size_t n)
{
    unsigned served = rig_served(rig);
    struct fake_agent *agent = rig_serve(rig, keys, n);
    rig_wait_served(rig, served + 1);
    (void)rig_wait_ok(rig);
    return agent;
}

void rig_kill(struct ring_rig *rig, const char *how)
{
    fake_agent_die(rig->agent);
    keeper_agent_gone(rig->keeper, rig->generation, how);
}

struct health rig_wait_text(struct ring_rig *rig, const char *word)
{
    pthread_mutex_lock(&rig->lock);
    while (!strstr(rig->health.text, word))
        pthread_cond_wait(&rig->changed, &rig->lock);
    struct health health = rig->health;
    pthread_mutex_unlock(&rig->lock);
    return health;
}

struct health rig_wait_ok(struct ring_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    while (!rig->health.ok)
        pthread_cond_wait(&rig->changed, &rig->lock);
    struct health health = rig->health;
    pthread_mutex_unlock(&rig->lock);
    assert_string_equal(health.text, "ok");
    return health;
}

static void wait_value(struct ring_rig *rig, const unsigned *value, unsigned least)
{
    pthread_mutex_lock(&rig->lock);
    while (*value < least)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
}

void rig_wait_looks(struct ring_rig *rig, unsigned least)
{
    wait_value(rig, &rig->looks, least);
}

void rig_wait_served(struct ring_rig *rig, unsigned least)
{
    wait_value(rig, &rig->served, least);
}

void rig_wait_condemned(struct ring_rig *rig, uint64_t generation)
{
    pthread_mutex_lock(&rig->lock);
    while (rig->condemned < generation)
        pthread_cond_wait(&rig->changed, &rig->lock);
    pthread_mutex_unlock(&rig->lock);
}

void rig_wait_heir(struct ring_rig *rig, enum rig_heir what, uint64_t generation)
{
    pthread_mutex_lock(&rig->lock);
    while (rig->heir[what] < generation)
        pthread_cond_wait(&rig->changed, &rig->lock);
    assert_int_equal(rig->heir[what], generation);
    pthread_mutex_unlock(&rig->lock);
}

uint64_t rig_heir(struct ring_rig *rig, enum rig_heir what)
{
    pthread_mutex_lock(&rig->lock);
    uint64_t generation = rig->heir[what];
    pthread_mutex_unlock(&rig->lock);
    return generation;
}

static unsigned value_of(struct ring_rig *rig, const unsigned *value)
{
    pthread_mutex_lock(&rig->lock);
    unsigned got = *value;
    pthread_mutex_unlock(&rig->lock);
    return got;
}

unsigned rig_looks(struct ring_rig *rig)
{
    return value_of(rig, &rig->looks);
}

unsigned rig_served(struct ring_rig *rig)
{
    return value_of(rig, &rig->served);
}

unsigned rig_condemnations(struct ring_rig *rig)
{
    return value_of(rig, &rig->condemnations);
}

unsigned rig_warnings(struct ring_rig *rig)
{
    return value_of(rig, &rig->warnings);
}

size_t rig_texts(struct ring_rig *rig)
{
    pthread_mutex_lock(&rig->lock);
    size_t n = rig->n_texts;
    pthread_mutex_unlock(&rig->lock);
    return n;
}

bool rig_ever_said(struct ring_rig *rig, const char *word)
{
    bool said = false;
    pthread_mutex_lock(&rig->lock);
    for (size_t i = 0; i < rig->n_texts; i++)
        said = said || strstr(rig->texts[i], word);
    pthread_mutex_unlock(&rig->lock);
    return said;
}

void rig_canary_path(const struct ring_rig *rig, uint16_t tail, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s/canaries/%s", rig->dir, fake_key_id(tail).text);
}
