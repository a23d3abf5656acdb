/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a scheme is on this token, with keys of the self-test's label alone: no KEK is touched,
 * and nothing that is sealed or opened here leaves the agent. */
#include "ops.h"
#include "p11_pair.h"
#include "scheme.h"

#include <stdio.h>
#include <string.h>

enum {
    DEK_SIZE = 32,      /* what kube-apiserver seals */
    GENERATIONS_MAX = 8 /* keys are written to flash, which wears out */
};

struct trial {
    struct lane *lane;
    const struct scheme_ops *scheme;
    struct key_set keys;
    char labels[KEY_ROLES_MAX][KEY_LABEL_MAX + 1];
    struct key_id key_id;
    struct bytes sealed; /* inside lane->room->work */
    uint64_t generated_ns;
};

/* One operation that is counted. */
typedef struct err trial_task(struct trial *t);

static struct err seal(struct trial *t)
{
    static const uint8_t dek[DEK_SIZE] = "no secret";
    struct writer w = writer_over(t->lane->room->work, sizeof t->lane->room->work);
    envelope_put_header(&w, t->scheme->scheme, FAMILY_CANARY, &t->key_id);
    TRY(scheme_seal(t->scheme, &t->lane->session, &t->keys, writer_bytes(&w),
                    bytes_of(dek, sizeof dek), &w));
    t->sealed = writer_bytes(&w);
    return ERR_OK;
}

static struct err open_sealed(struct trial *t)
{
    struct envelope envelope;
    size_t len;
    TRY(envelope_parse(t->sealed, &envelope));
    TRY(scheme_open(t->scheme, &t->lane->session, &t->keys, &envelope, t->lane->room->check, &len));
    return len == DEK_SIZE ? ERR_OK : err_make(ERR_INTERNAL, "trial");
}

static struct err generate(struct trial *t)
{
    int64_t began = clock_monotonic_ns();
    TRY(key_set_generate(&t->lane->session, &t->keys, t->labels));
    t->generated_ns += (uint64_t)(clock_monotonic_ns() - began);
    return key_set_destroy(&t->lane->session, &t->keys);
}

/* For so long and so often, but once at least. */
static struct err repeat(struct trial *t, trial_task *task, uint32_t ms, uint32_t most,
                         struct lane_reply *ret)
{
    int64_t began = clock_monotonic_ns(), now;
    do {
        TRY(task(t));
        ret->u.trial.count++;
        now = clock_monotonic_ns();
    } while (now - began < (int64_t)ms * 1000000 && ret->u.trial.count < most);
    ret->u.trial.ns = (uint64_t)(now - began);
    return ERR_OK;
}

/* Whoever asks, no KEK is ever found here. */
static struct err find_role(struct trial *t, size_t role)
{
    const struct p11_session *session = &t->lane->session;
    enum key_class of = key_role_class(t->keys.scheme, role);
    struct p11_key key;
    TRY(object_id_of_role(&t->keys.ids[0], t->keys.scheme, role, &t->keys.ids[role]));
    TRY(p11_key_find(session, of, &t->keys.ids[role], &t->keys.handles[role]));
    TRY(p11_key_read(session, of, t->keys.handles[role], &key));
    t->keys.types[role] = key.attributes.type;
    return strcmp(key.label, t->labels[role]) == 0 ? ERR_OK : err_make(ERR_REFUSED, "trial");
}

static struct err find(struct trial *t)
{
    for (size_t i = 0; i < scheme_roles(t->keys.scheme); i++)
        TRY(find_role(t, i));
    return scheme_prepare(t->scheme, &t->lane->session, &t->keys);
}

static struct err make(struct trial *t, struct lane_reply *ret)
{
    int64_t began = clock_monotonic_ns();
    TRY(key_set_generate(&t->lane->session, &t->keys, t->labels));
    ret->u.trial.count = 1;
    ret->u.trial.ns = (uint64_t)(clock_monotonic_ns() - began);
    return ERR_OK;
}

/* What a self-test or a trial of this id has made, all of it: the label's end tells them apart. */
static struct err remove_class(struct trial *t, enum key_class of, struct lane_reply *ret)
{
    AUTO_FREE unsigned long *handles = NULL;
    size_t n = 0, known = strlen(SELFTEST_LABEL) + UUID_TEXT;
    TRY(p11_key_find_all(&t->lane->session, of, &handles, &n));
    for (size_t i = 0; i < n; i++) {
        struct p11_key key;
        TRY(p11_key_read(&t->lane->session, of, handles[i], &key));
        if (strncmp(key.label, t->labels[0], known) != 0)
            continue;
        struct err e = p11_key_destroy(&t->lane->session, handles[i]);
        if (err_is(e) && key_attributes_public(&key.attributes)) /* anybody's, who has it stay */
            continue;
        TRY(e);
        ret->u.trial.count++;
    }
    return ERR_OK;
}

/* Public halves have no PIN before them and no label that counts, but CKA_IDs of the trial's. */
static struct err remove_publics(struct trial *t)
{
    for (size_t i = 0; i < SCHEMES; i++) {
        enum scheme scheme = scheme_by_preference(i);
        struct object_id id;
        for (size_t role = 0; role < scheme_roles(scheme); role++) {
            if (key_role_class(scheme, role) != KEY_CLASS_PRIVATE)
                continue;
            TRY(object_id_of_role(&t->keys.ids[0], scheme, role, &id));
            TRY(p11_pair_destroy_public(&t->lane->session, &id));
        }
    }
    return ERR_OK;
}

static struct err remove_all(struct trial *t, struct lane_reply *ret)
{
    TRY(remove_class(t, KEY_CLASS_SECRET, ret));
    TRY(remove_class(t, KEY_CLASS_PRIVATE, ret));
    return remove_publics(t);
}

static struct err measure(struct trial *t, const struct lane_request *request,
                          struct lane_reply *ret)
{
    uint32_t ms = request->u.trial.ms;
    TRY(find(t));
    TRY(seal(t)); /* what a first use costs is not measured */
    TRY(open_sealed(t));
    return repeat(t, request->u.trial.step == TRIAL_SEAL ? seal : open_sealed, ms, UINT32_MAX, ret);
}

static struct err generations(struct trial *t, uint32_t ms, struct lane_reply *ret)
{
    TRY(repeat(t, generate, ms, GENERATIONS_MAX, ret));
    ret->u.trial.ns = t->generated_ns;
    return ERR_OK;
}

static struct err run(struct trial *t, const struct lane_request *request, struct lane_reply *ret)
{
    switch (request->u.trial.step) {
    case TRIAL_MAKE:
        return make(t, ret);
    case TRIAL_SEAL:
    case TRIAL_OPEN:
        return measure(t, request, ret);
    case TRIAL_GENERATE:
        return generations(t, request->u.trial.ms, ret);
    case TRIAL_REMOVE:
        return remove_all(t, ret);
    case TRIAL_STEPS:
        break;
    }
    return err_make(ERR_INVALID, "trial");
}

static bool uses_alone(enum trial_step step)
{
    return step == TRIAL_SEAL || step == TRIAL_OPEN;
}

struct err op_trial(struct lane *lane, const struct lane_request *request, struct lane_reply *ret,
                    struct advice *advice)
{
    struct trial t = {.lane = lane,
                      .scheme = scheme_find(request->u.trial.scheme),
                      .keys = {.scheme = request->u.trial.scheme, .ids = {request->u.trial.trial}}};
    char uuid[UUID_TEXT + 1];
    if (lane->agent->config.role == AGENT_TRY && !uses_alone(request->u.trial.step))
        return advise(advice, err_make(ERR_DENIED, "trial"), REMEDY_CALLER,
                      "this agent was not started for that");
    if (!t.scheme && request->u.trial.step != TRIAL_REMOVE)
        return err_make(ERR_INVALID, "scheme");
    uuid_format(t.keys.ids[0].data, uuid);
    for (size_t i = 0; i < KEY_ROLES_MAX; i++)
        (void)snprintf(t.labels[i], sizeof t.labels[i], "%s%s", SELFTEST_LABEL, uuid);
    TRY(key_id_make("selftest", &t.keys.ids[0], &t.key_id));
    return run(&t, request, ret);
}
