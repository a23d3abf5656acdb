/* SPDX-License-Identifier: Apache-2.0 */
#include "supervise.h"

#include "cleanup.h"
#include "heartbeat.h"
#include "io.h"
#include "log.h"
#include "login_lock.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

/* How long a front end may drain, and how long the kernel may take to end what was killed. */
static const int64_t drain_ns = INT64_C(10000000000);
static const int64_t kill_ns = INT64_C(2000000000);
/* How long an agent may take to end a token call when nobody needs it any more. */
static const int64_t alone_ns = INT64_C(3000000000);
/* How long a stop waits for a login: less than the unit's TimeoutStopSec. */
static const int64_t login_ns = INT64_C(15000000000);

struct supervision {
    const struct options *options;
    struct config *config;
    const struct listeners *listeners;
    struct children *children;
    struct heartbeat heartbeat;
    pid_t asked;    /* the front end that it belongs to; 0: none */
    bool announced; /* systemd knows that we are ready */
    bool alone;     /* the front end has ended */
    bool killed;    /* the drain took too long */
    int64_t stop_ns;
    int64_t stop_by_ns; /* an agent that logs in has until then */
};

static void stop(struct supervision *s)
{
    if (s->children->stopping)
        return;
    s->children->stopping = true;
    s->stop_ns = clock_monotonic_ns() + drain_ns;
    s->stop_by_ns = clock_monotonic_ns() + login_ns;
    log_event(LOG_PRI_INFO, "stopping");
    (void)sd_notify(0, "STOPPING=1\nSTATUS=Stopping");
    children_tell(s->children, &(struct control_message){.op = CONTROL_STOP}, NULL, 0);
}

static void tell_reload(struct supervision *s)
{
    AUTO_CLOSE int memfd = -1;
    struct err e = memfd_sealed("p11-kms-config", bytes_of(s->config, sizeof *s->config), &memfd);
    if (!err_is(e)) {
        children_tell(s->children, &(struct control_message){.op = CONTROL_RELOAD}, &memfd, 1);
        return;
    }
    char text[128];
    log_event(LOG_PRI_ERROR, "the front end could not be given the new configuration",
              LOG_S("error", err_format(e, text, sizeof text)));
}

static void apply(struct supervision *s, struct config *loaded)
{
    char restart[512];
    options_apply(s->options, loaded);
    config_reload(s->config, loaded, restart, sizeof restart);
    options_log_setup(s->config);
    if (restart[0])
        log_event(LOG_PRI_WARNING, "changed keys need a restart and were not applied",
                  LOG_S("keys", restart));
    log_event(LOG_PRI_INFO, "configuration reloaded", LOG_S("file", s->options->config));
}

/* The front end is told also with a file that cannot be used: a SIGHUP asks for a look at the
 * ring, and, where the token was away, at PIN and token. */
static void reload(struct supervision *s)
{
    struct config loaded;
    struct config_error error;
    (void)sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_monotonic_ns() / 1000);
    if (err_is(config_load_file(s->options->config, &loaded, &error))) {
        char text[PATH_MAX + 1024];
        log_event(
            LOG_PRI_ERROR, "the new configuration is not used",
            LOG_S("error", config_error_format(s->options->config, &error, text, sizeof text)));
    } else {
        apply(s, &loaded);
    }
    tell_reload(s);
    children_hurry_agent(s->children);
    (void)sd_notify(0, "READY=1");
}

static void on_signal(struct supervision *s, int fd)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        switch (info.ssi_signo) {
        case SIGCHLD:
            children_reap(s->children);
            break;
        case SIGHUP:
            if (!s->children->stopping)
                reload(s);
            break;
        default:
            stop(s);
            break;
        }
    }
}

static void on_ready(struct supervision *s)
{
    s->children->ready = true;
    if (s->children->stopping)
        return;
    heartbeat_ready(&s->heartbeat);
    log_event(LOG_PRI_INFO, "serving", LOG_S("socket", s->listeners->kms.path),
              LOG_S("admin_socket", s->listeners->admin.path));
    (void)sd_notify(0, s->announced ? "STATUS=Serving" : "READY=1\nSTATUS=Serving");
    s->announced = true;
}

static void on_health(struct supervision *s, const struct control_message *message)
{
    if (message->ok)
        backoff_reset(&s->children->agent.backoff);
    if (!s->children->stopping)
        (void)sd_notifyf(0, "STATUS=%s", message->text);
}

static void on_condemn(struct supervision *s, const struct control_message *message)
{
    if (message->generation == s->children->generation)
        children_kill_agent(s->children, GONE_CONDEMNED, message->text);
    else
        side_agent_retire(&s->children->heir, message->generation);
}

/* systemd hears of us as long as the front end answers, and so of both. */
static void on_pong(struct supervision *s, const struct control_message *message)
{
    if (heartbeat_answer(&s->heartbeat, message->generation, clock_monotonic_ns()))
        (void)sd_notify(0, "WATCHDOG=1");
}

static void on_message(struct supervision *s, const struct control_message *message)
{
    switch (message->op) {
    case CONTROL_READY:
        on_ready(s);
        break;
    case CONTROL_HEALTH:
        on_health(s, message);
        break;
    case CONTROL_CONDEMN:
        on_condemn(s, message);
        break;
    case CONTROL_WANT_MAKER:
        side_agent_want(&s->children->maker, message->generation);
        break;
    case CONTROL_END_MAKER:
        side_agent_retire(&s->children->maker, message->generation);
        break;
    case CONTROL_PONG:
        on_pong(s, message);
        break;
    case CONTROL_WANT_HEIR:
        children_want_heir(s->children, message->generation);
        break;
    case CONTROL_HEIR_SERVES:
        children_heir_serves(s->children, message->generation);
        break;
    case CONTROL_END_AGENT:
        children_end_agent(s->children, message->generation);
        break;
    case CONTROL_PING:
    case CONTROL_MAKER:
    case CONTROL_MAKER_GONE:
    case CONTROL_LANES:
    case CONTROL_AGENT_GONE:
    case CONTROL_RELOAD:
    case CONTROL_STOP:
        log_event(LOG_PRI_ERROR, "the front end sent a message that only the monitor sends");
        children_kill_front_end(s->children);
        break;
    }
}

static void on_control(struct supervision *s)
{
    while (s->children->control >= 0) {
        struct control_message message;
        struct err e = control_receive(s->children->control, &message, NULL, 0, NULL);
        if (e.code == ERR_DEADLINE)
            return;
        if (!err_is(e)) {
            on_message(s, &message);
        } else if (s->children->stopping) { /* it may close before it exits; the deadline is what
                                               ends it */
            (void)close(s->children->control);
            s->children->control = -1;
        } else {
            children_kill_front_end(s->children);
        }
    }
}

/* True when there is nothing left to wait for. */
static bool stopped(struct supervision *s)
{
    struct children *c = s->children;
    int64_t now = clock_monotonic_ns();
    if (!s->children->stopping)
        return false;
    /* Without its front end an agent ends by itself. It may be in C_Login, and killed there it
     * would leave a PIN that counts as refused. */
    if (c->front.pid == 0 && !children_have_agents(c))
        return true;
    if (c->front.pid == 0 && !s->alone) {
        s->alone = true;
        s->stop_ns = s->stop_ns < now + alone_ns ? s->stop_ns : now + alone_ns;
    }
    if (now < s->stop_ns)
        return false;
    if (!s->killed && now < s->stop_by_ns && c->front.pid == 0 && children_log_in(c)) {
        s->stop_ns = now + LOGIN_LOOK_MS * INT64_C(1000000);
        return false;
    }
    if (s->killed)
        return true; /* not even SIGKILL ends it: it hangs in the kernel, and dies when it can */
    log_event(LOG_PRI_WARNING, "what still runs is killed");
    children_kill_front_end(c);
    children_kill_agents_now(c);
    s->killed = true;
    s->stop_ns = now + kill_ns;
    return false;
}

/* A front end that hangs is as bad as none, and is replaced as one that has died. */
static void look_at_heart(struct supervision *s)
{
    int64_t now = clock_monotonic_ns();
    if (s->asked != s->children->front.pid) {
        s->asked = s->children->front.pid;
        if (s->asked != 0)
            heartbeat_start(&s->heartbeat, now);
        else
            heartbeat_end(&s->heartbeat);
    }
    switch (heartbeat_look(&s->heartbeat, now)) {
    case HEARTBEAT_WAIT:
        break;
    case HEARTBEAT_ASK:
        children_tell(
            s->children,
            &(struct control_message){.op = CONTROL_PING, .generation = s->heartbeat.number}, NULL,
            0);
        break;
    case HEARTBEAT_HUNG:
        log_event(LOG_PRI_ERROR, "the front end hangs and is killed");
        heartbeat_end(&s->heartbeat);
        children_kill_front_end(s->children);
        break;
    }
}

static int timeout_ms(struct supervision *s)
{
    int64_t due = s->children->stopping ? s->stop_ns : children_due_ns(s->children);
    int64_t heart = s->children->stopping ? INT64_MAX : heartbeat_due_ns(&s->heartbeat);
    if (heart < due)
        due = heart;
    int64_t left = due - clock_monotonic_ns();
    if (due == INT64_MAX)
        return -1;
    return left > 0 ? (int)(left / 1000000) + 1 : 0;
}

static struct err watch(struct supervision *s, int signals)
{
    while (!stopped(s)) {
        if (!s->children->stopping) {
            children_start(s->children, s->config, s->listeners);
            look_at_heart(s);
        }
        struct pollfd fds[2] = {{.fd = signals, .events = POLLIN},
                                {.fd = s->children->control, .events = POLLIN}};
        if (poll(fds, 2, timeout_ms(s)) < 0 && errno != EINTR)
            return err_errno(errno, "poll");
        /* What a front end said before it died counts, so it is heard first. */
        if (fds[1].revents != 0)
            on_control(s);
        if (fds[0].revents != 0)
            on_signal(s, signals);
    }
    return ERR_OK;
}

static sigset_t our_signals(void)
{
    sigset_t mask;
    (void)sigemptyset(&mask);
    (void)sigaddset(&mask, SIGCHLD);
    (void)sigaddset(&mask, SIGHUP);
    (void)sigaddset(&mask, SIGTERM);
    (void)sigaddset(&mask, SIGINT);
    return mask;
}

struct err supervise_hold_signals(void)
{
    const sigset_t mask = our_signals();
    return sigprocmask(SIG_BLOCK, &mask, NULL) != 0 ? err_errno(errno, "sigprocmask") : ERR_OK;
}

struct err supervise(const struct options *options, struct config *config,
                     const struct listeners *listeners, struct children *children)
{
    struct supervision s = {
        .options = options, .config = config, .listeners = listeners, .children = children};
    const sigset_t mask = our_signals();
    uint64_t watchdog_us = 0;
    if (sd_watchdog_enabled(0, &watchdog_us) <= 0)
        watchdog_us = 0;
    heartbeat_init(&s.heartbeat, watchdog_us);
    AUTO_CLOSE int signals = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        return err_errno(errno, "signalfd");
    return watch(&s, signals);
}
