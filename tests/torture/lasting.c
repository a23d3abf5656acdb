/* SPDX-License-Identifier: Apache-2.0 */
#include "lasting.h"

#include "async.h"

#include <signal.h>
#include <string.h>

enum {
    WATCH_MS = 8000,
    EVERY_MS = 50,
    ENOUGH = 8 /* looks in a row that find the same */
};

/* What the looks have found so far. */
struct watch {
    unsigned told, works; /* in a row */
    int64_t hidden_since; /* when calls began to fail while Status said ok; 0: they do not */
};

static bool is_outage(int code)
{
    return code == GRPC_STATUS_UNAVAILABLE || code == GRPC_STATUS_FAILED_PRECONDITION;
}

static void judge(const struct kind *kind, bool encrypt, int code, const char *text,
                  struct verdict *v)
{
    if (!is_outage(code) && !kind_allows(kind, encrypt, code))
        WRONG(v, "the client got %s: %s", async_code_name((grpc_status_code)code), text);
}

/* Calls, then Status: one look. Both calls are of before, so that Status cannot know less. */
static void look(struct scene *s, const struct kind *kind, struct watch *w, struct verdict *v)
{
    char text[256], status[256];
    bool other = false;
    int sealed = scene_encrypt(s, KMS_API_V2, v, text);
    judge(kind, true, sealed, text, v);
    if (sealed == GRPC_STATUS_OK)
        scene_forget_last(s);
    int opened = scene_decrypt(s, 1, v, text, &other);
    judge(kind, false, opened, text, v);
    if (other)
        WRONG(v, "another plaintext was answered");
    bool ok = scene_status(s, v, status) && strcmp(status, "ok") == 0;
    bool works = sealed == GRPC_STATUS_OK && opened == GRPC_STATUS_OK && !other;
    w->told = ok ? 0 : w->told + 1;
    w->works = ok && works ? w->works + 1 : 0;
    if (!ok || works)
        w->hidden_since = 0;
    else if (w->hidden_since == 0)
        w->hidden_since = now_ms();
    else if (now_ms() - w->hidden_since > patience(SCENE_TOLD_MS))
        WRONG(v, "calls have failed for %d ms (%s), and Status says ok", patience(SCENE_TOLD_MS),
              text);
}

static void watch(struct scene *s, const struct kind *kind, struct verdict *v)
{
    struct watch w = {.told = 0};
    int64_t began = now_ms();
    while (w.told < ENOUGH && w.works < ENOUGH && !is_wrong(v)) {
        look(s, kind, &w, v);
        pass_time(EVERY_MS);
        if (now_ms() - began > patience(WATCH_MS))
            WRONG(v, "neither does Status tell of it for long, nor do calls succeed");
    }
}

void lasting_case(struct scene *s, const char *function, const struct kind *kind, struct verdict *v)
{
    char line[128], text[256];
    bool blocks = (kind->flags & KIND_BURNS_PIN) && strcmp(function, "C_Login") == 0;
    (void)snprintf(line, sizeof line, "on %s every %s\n", function, kind->action);
    pid_t agent =
        harness_agent(s->h); /* no later one: that may log in, and would have burnt a try */
    s->kek_in_doubt = (kind->flags & KIND_HIDES) != 0;
    scene_arm(s, line);
    (void)kill(agent, SIGKILL);
    watch(s, kind, v);
    if (blocks && faults_count(s->h, "C_Login") != 1)
        WRONG(v, "a PIN that counts as refused was tried %u times", faults_count(s->h, "C_Login"));
    if (faults_count(s->h, "fault") == 0)
        WRONG(v, "the function was never called");
    scene_arm(s, "");
    int64_t gone = now_ms();
    if (blocks)
        scene_mend_pin(s);
    scene_expect_well(s, gone, v);
    scene_expect_unchanged(s, v);
    for (size_t i = 0; i < 2 && !is_wrong(v); i++)
        if (scene_decrypt(s, i, v, text, NULL) != GRPC_STATUS_OK)
            WRONG(v, "what was sealed before does not open: %s", text);
    s->kek_in_doubt = false;
}

void lasting_functions(const struct calls *calls, struct calls *ret)
{
    ret->n = 0;
    for (size_t i = 0; i < calls->n; i++) {
        bool known = false;
        for (size_t k = 0; k < ret->n; k++)
            known = known || strcmp(ret->names[k], calls->names[i]) == 0;
        if (!known)
            memcpy(ret->names[ret->n++], calls->names[i], SCENE_NAME_MAX);
    }
}
