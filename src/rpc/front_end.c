/* SPDX-License-Identifier: Apache-2.0 */
#include "front_end.h"

#include "agent_process.h"
#include "cleanup.h"
#include "control.h"
#include "front_admin.h"
#include "front_config.h"
#include "front_http.h"
#include "health_api.h"
#include "heap.h"
#include "io.h"
#include "keeper.h"
#include "kms_api.h"
#include "kms_service.h"
#include "log.h"
#include "rotation.h"
#include "rpc_runtime.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>

enum {
    SECRET_HEAP = 4 << 20, /* one lane packet for each request that may wait, twice over */
    GRACE_MS = 5000,       /* for calls in flight at the end; kube-apiserver's own limit is 3 s */
    HEAP_LOOK_MS = 1000,
    SAME_LOG_MS = 60000
};

struct front_end {
    struct config config;
    struct keyring *keyring;
    struct lane_pool *pool;
    struct kms_service *service;
    struct keeper *keeper;
    struct rotation *rotation;
    struct kms_api *api;
    struct health_api health_api;
    struct rpc_method methods[KMS_API_METHODS + 1]; /* of the KMS socket */
    struct rpc_poller *poller;
    struct rpc_server *server;
    struct rpc_listener *listener;
    struct refusals refusals;
    struct front_admin admin;
    struct vitals vitals;
    struct http_server *http; /* NULL: not configured */
    struct heap heap;
    char condemned[128]; /* why the keeper last had an agent replaced, and when: its thread's */
    int64_t condemned_log_ns; /* a missing KEK is looked for by a fresh agent every few seconds */
    uint64_t asked;           /* the monitor's question that is to be answered; 0: none */
};

/* --- to the monitor ---------------------------------------------------------------------- */

static void tell_monitor(const struct control_message *message)
{
    /* A monitor that is gone ends us through the control socket's end of file. */
    (void)err_is(control_send(FRONT_END_CONTROL_FD, message, NULL, 0));
}

static void tell_condemned(struct front_end *fe, uint64_t generation, enum control_reason reason,
                           const char *why)
{
    struct control_message message = {
        .op = CONTROL_CONDEMN, .generation = generation, .reason = reason};
    (void)snprintf(message.text, sizeof message.text, "%.*s", CONTROL_TEXT_MAX, why);
    vitals_condemned(&fe->vitals, generation, reason);
    tell_monitor(&message);
}

/* --- hooks ------------------------------------------------------------------------------- */

static void on_pool_condemns(void *context, uint64_t generation, enum control_reason reason,
                             const char *why)
{
    struct front_end *fe = context;
    log_event(LOG_PRI_WARNING, "the token agent is replaced", LOG_S("reason", why),
              LOG_N("agent", generation));
    if (reason == CONDEMN_TIMEOUT) /* before its end is told */
        keeper_hung(fe->keeper, generation);
    else
        keeper_kick(fe->keeper);
    tell_condemned(fe, generation, reason, why);
}

/* One that has died is told by the monitor; one that lives on would otherwise be found by the next
 * probe, and what waits for a lane would wait for that. */
static void on_lanes_ended(void *context, uint64_t generation)
{
    const struct front_end *fe = context;
    (void)generation;
    keeper_kick(fe->keeper);
}

static void on_keeper_condemns(void *context, uint64_t generation, enum control_reason reason,
                               const char *why)
{
    struct front_end *fe = context;
    int64_t now = clock_monotonic_ns();
    bool again = strncmp(fe->condemned, why, sizeof fe->condemned - 1) == 0 &&
                 now - fe->condemned_log_ns < SAME_LOG_MS * INT64_C(1000000);
    if (!again) {
        log_event(LOG_PRI_INFO, "the token agent is replaced", LOG_S("reason", why),
                  LOG_N("agent", generation));
        (void)snprintf(fe->condemned, sizeof fe->condemned, "%s", why);
        fe->condemned_log_ns = now;
    }
    tell_condemned(fe, generation, reason, why);
}

static void on_heir(void *context, enum control_op op, uint64_t generation, const char *why)
{
    struct front_end *fe = context;
    if (op == CONTROL_WANT_HEIR) {
        log_event(LOG_PRI_INFO, "another token agent is to take this one's place",
                  LOG_S("reason", why), LOG_N("agent", generation));
        vitals_agent_gone(&fe->vitals, generation, GONE_RETIRED);
    }
    tell_monitor(&(struct control_message){.op = op, .generation = generation});
}

static void on_health(void *context, const struct health *health)
{
    const struct front_end *fe = context;
    struct control_message message = {.op = CONTROL_HEALTH, .ok = health->ok};
    struct health now;
    struct key_id current;
    keyring_status(fe->keyring, &now, &current);
    log_event(health->ok ? LOG_PRI_INFO : LOG_PRI_WARNING,
              health->ok ? "the token is well" : "the token is not well",
              LOG_S("status", health->text), LOG_S("key_id", current.text));
    (void)snprintf(message.text, sizeof message.text, "%.*s", CONTROL_TEXT_MAX, health->text);
    tell_monitor(&message);
}

static void on_looked(void *context, uint64_t number)
{
    const struct front_end *fe = context;
    kms_service_looked(fe->service, number);
    rotation_looked(fe->rotation);
}

static void on_warn(void *context, const char *text, const char *key_id)
{
    (void)context;
    log_event(LOG_PRI_WARNING, text, LOG_S("key_id", key_id));
}

static void on_maker_wanted(void *context, uint64_t number)
{
    (void)context;
    tell_monitor(&(struct control_message){.op = CONTROL_WANT_MAKER, .generation = number});
}

static void on_maker_ended(void *context, uint64_t number)
{
    (void)context;
    tell_monitor(&(struct control_message){.op = CONTROL_END_MAKER, .generation = number});
}

/* Some tokens show what other processes have changed only to who starts after that. */
static void on_ring_changed(void *context, bool unseen)
{
    const struct front_end *fe = context;
    if (unseen) /* whoever comes looks */
        keeper_renew(fe->keeper, "a fresh agent finds other KEKs or states than it does");
    else
        keeper_rescan(fe->keeper);
}

static struct err on_kek_forgotten(void *context, const struct key_id *key_id)
{
    const struct front_end *fe = context;
    return keeper_forget(fe->keeper, key_id);
}

static void on_ring_note(void *context, bool bad, const char *what, const char *key_id,
                         const char *why)
{
    (void)context;
    log_event(bad ? LOG_PRI_WARNING : LOG_PRI_INFO, what, LOG_S("key_id", key_id),
              LOG_S("reason", why));
}

static void on_grpc_error(const char *file, int line, unsigned skipped)
{
    log_event(LOG_PRI_WARNING, "gRPC reports an error; its text is withheld", LOG_S("file", file),
              LOG_N("line", line), LOG_N("not_logged_before", skipped));
}

/* --- configuration ----------------------------------------------------------------------- */

static struct err read_config(int fd, struct config *ret)
{
    size_t len = 0;
    struct config config;
    TRY(memfd_read(fd, &config, sizeof config, &len));
    if (len != sizeof config)
        return err_make(ERR_INTERNAL, "configuration of another build");
    *ret = config;
    return ERR_OK;
}

static void set_verifying(struct front_end *fe)
{
    const struct config *c = &fe->config;
    kms_service_set_verify_v1(fe->service, c->ring.verify_seals == VERIFY_ALL);
    kms_service_set_verify_opens(fe->service, c->ring.verify_opens == VERIFY_ALL,
                                 c->ring.verify_opens != VERIFY_NONE);
}

/* Applies what may change while running; the monitor has refused the rest. */
static void apply(struct front_end *fe)
{
    const struct config *c = &fe->config;
    const struct rpc_access access = front_config_access(c);
    const struct rotation_tuning tuning = front_config_tuning(c);
    front_config_log(c);
    rotation_retune(fe->rotation, &tuning);
    rpc_listener_set_access(fe->listener, &access);
    lane_pool_set_timeout(fe->pool, c->token.timeout_ms);
    keeper_retune(fe->keeper, c->token.timeout_ms, c->token.probe_every_ms,
                  c->ring.rescan_every_ms);
    set_verifying(fe);
    keyring_set_wanted(fe->keyring, &c->ring.active);
    keeper_rescan(fe->keeper);
}

static void reload(struct front_end *fe, int fd)
{
    struct err e = read_config(fd, &fe->config);
    char text[160];
    if (err_is(e))
        log_event(LOG_PRI_ERROR, "the new configuration could not be taken",
                  LOG_S("error", err_format(e, text, sizeof text)));
    else
        apply(fe);
}

/* --- life -------------------------------------------------------------------------------- */

static struct err protect(struct front_end *fe)
{
    bool locked = false;
    TRY(secret_init(SECRET_HEAP, &locked));
    struct err e = process_lock_memory();
    heap_start(&fe->heap, !err_is(e));
    if (!err_is(e) && locked)
        return ERR_OK;
    if (fe->config.require_mlock)
        return err_make(ERR_DENIED, "requireMlock: memory cannot be locked, raise LimitMEMLOCK");
    log_event(LOG_PRI_WARNING, "memory cannot be locked against swapping: raise LimitMEMLOCK, or "
                               "run without swap");
    return ERR_OK;
}

static bool is_ready(void *context)
{
    return vitals_ready((struct vitals *)context);
}

static void start_vitals(struct front_end *fe)
{
    struct vitals *v = &fe->vitals;
    v->keyring = fe->keyring;
    v->pool = fe->pool;
    v->keeper = fe->keeper;
    v->rotation = fe->rotation;
    v->poller = fe->poller;
    v->server = fe->server;
    v->started_ms = clock_wall_ms();
    vitals_beat(v);
}

static struct err start_http(struct front_end *fe)
{
    if (fe->config.http.kind == HTTP_OFF)
        return ERR_OK;
    return front_http_start(FRONT_END_HTTP_FD, &fe->vitals, &fe->http);
}

static struct err start_servers(struct front_end *fe)
{
    const struct config *c = &fe->config;
    const struct rpc_access access = front_config_access(c);
    size_t n = 0;
    TRY(kms_api_new(fe->service, c->status_version, &fe->api));
    const struct rpc_method *methods = kms_api_methods(fe->api, &n);
    memcpy(fe->methods, methods, n * sizeof *methods);
    fe->health_api = (struct health_api){is_ready, &fe->vitals};
    fe->methods[n] = health_api_method(&fe->health_api);
    TRY(rpc_poller_new(&fe->poller));
    TRY(rpc_server_start(fe->poller, fe->methods, n + 1, &fe->server));
    fe->refusals = (struct refusals){.socket = "socket",
                                     .stranger = "neither allowUids nor allowGids names it"};
    TRY(rpc_listener_new(FRONT_END_LISTEN_FD, fe->server, &access, refusals_log, &fe->refusals,
                         &fe->listener));
    const struct admin_options admin = {.keyring = fe->keyring,
                                        .rotation = fe->rotation,
                                        .mode =
                                            c->ring.mode == RING_EXTERNAL ? "external" : "managed",
                                        .token = c->token.uri};
    TRY(front_admin_start(&fe->admin, fe->poller, FRONT_END_ADMIN_FD, &admin));
    start_vitals(fe); /* before the first call can ask for it */
    TRY(rpc_poller_run(fe->poller));
    return start_http(fe);
}

static struct err build(struct front_end *fe)
{
    const struct config *c = &fe->config;
    TRY(keyring_new(c->ring.name, &fe->keyring));
    if (c->ring.mode == RING_EXTERNAL)
        keyring_set_external(fe->keyring, config_waivers(c));
    keyring_set_wanted(fe->keyring, &c->ring.active);
    if (pin_source_is_protected(c->token.pin_source))
        keyring_set_attended(fe->keyring);
    TRY(lane_pool_new(c->token.timeout_ms,
                      &(struct lane_pool_hooks){on_pool_condemns, on_lanes_ended, fe}, &fe->pool));
    TRY(kms_service_new(fe->keyring, fe->pool, &fe->service));
    set_verifying(fe);
    const struct rotation_options rotation = {
        .state_dir = c->state_dir,
        .keyring = fe->keyring,
        .scheme = c->ring.scheme,
        .generate_timeout_ms = c->token.generate_timeout_ms,
        .attended = pin_source_is_protected(c->token.pin_source),
        .tuning = front_config_tuning(c),
        .hooks = {on_maker_wanted, on_maker_ended, on_ring_changed, on_kek_forgotten, on_ring_note,
                  fe}};
    /* Before the keeper, which may change what stateDir says was active. */
    TRY(rotation_new(&rotation, &fe->rotation));
    kms_service_set_rotation(fe->service, fe->rotation);
    const struct keeper_options options = {
        .state_dir = c->state_dir,
        .keyring = fe->keyring,
        .pool = fe->pool,
        .timeout_ms = c->token.timeout_ms,
        .probe_every_ms = c->token.probe_every_ms,
        .rescan_every_ms = c->ring.rescan_every_ms,
        .hooks = {on_keeper_condemns, on_heir, on_health, on_looked, on_warn, fe}};
    TRY(keeper_new(&options, &fe->keeper));
    kms_service_set_keeper(fe->service, fe->keeper);
    return start_servers(fe);
}

/* What hangs in a token call is ended by the exit of the process, which follows. The keeper goes on
 * until then, and calls the rotation: that is stopped, and not freed. */
static void stop(struct front_end *fe)
{
    http_server_stop(fe->http);
    rpc_listener_free(fe->listener);
    struct err e = rpc_server_stop(fe->server, GRACE_MS);
    if (!err_is(
            e)) /* nobody seals any more; and the orders that admin calls wait for are answered */
        rotation_stop(fe->rotation);
    struct err admin = front_admin_stop(&fe->admin);
    if (err_is(e) || err_is(admin))
        log_event(LOG_PRI_WARNING, "calls were still in flight at the end");
}

/* One message of the monitor. False: time to stop. */
static bool on_control(struct front_end *fe)
{
    struct control_message message;
    int fds[PACKET_FDS_MAX];
    size_t n = 0;
    if (err_is(control_receive(FRONT_END_CONTROL_FD, &message, fds, PACKET_FDS_MAX, &n)))
        return false;
    switch (message.op) {
    case CONTROL_LANES:
        vitals_agent_started(&fe->vitals, false);
        keeper_offer(fe->keeper, message.generation, fds, n);
        n = 0;
        break;
    case CONTROL_AGENT_GONE:
        vitals_agent_gone(&fe->vitals, message.generation, message.gone);
        keeper_agent_gone(fe->keeper, message.generation, message.text);
        break;
    case CONTROL_RELOAD:
        if (n == 1)
            reload(fe, fds[0]);
        break;
    case CONTROL_STOP:
        return false;
    case CONTROL_MAKER:
        vitals_agent_started(&fe->vitals, true);
        rotation_offer(fe->rotation, message.generation, fds[0]);
        n = 0;
        break;
    case CONTROL_MAKER_GONE:
        rotation_maker_gone(fe->rotation, message.generation, message.text);
        break;
    case CONTROL_PING:
        fe->asked = message.generation;
        break;
    case CONTROL_PONG:
    case CONTROL_READY:
    case CONTROL_CONDEMN:
    case CONTROL_WANT_MAKER:
    case CONTROL_END_MAKER:
    case CONTROL_WANT_HEIR:
    case CONTROL_HEIR_SERVES:
    case CONTROL_END_AGENT:
    case CONTROL_HEALTH: /* ours to send */
        break;
    }
    while (n > 0)
        (void)close(fds[--n]);
    return true;
}

/* Not as long as somebody hangs: we are to be replaced then. But late is better than never: when
 * all of us stood still, as in a frozen container, the first to move finds the others late. */
static void answer_monitor(struct front_end *fe)
{
    if (fe->asked == 0 || !vitals_alive(&fe->vitals))
        return;
    tell_monitor(&(struct control_message){.op = CONTROL_PONG, .generation = fe->asked});
    fe->asked = 0;
}

/* Only between requests: what they hold stays locked. */
static void give_back_memory(struct front_end *fe)
{
    size_t busy = 0, waiting = 0;
    lane_pool_load(fe->pool, &busy, &waiting);
    if (busy == 0 && waiting == 0 && err_is(heap_give_back(&fe->heap)))
        log_event(LOG_PRI_WARNING, "memory could not be locked again: raise LimitMEMLOCK");
}

static void serve(struct front_end *fe)
{
    bool on = true;
    tell_monitor(&(struct control_message){.op = CONTROL_READY});
    while (on) {
        vitals_beat(&fe->vitals);
        answer_monitor(fe);
        struct pollfd fds[] = {{.fd = FRONT_END_CONTROL_FD, .events = POLLIN},
                               {.fd = rpc_listener_fd(fe->listener), .events = POLLIN},
                               {.fd = rpc_listener_fd(fe->admin.listener), .events = POLLIN}};
        int ready = poll(fds, sizeof fds / sizeof fds[0], HEAP_LOOK_MS);
        if (ready < 0 && errno != EINTR)
            break;
        if (ready == 0)
            give_back_memory(fe);
        if (fds[1].revents != 0)
            rpc_listener_ready(fe->listener);
        if (fds[2].revents != 0)
            rpc_listener_ready(fe->admin.listener);
        if (fds[0].revents != 0)
            on = on_control(fe);
    }
    stop(fe);
}

/* The monitor tells us what signals mean. Those of a crash end us, whoever sends them. */
static void block_signals(void)
{
    static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked;
    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        (void)sigdelset(&blocked, crashes[i]);
    (void)sigprocmask(SIG_SETMASK, &blocked, NULL);
}

static struct err run(struct front_end *fe)
{
    TRY(process_forbid_dumps());
    (void)prctl(PR_SET_NAME, "p11-kmsd"); /* started through /proc/self/exe, we would be "exe" */
    block_signals();
    TRY(read_config(FRONT_END_CONFIG_FD, &fe->config));
    front_config_log(&fe->config);
    TRY(protect(fe));
    rpc_runtime_start(on_grpc_error);
    TRY(build(fe));
    serve(fe);
    return ERR_OK;
}

int front_end_main(void)
{
    static struct front_end fe; /* large; and threads may outlive this function until exit */
    char text[160];
    struct err e = run(&fe);
    if (err_is(e))
        log_event(LOG_PRI_ERROR, "the front end cannot run",
                  LOG_S("error", err_format(e, text, sizeof text)));
    return err_exit_code(e);
}
