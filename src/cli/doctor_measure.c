/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a scheme is, in runs of bounded length. The key is made by the maker's agent and used by
 * a second one, in sessions like the daemon's: read-only, and as many as it has lanes. */
#include "doctor.h"

#include <string.h>

enum { START_TIMEOUT_MS = 30000, LONG_MS = 500 };

struct measuring {
    struct doctor *d;
    struct doctor_scheme *scheme;
    struct object_id trial;
    struct key_id kek; /* to use; empty: the trial's key */
};

static struct lane_request request_of(const struct measuring *m, enum trial_step step)
{
    struct lane_request request = {.op = LANE_TRIAL, .number = ++m->d->number};
    request.u.trial.step = step;
    request.u.trial.scheme = m->scheme->scheme;
    request.u.trial.trial = m->trial;
    request.u.trial.ms = (uint32_t)m->d->measure_ms;
    return request;
}

/* With the maker's agent. */
static struct err make(struct measuring *m, enum trial_step step, struct doctor_speed *ret)
{
    struct lane_request request = request_of(m, step);
    struct lane_reply reply;
    TRY(doctor_call(m->d, m->d->maker.lane, &request, &reply, m->scheme->speed_why,
                    sizeof m->scheme->speed_why));
    *ret = (struct doctor_speed){1, reply.u.trial.count, reply.u.trial.ns};
    return ERR_OK;
}

static struct err lost(const struct measuring *m, struct err e)
{
    char text[160];
    (void)snprintf(m->scheme->speed_why, sizeof m->scheme->speed_why, "%.200s",
                   err_format(e, text, sizeof text));
    return e;
}

static struct err check(const struct measuring *m, const struct lane_reply *reply)
{
    if (reply->status.code != ERR_NONE)
        (void)snprintf(m->scheme->speed_why, sizeof m->scheme->speed_why, "%.200s",
                       reply->status.text);
    return lane_status_err(reply);
}

static struct err start(struct measuring *m, uint32_t lanes)
{
    struct doctor *d = m->d;
    struct lane_reply reply;
    char text[MAKER_TEXT_MAX + 1];
    int lane = -1;
    d->second.lanes = lanes;
    struct err e = own_agent_start(&d->second, AGENT_TRY, NULL, &lane, text);
    d->second.lanes = 0;
    if (!err_is(e))
        e = lane_hello(lane, START_TIMEOUT_MS, d->maker.memory, sizeof d->maker.memory, &reply);
    return err_is(e) ? lost(m, e) : check(m, &reply);
}

/* The same request on the first lanes at once; each reply is given to take. */
static struct err at_once(struct measuring *m, uint32_t lanes, struct lane_request *request,
                          void (*take)(struct doctor_speed *sum, const struct lane_reply *reply),
                          struct doctor_speed *sum)
{
    struct doctor *d = m->d;
    for (uint32_t i = 0; i < lanes; i++) {
        struct err e =
            lane_send(d->second.process.lane[i], request, d->maker.memory, sizeof d->maker.memory);
        if (err_is(e))
            return lost(m, e);
    }
    for (uint32_t i = 0; i < lanes; i++) {
        struct lane_reply reply;
        struct err e = lane_receive(d->second.process.lane[i], request, d->step_ms + d->measure_ms,
                                    d->maker.memory, sizeof d->maker.memory, &reply);
        if (err_is(e))
            return lost(m, e);
        TRY(check(m, &reply));
        take(sum, &reply);
    }
    return ERR_OK;
}

/* Lanes that worked side by side: the longest time is that of all. */
static void take_run(struct doctor_speed *sum, const struct lane_reply *reply)
{
    sum->count += reply->u.trial.count;
    if (reply->u.trial.ns > sum->ns)
        sum->ns = reply->u.trial.ns;
}

static struct err run(struct measuring *m, enum trial_step step, uint32_t lanes,
                      struct doctor_speed *ret)
{
    struct doctor_speed sum = {.lanes = lanes};
    struct lane_request request = request_of(m, step);
    TRY(at_once(m, lanes, &request, take_run, &sum));
    *ret = sum;
    return ERR_OK;
}

static void take_probe(struct doctor_speed *sum, const struct lane_reply *reply)
{
    (void)reply;
    sum->count++;
}

/* Rounds of probes, one a lane, each of which seals a canary and opens it. */
static struct err run_probes(struct measuring *m, uint32_t lanes, struct doctor_speed *ret)
{
    struct doctor_speed sum = {.lanes = lanes};
    struct lane_request request = {.op = LANE_PROBE};
    int64_t began = clock_monotonic_ns(), now;
    request.u.probe.scheme = m->scheme->scheme;
    request.u.probe.key_id = m->kek;
    do {
        request.number = ++m->d->number;
        TRY(at_once(m, lanes, &request, take_probe, &sum));
        now = clock_monotonic_ns();
    } while (now - began < (int64_t)m->d->measure_ms * 1000000);
    sum.ns = (uint64_t)(now - began);
    *ret = sum;
    return ERR_OK;
}

static struct err run_lanes(struct measuring *m, uint32_t lanes, size_t column)
{
    TRY(start(m, lanes));
    doctor_progress(m->d, "%s: measuring with %u lane%s", scheme_name(m->scheme->scheme),
                    (unsigned)lanes, lanes == 1 ? "" : "s");
    if (m->kek.text[0])
        return run_probes(m, lanes, &m->scheme->round[column]);
    TRY(run(m, TRIAL_SEAL, lanes, &m->scheme->seal[column]));
    return run(m, TRIAL_OPEN, lanes, &m->scheme->open[column]);
}

/* What a daemon would do all the time. */
static void condemn(const struct measuring *m)
{
    m->scheme->result = DOCTOR_FAILS;
    (void)snprintf(m->scheme->why, sizeof m->scheme->why,
                   "not in sessions like the daemon's, read-only and of another process: %.120s",
                   m->scheme->speed_why);
    m->scheme->speed_why[0] = '\0';
}

/* More than one lane only where no daemon has calls that would wait behind ours. */
static struct err use(struct measuring *m)
{
    uint32_t lanes = m->d->config->token.sessions;
    struct err e = run_lanes(m, 1, 0);
    if (err_is(e)) {
        condemn(m);
    } else if (lanes > 1 && m->d->report.daemon == 0 && !doctor_interrupted()) {
        e = run_lanes(m, lanes, 1);
        m->scheme->too_many_lanes = err_is(e);
    }
    agent_process_kill(&m->d->second.process);
    return e;
}

static struct err measure(struct measuring *m)
{
    struct doctor_speed *generate = &m->scheme->generate;
    doctor_progress(m->d, "%s: making a key to measure with", scheme_name(m->scheme->scheme));
    TRY(make(m, TRIAL_MAKE, generate));
    TRY(use(m));
    if (generate->ns > (uint64_t)LONG_MS * 1000000 || doctor_interrupted())
        return ERR_OK; /* one says it, and a TPM takes its time */
    doctor_progress(m->d, "%s: measuring key generation", scheme_name(m->scheme->scheme));
    return make(m, TRIAL_GENERATE, generate);
}

struct err doctor_measure(struct doctor *d, struct doctor_scheme *scheme)
{
    uint8_t uuid[UUID_BYTES];
    struct measuring m = {.d = d, .scheme = scheme};
    TRY(uuid_make(uuid));
    TRY(object_id_from(bytes_of(uuid, sizeof uuid), &m.trial));
    struct err e = measure(&m);
    (void)err_is(e); /* in speed_why; what was measured is worth telling all the same */
    return doctor_remove(d, &m.trial);
}

void doctor_measure_kek(struct doctor *d, struct doctor_scheme *scheme, const struct kek *kek)
{
    struct measuring m = {.d = d, .scheme = scheme, .kek = kek->key_id};
    (void)err_is(use(&m)); /* in speed_why */
}
