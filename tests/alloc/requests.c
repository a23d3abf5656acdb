/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation between a request and its lane fails in turn: the keeper that looks at the ring,
 * the service that answers, what they are made of, and what is read from the disk. */
#include "alloc_fail.h"

#include "config.h"
#include "key_cache.h"
#include "kms_calls.h"
#include "known_keks.h"
#include "pool_jobs.h"
#include "ring_adopted.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { KEYS = 3, AGENTS_MAX = 6, WAIT_S = 20, ATTEND_NS = 2000000 };

static struct kms_rig rig;
static bool may_fail;
static unsigned fds_before;

/* --- what is made ------------------------------------------------------------------------ */

static void condemned(void *context, uint64_t generation, enum control_reason reason,
                      const char *why)
{
    (void)context;
    (void)generation;
    (void)reason;
    (void)why;
}

static void lanes_ended(void *context, uint64_t generation)
{
    (void)context;
    (void)generation;
}

static void run_objects(void)
{
    struct keyring *keyring = NULL;
    struct lane_pool *pool = NULL;
    struct kms_service *service = NULL;
    struct key_cache *cache = NULL;
    struct key_set found;
    const struct object_id id = {.len = 1, .data = {7}};
    const struct lane_pool_hooks hooks = {condemned, lanes_ended, NULL};
    AUTO_SECRET struct secret *secret = NULL;
    alloc_begin();
    MAKE(keyring_new("k8s", &keyring));
    MAKE(lane_pool_new(NEVER_MS, &hooks, &pool));
    MAKE(kms_service_new(keyring, pool, &service));
    MAKE(secret_new(64, &secret));
    MAKE(key_cache_new(&cache));
    const struct key_set keys = {
        .scheme = SCHEME_RSA_OAEP_SIGN, .handles = {5}, .ids = {id}, .publics = {{1, {9}}}};
    key_cache_add(cache, key_cache_epoch(cache), &keys);
    bool cached = key_cache_find(cache, &id, &found);
    alloc_end();
    if (!cached) { /* looked up again at the next use */
        assert_true(alloc_failed());
        key_cache_add(cache, key_cache_epoch(cache), &keys);
        assert_true(key_cache_find(cache, &id, &found));
    }
    assert_int_equal(found.handles[0], 5);
    key_cache_free(cache);
    kms_service_free(service);
    lane_pool_free(pool);
    keyring_free(keyring);
}

static void objects(void **state)
{
    (void)state;
    fds_before = fd_count();
    alloc_sweep("objects", run_objects);
    assert_int_equal(fd_count(), fds_before);
}

/* --- what is read ------------------------------------------------------------------------ */

static const char yaml[] = "apiVersion: p11-kms/v1\n"
                           "allowUids: [0, 1000]\n"
                           "token:\n"
                           "  module: /usr/lib/softhsm/libsofthsm2.so\n"
                           "  uri: \"pkcs11:token=test\"\n"
                           "  pinSource: file:/nonexistent\n"
                           "ring: {name: k8s}\n";

static char config_path[64];

static void run_config(void)
{
    struct config config;
    struct config_error error;
    alloc_begin();
    struct err e = config_load_file(config_path, &config, &error);
    alloc_end();
    if (err_is(e)) {
        assert_int_equal(e.code, ERR_CONFIG); /* as every error of it; the text tells them apart */
        assert_string_equal(error.message, "out of memory");
        assert_false(err_is(config_load_file(config_path, &config, &error)));
    }
    assert_string_equal(config.ring.name, "k8s");
}

static void configuration(void **state)
{
    (void)state;
    (void)snprintf(config_path, sizeof config_path, "/tmp/p11-kms-alloc-XXXXXX");
    int fd = mkstemp(config_path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, sizeof yaml - 1), sizeof yaml - 1);
    (void)close(fd);
    alloc_sweep("configuration", run_config);
    assert_int_equal(unlink(config_path), 0);
}

static void run_adopted(void)
{
    CLEANUP(ring_adopted_clear) struct ring_adopted adopted = {.n = 0}, again = {.n = 0};
    char path[96], dir[] = "/tmp/p11-kms-alloc-XXXXXX";
    const struct key_id two[] = {{"k8s.01"}, {"k8s.02"}};
    assert_non_null(mkdtemp(dir));
    alloc_begin();
    MAKE(ring_adopted_load(dir, "k8s", &adopted));
    MAKE(ring_adopted_append(dir, "k8s", &adopted, two, 2));
    MAKE(ring_adopted_load(dir, "k8s", &again));
    alloc_end();
    assert_int_equal(adopted.n, 2);
    assert_int_equal(again.n, 2);
    (void)snprintf(path, sizeof path, "%s/ring-k8s.adopted", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void adopted_keys(void **state)
{
    (void)state;
    alloc_sweep("adopted keys", run_adopted);
}

static void run_known(void)
{
    struct known_keks known = {.n = 0};
    alloc_begin();
    for (uint16_t i = 1; i <= 40; i++) {
        const struct key_id id = fake_key_id(i);
        MAKE(known_keks_add(&known, &id));
    }
    alloc_end();
    for (uint16_t i = 1; i <= 40; i++) {
        const struct key_id id = fake_key_id(i);
        assert_true(known_keks_has(&known, &id));
    }
    assert_int_equal(known.n, 40);
    known_keks_clear(&known);
}

static void known_keks(void **state)
{
    (void)state;
    alloc_sweep("known KEKs", run_known);
}

/* --- the keeper -------------------------------------------------------------------------- */

/* The test in the monitor's place: a new agent whenever one was condemned, until all is well. */
static void serve_until_well(struct ring_rig *r)
{
    struct listed_key keys[KEYS];
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_sec += WAIT_S;
    for (uint16_t i = 0; i < KEYS; i++)
        keys[i] = fake_key(1U + i, i == 1 ? KEY_ACTIVE : KEY_DEACTIVATED, (uint16_t)(i + 1));
    for (int i = 0; i < AGENTS_MAX; i++) {
        unsigned looks = rig_looks(r);
        alloc_exempt(true);
        rig.agent = rig_serve(r, keys, KEYS);
        alloc_exempt(false);
        pthread_mutex_lock(&r->lock);
        int timed_out = 0;
        while ((!r->health.ok || r->looks == looks) && r->condemned < r->generation &&
               timed_out == 0)
            timed_out = pthread_cond_timedwait(&r->changed, &r->lock, &end);
        bool well = r->health.ok && r->condemned < r->generation;
        pthread_mutex_unlock(&r->lock);
        assert_int_equal(timed_out, 0);
        if (well)
            return;
        keeper_agent_gone(r->keeper, r->generation, "condemned");
    }
    fail_msg("not well after %d agents: %s", AGENTS_MAX, r->health.text);
}

static bool is_well(struct ring_rig *r)
{
    pthread_mutex_lock(&r->lock);
    bool well = r->health.ok && r->condemned < r->generation;
    pthread_mutex_unlock(&r->lock);
    return well;
}

/* The monitor's turn, while the test waits for something else. */
static void attend(struct ring_rig *r)
{
    struct timespec end;
    (void)clock_gettime(CLOCK_REALTIME, &end);
    end.tv_nsec += ATTEND_NS;
    end.tv_sec += end.tv_nsec / 1000000000;
    end.tv_nsec %= 1000000000;
    pthread_mutex_lock(&r->lock);
    if (r->condemned < r->generation)
        (void)pthread_cond_timedwait(&r->changed, &r->lock, &end);
    bool condemned = r->condemned >= r->generation;
    pthread_mutex_unlock(&r->lock);
    if (!condemned)
        return;
    keeper_agent_gone(r->keeper, r->generation, "condemned");
    serve_until_well(r);
}

/* What has failed has had its consequences: an agent without fault is looked at from end to end. */
static void settle(struct ring_rig *r)
{
    unsigned looks;
    do {
        looks = rig_looks(r);
        keeper_rescan(r->keeper);
        while (rig_looks(r) == looks)
            attend(r);
    } while (!is_well(r) || !lane_pool_has_lanes(r->pool));
}

static void assert_sees_ring(const struct ring_rig *r)
{
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(r->keyring);
    const struct kek *active = ring_view_active(view);
    assert_non_null(active);
    assert_string_equal(active->key_id.text, fake_key_id(2).text);
    for (uint16_t i = 0; i < KEYS; i++) {
        struct listed_key key = fake_key(1, KEY_ACTIVE, (uint16_t)(i + 1));
        assert_non_null(ring_view_find(view, &key.id));
    }
}

static void run_keeper(void)
{
    struct ring_rig *r = &rig.ring;
    rig_make(r);
    alloc_begin();
    MAKE(rig_try_start(r, 60000, NEVER_MS, NEVER_MS));
    serve_until_well(r);
    unsigned looks = rig_looks(r);
    keeper_rescan(r->keeper);
    rig_wait_looks(r, looks + 1);
    if (!is_well(r))
        serve_until_well(r);
    alloc_end();
    assert_sees_ring(r);
    rig_end(r);
}

static void keeper_start_and_rescan(void **state)
{
    (void)state;
    alloc_sweep("keeper", run_keeper);
}

/* --- requests ---------------------------------------------------------------------------- */

static bool is_outage(enum err_code code)
{
    return code == ERR_EXHAUSTED || code == ERR_UNAVAILABLE;
}

/* Answered right, or said to be without memory or without a token; never that it waited too long
 * for a lane. */
static void expect_answer(struct call *call, const char *text)
{
    while (!call_ended(call))
        attend(&rig.ring);
    call_wait(call);
    if (call->code == ERR_NONE && text)
        call_expect_text(call, text);
    else if (call->code != ERR_NONE && !(may_fail && alloc_failed() && is_outage(call->code)))
        fail_msg("%s: %s", err_name(call->code), call->message);
}

/* Two that ask the same while the first is under way. */
static void equal_decrypts(void)
{
    struct call first, second;
    struct fake_agent *agent = rig.agent;
    unsigned seen = fake_agent_seen(agent, LANE_OPEN);
    fake_agent_rule(agent, LANE_OPEN, FAKE_HOLD);
    call_decrypt(&rig, &first, 2, "same");
    call_decrypt(&rig, &second, 2, "same");
    while (rig.agent == agent && fake_agent_seen(agent, LANE_OPEN) == seen &&
           !(call_ended(&first) && call_ended(&second)))
        attend(&rig.ring);
    fake_agent_rule(agent, LANE_OPEN, FAKE_ANSWER);
    alloc_exempt(true); /* it sends what it holds */
    fake_agent_release(agent);
    alloc_exempt(false);
    expect_answer(&first, "same");
    expect_answer(&second, "same");
}

static void unknown_kek(void)
{
    struct call call;
    unsigned looks = rig_looks(&rig.ring);
    call_decrypt(&rig, &call, 9, "dek");
    call_wait(&call);
    assert_true(call.code == ERR_NOT_FOUND ||
                (alloc_failed() && (call.code == ERR_EXHAUSTED || call.code == ERR_UNAVAILABLE)));
    /* One look for the request, and one to publish that the KEK is missing. */
    while (call.code == ERR_NOT_FOUND && rig_looks(&rig.ring) < looks + 2 && !alloc_failed())
        (void)sched_yield();
}

static void requests_once(void)
{
    struct call call;
    struct kms_status status;
    for (int family = FAMILY_V1; family <= FAMILY_V2; family++) {
        call_encrypt(&rig, &call, (enum family)family, bytes_of_string("dek"));
        expect_answer(&call, NULL);
        if (call.code == ERR_NONE)
            assert_string_equal(call.key_id, fake_key_id(2).text);
    }
    call_decrypt(&rig, &call, 2, "dek");
    expect_answer(&call, "dek");
    equal_decrypts();
    kms_status(rig.service, &status);
}

static void all_is_as_before(void)
{
    settle(&rig.ring);
    may_fail = false;
    requests_once();
    assert_sees_ring(&rig.ring);
}

static void run_requests(void)
{
    kms_rig_make(&rig);
    serve_until_well(&rig.ring);
    may_fail = true;
    alloc_begin();
    requests_once();
    unknown_kek();
    alloc_end();
    all_is_as_before();
    kms_rig_end(&rig);
}

static void requests(void **state)
{
    (void)state;
    alloc_sweep("requests", run_requests);
}

/* --- lanes that fail --------------------------------------------------------------------- */

/* The keeper's and the pool's ends of the lanes, and the files of stateDir. */
static void run_lanes(void)
{
    kms_rig_make(&rig);
    may_fail = true;
    alloc_begin();
    serve_until_well(&rig.ring);
    requests_once();
    alloc_end();
    all_is_as_before();
    kms_rig_end(&rig);
}

static void lanes(void **state)
{
    (void)state;
    io_sweep("lanes", run_lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects),
        cmocka_unit_test(configuration),
        cmocka_unit_test(adopted_keys),
        cmocka_unit_test(known_keks),
        cmocka_unit_test(keeper_start_and_rescan),
        cmocka_unit_test(requests),
        cmocka_unit_test(lanes),
    };
    fake_agent_aside = alloc_exempt;
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
