/* SPDX-License-Identifier: Apache-2.0 */
#include "cases.h"

#include "async.h"
#include "lateness.h"

#include <string.h>

enum { CALL_COMES_MS = 6000, RULE_SIZE = 128 };

/* --- one case ---------------------------------------------------------------------------- */

static bool fault_came(void *context)
{
    return faults_count((const struct harness *)context, "fault") > 0;
}

static bool same_until(const struct calls *a, const struct calls *b, size_t n)
{
    if (a->n < n || b->n < n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(a->names[i], b->names[i]) != 0)
            return false;
    return true;
}

/* What has that call break: counted among all, or, of a kind of one function alone, among its. */
static void write_rule(const struct sweep *w, size_t number, const struct kind *kind,
                       char ret[static RULE_SIZE])
{
    const char *action = w->scenario->starts && kind->at_start ? kind->at_start : kind->action;
    size_t count = number;
    for (size_t i = 0; kind->only && i < number; i++)
        count -= strcmp(w->calls.names[i], kind->only) != 0;
    (void)snprintf(ret, RULE_SIZE, "on %s call %zu %s\n", kind->only ? kind->only : "*", count,
                   action);
}

/* Acts with that call broken. False: something else called meanwhile, and the case says nothing. */
static bool act_broken(struct sweep *w, size_t number, const struct kind *kind, struct result *ret,
                       struct verdict *v)
{
    struct calls calls;
    char rule[RULE_SIZE];
    struct scene *s = &w->scene;
    if (w->scenario->starts)
        scene_stop(s, v);
    if (w->scenario->prepare)
        w->scenario->prepare(s);
    write_rule(w, number, kind, rule);
    scene_arm(s, rule);
    *ret = (struct result){.code = -1};
    w->scenario->act(s, ret, v);
    if (!await(fault_came, s->h, CALL_COMES_MS, NULL))
        return false;
    scene_calls(s, &calls);
    return same_until(&calls, &w->calls, number);
}

/* The case itself. */
static void judge_code(const struct sweep *w, const struct kind *kind, const struct result *result,
                       struct verdict *v)
{
    bool encrypt = w->scenario->encrypt;
    if (result->other)
        WRONG(v, "another plaintext was answered");
    if (result->code >= 0 && !kind_allows(kind, encrypt, result->code))
        WRONG(v, "the client got %s: %s", async_code_name((grpc_status_code)result->code),
              result->text);
}

/* A try is burnt: nobody tries again before a person has looked. */
static void look_after_pin(struct sweep *w, struct verdict *v)
{
    struct scene *s = &w->scene;
    if (!scene_await_status(s, "PIN", SCENE_TOLD_MS, v))
        WRONG(v, "Status does not tell of the PIN");
    if (faults_count(s->h, "C_Login") != 1)
        WRONG(v, "it was tried %u times", faults_count(s->h, "C_Login"));
    scene_mend_pin(s);
}

void case_break(struct sweep *w, const struct place *at, struct verdict *v)
{
    struct scene *s = &w->scene;
    const struct kind *kind = at->kind;
    struct result result = {.code = -1};
    char text[256];
    int tries = 1;
    while (!act_broken(w, at->number, kind, &result, v) && !is_wrong(v)) {
        if (tries++ == CASE_TRIES) {
            WRONG(v, "the call is never made, or those before it are not those of the recording");
            return;
        }
        scene_arm(s, ""); /* it may still come */
        scene_expect_well(s, now_ms(), v);
        (void)scene_settle(s, v);
    }
    judge_code(w, kind, &result, v);
    if ((kind->flags & KIND_ENDS) && !(w->scenario->starts && kind->at_start))
        scene_expect_ended(s, v);
    if ((kind->flags & KIND_BURNS_PIN) && strcmp(at->function, "C_Login") == 0)
        look_after_pin(w, v);
    scene_expect_well(s, now_ms(), v);
    scene_expect_unchanged(s, v);
    scene_expect_logins(s, v);
    for (size_t i = 0; i < 2 && !is_wrong(v); i++)
        if (scene_decrypt(s, i, v, text, NULL) != GRPC_STATUS_OK)
            WRONG(v, "what was sealed before does not open: %s", text);
    if (w->scenario->encrypt && result.code == GRPC_STATUS_OK && !is_wrong(v) &&
        scene_decrypt(s, s->n_kept - 1, v, text, NULL) != GRPC_STATUS_OK)
        WRONG(v, "what was sealed meanwhile does not open: %s", text);
}

/* On a busy machine token.timeout may have been over by itself: the case says nothing, and is run
 * once more. */
void case_run(struct sweep *w, case_function *run, const struct place *at, const char *what,
              struct verdict *v)
{
    struct lateness lateness;
    w->scene.kek_in_doubt = at->kind && (at->kind->flags & KIND_HIDES) != 0;
    lateness_start(&lateness);
    run(w, at, v);
    lateness_stop(&lateness);
    if (is_wrong(v) && lateness.busy) {
        printf("  AGAIN, AS THE MACHINE IS BUSY (late by %.0f ms): %s: %s\n", lateness.worst_ms,
               what, v->text);
        scene_restart(&w->scene);
        v->text[0] = '\0';
        run(w, at, v);
    }
    w->scene.kek_in_doubt = false;
}

/* --- the recording ----------------------------------------------------------------------- */

/* One run without a fault. */
static void record_once(struct sweep *w, struct calls *ret)
{
    struct verdict v = {.text = ""};
    struct result result = {.code = -1};
    struct scene *s = &w->scene;
    if (!scene_settle(s, &v))
        fail_msg("%s: not well before it", w->scenario->name);
    if (w->scenario->starts)
        scene_stop(s, &v);
    if (w->scenario->prepare)
        w->scenario->prepare(s);
    scene_arm(s, "");
    w->scenario->act(s, &result, &v);
    if (!scene_settle(s, &v))
        fail_msg("%s: not well without any fault", w->scenario->name);
    scene_calls_settled(s, ret);
    if (is_wrong(&v))
        fail_msg("%s, without any fault: %s", w->scenario->name, v.text);
}

/* Two runs in a row have to make the same calls. */
void case_record(struct sweep *w)
{
    static struct calls before;
    record_once(w, &w->calls);
    for (int i = 1; i < CASE_RECORDINGS; i++) {
        before = w->calls;
        record_once(w, &w->calls);
        if (w->calls.n > 0 && w->calls.n == before.n && same_until(&w->calls, &before, before.n))
            return;
    }
    fail_msg("%s: %zu calls were recorded, and another time %zu or others", w->scenario->name,
             before.n, w->calls.n);
}
