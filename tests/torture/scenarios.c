/* SPDX-License-Identifier: Apache-2.0 */
#include "scenarios.h"

#include <signal.h>

enum { BEGUN_MS = 10000 };

static void act_start(struct scene *s, struct result *ret, struct verdict *v)
{
    (void)ret;
    (void)v;
    scene_start(s);
}

static void act_encrypt_v1(struct scene *s, struct result *ret, struct verdict *v)
{
    ret->code = scene_encrypt(s, KMS_API_V1BETA1, v, ret->text);
}

static void act_encrypt_v2(struct scene *s, struct result *ret, struct verdict *v)
{
    ret->code = scene_encrypt(s, KMS_API_V2, v, ret->text);
}

/* The first two that a scene keeps. */
static void act_decrypt_v1(struct scene *s, struct result *ret, struct verdict *v)
{
    ret->code = scene_decrypt(s, 0, v, ret->text, &ret->other);
}

static void act_decrypt_v2(struct scene *s, struct result *ret, struct verdict *v)
{
    ret->code = scene_decrypt(s, 1, v, ret->text, &ret->other);
}

/* --- what the daemon does by itself ------------------------------------------------------ */

static void reload(struct scene *s, const char *token, const char *ring)
{
    s->h->config.token = token;
    s->h->config.ring = ring;
    harness_write_config(s->h);
    assert_int_equal(kill(s->h->monitor, SIGHUP), 0);
}

static void calm(struct scene *s)
{
    reload(s, SCENARIO_TOKEN, SCENARIO_RING);
}

static bool has_begun(void *context)
{
    static struct calls calls;
    scene_calls(context, &calls);
    return calls.n > 0;
}

/* Has it done every second, waits for the first time, and lets there be no other. */
static void act_soon(struct scene *s, const char *token, const char *ring, struct verdict *v)
{
    reload(s, token, ring);
    if (!await(has_begun, s, BEGUN_MS, NULL))
        WRONG(v, "nothing happens by itself");
    calm(s);
}

static void act_probe(struct scene *s, struct result *ret, struct verdict *v)
{
    (void)ret;
    act_soon(s, "  sessions: 2\n  timeout: 500ms\n  probeEvery: 1s\n", SCENARIO_RING, v);
}

static void act_rescan(struct scene *s, struct result *ret, struct verdict *v)
{
    (void)ret;
    act_soon(s, SCENARIO_TOKEN, "  rescanEvery: 1s\n  rotateEvery: never\n  activationDelay: 0s\n",
             v);
}

const struct scenario scenarios[] = {
    {"start", true, false, act_start},
    {"Encrypt v1", false, true, act_encrypt_v1},
    {"Encrypt v2", false, true, act_encrypt_v2},
    {"Decrypt v1", false, false, act_decrypt_v1},
    {"Decrypt v2", false, false, act_decrypt_v2},
    {"probe", false, false, act_probe},
    {"rescan", false, false, act_rescan},
};

const size_t scenarios_n = sizeof scenarios / sizeof *scenarios;
