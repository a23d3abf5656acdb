/* SPDX-License-Identifier: Apache-2.0 */
#include "scenarios.h"

#include <signal.h>

enum { BEGUN_MS = 10000 };

void scenario_start(struct scene *s, struct result *ret, struct verdict *v)
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

static bool has_begun(void *context)
{
    static struct calls calls;
    scene_calls(context, &calls);
    return calls.n > 0;
}

static void await_begun(struct scene *s, struct verdict *v)
{
    if (!await(has_begun, s, BEGUN_MS, NULL))
        WRONG(v, "nothing happens by itself");
}

static void reload(struct scene *s)
{
    assert_int_equal(kill(s->h->monitor, SIGHUP), 0);
}

/* A new configuration has the ring looked at anew. */
static void act_rescan(struct scene *s, struct result *ret, struct verdict *v)
{
    (void)ret;
    reload(s);
    await_begun(s, v);
}

void scenario_set_probes(struct scene *s, const char *token)
{
    s->h->config.token = token;
    harness_write_config(s->h);
    reload(s);
}

static void begin_probes(struct scene *s)
{
    scenario_set_probes(s, SCENARIO_PROBES);
}

static void end_probes(struct scene *s)
{
    scenario_set_probes(s, SCENARIO_TOKEN);
}

/* Just after one, so that nothing is under way. */
static void prepare_probe(struct scene *s)
{
    struct verdict unused = {.text = ""};
    struct calls calls;
    scene_arm(s, "");
    await_begun(s, &unused);
    scene_calls_settled(s, &calls);
}

static void act_probe(struct scene *s, struct result *ret, struct verdict *v)
{
    (void)ret;
    await_begun(s, v);
}

const struct scenario scenarios[] = {
    {.name = "start", .starts = true, .ckr_at = "C_Login", .act = scenario_start},
    {.name = "Encrypt v1", .encrypt = true, .act = act_encrypt_v1},
    {.name = "Encrypt v2", .encrypt = true, .ckr_at = "C_EncryptInit", .act = act_encrypt_v2},
    {.name = "Decrypt v1", .act = act_decrypt_v1},
    {.name = "Decrypt v2", .ckr_at = "C_DecryptInit", .act = act_decrypt_v2},
    {.name = "rescan", .act = act_rescan},
    {.name = "probe",
     .begin = begin_probes,
     .prepare = prepare_probe,
     .act = act_probe,
     .end = end_probes},
};

const size_t scenarios_n = sizeof scenarios / sizeof *scenarios;
