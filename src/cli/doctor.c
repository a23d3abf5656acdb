/* SPDX-License-Identifier: Apache-2.0 */
#include "doctor.h"

#include "cleanup.h"
#include "io.h"
#include "pid_file.h"
#include "ring_external.h"
#include "ring_state.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

bool doctor_interrupted(void)
{
    return interrupted != 0;
}

/* The second one ends us at once. */
static struct err catch_signals(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) != 0)
            return err_errno(errno, "sigaction");
    return ERR_OK;
}

void doctor_progress(const struct doctor *d, const char *format, ...)
{
    va_list arguments;
    if (cli_value(d->cli, "json"))
        return;
    va_start(arguments, format);
    (void)vfprintf(d->cli->errors, format, arguments);
    (void)fputs("...\n", d->cli->errors);
    va_end(arguments);
}

struct err doctor_call(struct doctor *d, int lane, struct lane_request *request,
                       struct lane_reply *ret, char *why, size_t size)
{
    struct lane_reply reply;
    char text[160];
    request->number = ++d->number;
    struct err e =
        lane_call(lane, request, d->step_ms, d->maker.memory, sizeof d->maker.memory, &reply);
    if (e.code == ERR_DEADLINE)
        (void)snprintf(why, size, "the token hangs: no answer within %d s", d->step_ms / 1000);
    else if (err_is(e))
        (void)snprintf(why, size, "the token agent failed: %s", err_format(e, text, sizeof text));
    else if (reply.status.code != ERR_NONE)
        (void)snprintf(why, size, "%s", reply.status.text);
    TRY(e);
    TRY(lane_status_err(&reply));
    *ret = reply;
    return ERR_OK;
}

/* --- the maker's agent ------------------------------------------------------------------- */

/* One that can write to the token only where something is to be made. */
static struct err start_agent(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1])
{
    struct doctor *d = context;
    d->maker.lane = -1; /* that of the agent before is closed */
    return own_agent_start(&d->agent, d->no_keys ? AGENT_TRY : AGENT_MAKE, NULL, ret_lane, text);
}

static void end_agent(void *context)
{
    struct doctor *d = context;
    agent_process_kill(&d->agent.process);
}

static void equip(struct doctor *d)
{
    d->maker = (struct maker){.source = {start_agent, end_agent, d},
                              .state_dir = d->config->state_dir,
                              .rules = &d->rules,
                              .timeout_ms = d->step_ms,
                              .lane = -1};
}

/* --- the examination --------------------------------------------------------------------- */

static struct err find_daemon(struct doctor *d)
{
    char path[PATH_MAX];
    TRY(path_join(d->config->state_dir, "daemon.lock", path, sizeof path));
    d->report.daemon = pid_file_locked_by(path);
    return ERR_OK;
}

/* Logs in and lists the ring. */
static struct err enter(struct doctor *d)
{
    struct doctor_answer *login = &d->report.login;
    doctor_progress(d, "logging in and listing ring %s", d->rules.name);
    struct err e = maker_fresh(&d->maker);
    login->known = !err_is(e);
    if (err_is(e))
        memcpy(login->why, d->maker.text, sizeof login->why);
    if (e.code == ERR_DEADLINE)
        (void)snprintf(
            login->why, sizeof login->why,
            "the token hangs: the agent did not start, log in and list the ring in time");
    return e;
}

static enum verdict judge_ring(struct doctor *d, size_t *ret_active)
{
    struct ring_look *look = &d->maker.look;
    struct ring_memory known = {.generation = 0};
    const char *state = d->config->state_dir;
    /* A damaged memory is the daemon's to tell. */
    (void)err_is(ring_state_current(state, d->rules.name, &known));
    if (d->rules.external)
        return ring_external_look(look, state, &d->rules, &d->config->ring.active, &known.key_id,
                                  ret_active, &d->report.health);
    return ring_look_judge(look, d->rules.name, &known, ret_active, &d->report.health);
}

/* An operator's key that nobody has adopted yet. */
static void read_adoptable(struct doctor *d)
{
    const struct ring_look *look = &d->maker.look;
    for (size_t i = 0; i < look->n && d->rules.external; i++)
        if (kek_usable(&look->keys[i]))
            d->report.ring_scheme = look->keys[i].label.scheme;
}

static void read_ring(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    size_t active = 0;
    r->keks = d->maker.look.n;
    switch (judge_ring(d, &active)) {
    case VERDICT_SEALS:
        r->ring_scheme = d->maker.look.keys[active].label.scheme;
        r->active = d->maker.look.keys[active].key_id;
        return;
    case VERDICT_EMPTY:
        break;
    case VERDICT_MISSING:
        r->ring_lost = true;
        break;
    case VERDICT_UNFIT:
        r->ring_lost = !d->rules.external;
        break;
    }
    read_adoptable(d);
}

static void list_schemes(struct doctor *d)
{
    struct doctor_report *r = &d->report;
    enum scheme scheme;
    for (size_t i = 0; (scheme = scheme_by_preference(i)) != SCHEME_NONE; i++)
        if (d->only == SCHEME_NONE || d->only == scheme)
            r->schemes[r->n_schemes++].scheme = scheme;
}

static struct err take_turn(struct doctor *d, int *ret_lock)
{
    struct err e = own_agent_take_turn(d->config->state_dir, ret_lock);
    char text[160];
    if (err_is(e))
        (void)snprintf(
            d->report.login.why, sizeof d->report.login.why,
            "stateDir %.200s cannot be made or written, and without it no PIN is tried: %s",
            d->config->state_dir, err_format(e, text, sizeof text));
    return e;
}

static struct err examine(struct doctor *d)
{
    AUTO_CLOSE int lock = -1;
    TRY(catch_signals());
    TRY(doctor_look(d));
    TRY(take_turn(d, &lock)); /* two that measure would measure each other */
    TRY(find_daemon(d));
    TRY(enter(d));
    read_ring(d);
    return doctor_try(d);
}

struct err doctor_examine(struct doctor *d)
{
    equip(d);
    list_schemes(d);
    struct err e = examine(d);
    maker_end(&d->maker);
    agent_process_kill(&d->second.process);
    doctor_judge(d);
    if (doctor_interrupted())
        return err_make(ERR_CANCELLED, "doctor");
    if (!err_is(e) && d->report.ok)
        return ERR_OK;
    return e.kind == ERR_KIND_ERRNO ? e : err_make(ERR_TOKEN, "doctor");
}
