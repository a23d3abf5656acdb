/* SPDX-License-Identifier: Apache-2.0 */
#include "stopping.h"

#include "async.h"

#include <pthread.h>
#include <signal.h>

/* Longer than token.timeout. A login is waited for: whoever kills one burns a try of the PIN. */
#define HANG "hang 700ms"

enum { CALL_COMES_MS = 6000 };

struct stop {
    const struct harness *h;
    pthread_t thread;
    bool came;
};

static bool fault_came(void *context)
{
    return faults_count(context, "fault") > 0;
}

static void *stop_inside(void *context)
{
    struct stop *stop = context;
    stop->came = await(fault_came, (void *)(uintptr_t)stop->h, CALL_COMES_MS, NULL);
    if (stop->came)
        (void)kill(stop->h->monitor, SIGTERM);
    return NULL;
}

static void begin(struct stop *stop)
{
    assert_int_equal(pthread_create(&stop->thread, NULL, stop_inside, stop), 0);
}

/* The act of a start returns at once, and only then is there somebody to be stopped. */
static bool act_and_stop(struct scene *s, const struct scenario *scenario, struct result *ret,
                         struct verdict *v)
{
    struct stop stop = {.h = s->h};
    if (!scenario->starts)
        begin(&stop);
    scenario->act(s, ret, v);
    if (scenario->starts)
        begin(&stop);
    assert_int_equal(pthread_join(stop.thread, NULL), 0);
    return stop.came;
}

bool stopping_case(struct scene *s, const struct scenario *scenario, size_t number,
                   struct verdict *v)
{
    char line[64], text[256];
    struct result result = {.code = -1};
    if (scenario->starts)
        scene_stop(s, v);
    (void)snprintf(line, sizeof line, "on * call %zu %s\n", number, HANG);
    scene_arm(s, line);
    if (!act_and_stop(s, scenario, &result, v))
        return false;
    if (result.code > GRPC_STATUS_OK && result.code != GRPC_STATUS_UNAVAILABLE)
        WRONG(v, "the client got %s: %s", async_code_name((grpc_status_code)result.code),
              result.text);
    scene_stop(s, v);
    scene_expect_ended(s, v);
    scene_arm(s, "");
    int64_t began = now_ms();
    scene_start(s);
    scene_expect_well(s, began, v);
    for (size_t i = 0; i < 2 && !is_wrong(v); i++)
        if (scene_decrypt(s, i, v, text, NULL) != GRPC_STATUS_OK)
            WRONG(v, "what was sealed before does not open: %s", text);
    if (scenario->encrypt && result.code == GRPC_STATUS_OK && !is_wrong(v) &&
        scene_decrypt(s, s->n_kept - 1, v, text, NULL) != GRPC_STATUS_OK)
        WRONG(v, "what was sealed meanwhile does not open: %s", text);
    return true;
}
