/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_accept.h"

#include "cleanup.h"
#include "rpc_guard.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

enum {
    ON_LISTEN = RPC_CONNECTIONS_MAX, /* event numbers below are indices of connections */
    ON_TIMER,
    ON_LOOK,
    EVENT_NUMBERS,
    ACCEPTS_PER_TURN = 64,
    BACK_OFF_MS = 100,
    FD_FIRST = 64,
    FD_SPAN = 512,
    PENALTIES = 16,
    PENALTY_MS = 1000
};

/* gRPC owns a connection's descriptor and does not say when it is closed. A duplicate, watched
 * for the peer's hang-up (and for gRPC's shutdown(2) of the socket), tells. */
struct connection {
    int watch_fd; /* -1: free */
    int fd;       /* gRPC's: a number only, which with the serial the guard knows it by */
    uint64_t serial;
    struct rpc_peer peer;
};

/* A process one of whose connections broke a limit: it would go on with the next one. */
struct penalty {
    int32_t pid;
    int64_t until_ns;
};

struct rpc_listener {
    int listen_fd;
    int epoll_fd;
    int timer_fd;
    int look_fd; /* a timer as well */
    struct rpc_server *server;
    struct rpc_access access;
    rpc_refused *refused;
    void *context;
    struct penalty penalties[PENALTIES];
    size_t last_penalty;
    size_t n_connections;
    uint64_t last_connection;
    struct connection connections[RPC_CONNECTIONS_MAX];
};

static struct err watch(const struct rpc_listener *l, int operation, int fd, uint32_t events,
                        uint32_t number)
{
    struct epoll_event event = {.events = events, .data.u32 = number};
    if (epoll_ctl(l->epoll_fd, operation, fd, &event) != 0)
        return err_errno(errno, "epoll_ctl");
    return ERR_OK;
}

static struct err set_up(struct rpc_listener *l)
{
    int flags = fcntl(l->listen_fd, F_GETFL);
    if (flags < 0 || fcntl(l->listen_fd, F_SETFL, flags | O_NONBLOCK) != 0)
        return err_errno(errno, "fcntl");
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0)
        return err_errno(errno, "epoll_create1");
    l->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->timer_fd < 0)
        return err_errno(errno, "timerfd_create");
    l->look_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (l->look_fd < 0)
        return err_errno(errno, "timerfd_create");
    TRY(watch(l, EPOLL_CTL_ADD, l->listen_fd, EPOLLIN, ON_LISTEN));
    TRY(watch(l, EPOLL_CTL_ADD, l->timer_fd, EPOLLIN, ON_TIMER));
    return watch(l, EPOLL_CTL_ADD, l->look_fd, EPOLLIN, ON_LOOK);
}

DEFINE_CLEANUP(struct rpc_listener, rpc_listener_free);

struct err rpc_listener_new(int listen_fd, struct rpc_server *server,
                            const struct rpc_access *access, rpc_refused *refused, void *context,
                            struct rpc_listener **ret)
{
    CLEANUP(rpc_listener_free_p)
    struct rpc_listener *l = (struct rpc_listener *)calloc(1, sizeof *l);
    if (!l)
        return err_make(ERR_EXHAUSTED, "rpc_listener_new");
    *l = (struct rpc_listener){.listen_fd = listen_fd,
                               .epoll_fd = -1,
                               .timer_fd = -1,
                               .look_fd = -1,
                               .server = server,
                               .access = *access,
                               .refused = refused,
                               .context = context};
    for (size_t i = 0; i < RPC_CONNECTIONS_MAX; i++)
        l->connections[i].watch_fd = -1;
    TRY(set_up(l));
    *ret = TAKE_PTR(l);
    return ERR_OK;
}

int rpc_listener_fd(const struct rpc_listener *listener)
{
    return listener->epoll_fd;
}

static void back_off(struct rpc_listener *l)
{
    struct itimerspec once = {.it_value.tv_nsec = BACK_OFF_MS * 1000000L};
    (void)timerfd_settime(l->timer_fd, 0, &once, NULL);
    /* The back-log stays readable, so that the loop would spin. Cannot fail: it is watched. */
    struct err e = watch(l, EPOLL_CTL_MOD, l->listen_fd, 0, ON_LISTEN);
    (void)e;
    l->refused(l->context, RPC_REFUSED_DESCRIPTORS, &(struct rpc_peer){0}, NULL);
}

static void make_unreadable(int timer_fd)
{
    uint64_t expirations;
    ssize_t got = read(timer_fd, &expirations, sizeof expirations);
    (void)got;
}

static void resume(struct rpc_listener *l)
{
    make_unreadable(l->timer_fd);
    struct err e = watch(l, EPOLL_CTL_MOD, l->listen_fd, EPOLLIN, ON_LISTEN);
    (void)e;
}

/* Only while there is somebody to look at. */
static void look_from_now_on(const struct rpc_listener *l, bool on)
{
    const struct timespec every = {.tv_sec = RPC_LOOK_MS / 1000,
                                   .tv_nsec = RPC_LOOK_MS % 1000 * 1000000L};
    struct itimerspec times = {0};
    if (on)
        times = (struct itimerspec){.it_value = every, .it_interval = every};
    (void)timerfd_settime(l->look_fd, 0, &times, NULL);
}

static void look_at_all(const struct rpc_listener *l)
{
    make_unreadable(l->look_fd);
    for (size_t i = 0; i < RPC_CONNECTIONS_MAX; i++)
        if (l->connections[i].watch_fd >= 0)
            rpc_guard_look(l->connections[i].fd, l->connections[i].serial);
}

static size_t connections_of(const struct rpc_listener *l, uint32_t uid)
{
    size_t n = 0;
    for (size_t i = 0; i < RPC_CONNECTIONS_MAX; i++)
        n += l->connections[i].watch_fd >= 0 && l->connections[i].peer.uid == uid;
    return n;
}

/* A peer of another PID namespace has no number here: many would share 0. */
static void punish(struct rpc_listener *l, const struct connection *gone)
{
    const char *why = rpc_guard_verdict(gone->fd, gone->serial);
    if (!why)
        return;
    l->refused(l->context, RPC_REFUSED_LIMIT, &gone->peer, why);
    if (gone->peer.pid <= 0)
        return;
    l->last_penalty = (l->last_penalty + 1) % PENALTIES;
    l->penalties[l->last_penalty] =
        (struct penalty){gone->peer.pid, clock_monotonic_ns() + PENALTY_MS * INT64_C(1000000)};
}

static bool is_punished(const struct rpc_listener *l, int32_t pid)
{
    int64_t now = clock_monotonic_ns();
    for (size_t i = 0; i < PENALTIES; i++)
        if (l->penalties[i].pid == pid && l->penalties[i].until_ns > now)
            return true;
    return false;
}

static void connection_gone(struct rpc_listener *l, uint32_t index)
{
    struct connection *gone = &l->connections[index];
    if (gone->watch_fd < 0)
        return;
    /* Leaves the epoll set by itself only with the last duplicate, which gRPC still has. */
    (void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, gone->watch_fd, NULL);
    punish(l, gone);
    rpc_guard_stop(gone->fd, gone->serial);
    (void)close(gone->watch_fd);
    gone->watch_fd = -1;
    if (--l->n_connections == 0)
        look_from_now_on(l, false);
}

/* Takes the lowest free number at or after a point that moves on with each connection: gRPC names
 * peers by descriptor, and a number used again at once could lend a late call of the last
 * connection the next one's identity. */
static int spread(const struct rpc_listener *l, int fd)
{
    int from = FD_FIRST + (int)(l->last_connection % FD_SPAN);
    int moved = fcntl(fd, F_DUPFD_CLOEXEC, from);
    (void)close(fd);
    return moved;
}

/* Everything about a new connection that can fail, before gRPC sees it. */
static struct err track(struct rpc_listener *l, int fd, const struct rpc_peer *peer)
{
    uint32_t index = 0;
    while (l->connections[index].watch_fd >= 0)
        index++;
    AUTO_CLOSE int watch_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (watch_fd < 0)
        return err_errno(errno, "dup");
    TRY(watch(l, EPOLL_CTL_ADD, watch_fd, EPOLLRDHUP, index));
    uint64_t serial = rpc_guard_start(fd, watch_fd, peer->uid);
    l->connections[index] = (struct connection){take_fd(&watch_fd), fd, serial, *peer};
    if (l->n_connections++ == 0)
        look_from_now_on(l, true);
    return ERR_OK;
}

/* Makes room by ending the connection that has been idle longest, of a uid or of all: its client
 * connects again when it needs to. False: all have had a call lately. */
static bool end_an_idle_one(struct rpc_listener *l, const uint32_t *uid)
{
    int64_t longest = RPC_IDLE_MS * INT64_C(1000000);
    uint32_t found = RPC_CONNECTIONS_MAX;
    for (uint32_t i = 0; i < RPC_CONNECTIONS_MAX; i++) {
        const struct connection *c = &l->connections[i];
        if (c->watch_fd < 0 || (uid && c->peer.uid != *uid))
            continue;
        int64_t idle = rpc_guard_idle_ns(c->fd, c->serial);
        if (idle >= longest) {
            longest = idle;
            found = i;
        }
    }
    if (found == RPC_CONNECTIONS_MAX)
        return false;
    (void)shutdown(l->connections[found].watch_fd, SHUT_RDWR);
    connection_gone(l, found);
    return true;
}

/* False, with the reason, when the peer is to be refused. */
static bool may_connect(struct rpc_listener *l, int fd, const struct rpc_peer *peer,
                        enum rpc_refusal *ret_why)
{
    if (!rpc_access_allows(&l->access, fd, peer))
        *ret_why = RPC_REFUSED_ACCESS;
    else if (is_punished(l, peer->pid))
        *ret_why = RPC_REFUSED_AGAIN;
    else if (l->n_connections >= RPC_CONNECTIONS_MAX && !end_an_idle_one(l, NULL))
        *ret_why = RPC_REFUSED_TOTAL;
    else if (connections_of(l, peer->uid) >= RPC_CONNECTIONS_PER_UID &&
             !end_an_idle_one(l, &peer->uid))
        *ret_why = RPC_REFUSED_PER_UID;
    else
        return true;
    return false;
}

static void admit(struct rpc_listener *l, int accepted)
{
    AUTO_CLOSE int fd = accepted;
    struct rpc_peer peer = {0};
    enum rpc_refusal why = RPC_REFUSED_ACCESS;
    if (err_is(rpc_peer_of(fd, &peer)) || !may_connect(l, fd, &peer, &why)) {
        l->refused(l->context, why, &peer, NULL);
        return;
    }
    peer.connection = ++l->last_connection;
    fd = spread(l, take_fd(&fd));
    if (fd < 0 || err_is(track(l, fd, &peer))) {
        l->refused(l->context, RPC_REFUSED_DESCRIPTORS, &peer, NULL);
        return;
    }
    rpc_server_add_peer(l->server, take_fd(&fd), &peer);
}

static void accept_some(struct rpc_listener *l)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(l->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(l, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            back_off(l);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

void rpc_listener_ready(struct rpc_listener *listener)
{
    struct epoll_event events[EVENT_NUMBERS];
    bool waiting = false;
    int n = epoll_wait(listener->epoll_fd, events, EVENT_NUMBERS, 0);
    /* Who is gone first, so that the limits count only who is there. */
    for (int i = 0; i < n; i++) {
        if (events[i].data.u32 == ON_LISTEN)
            waiting = true;
        else if (events[i].data.u32 == ON_TIMER)
            resume(listener);
        else if (events[i].data.u32 == ON_LOOK)
            look_at_all(listener);
        else
            connection_gone(listener, events[i].data.u32);
    }
    if (waiting)
        accept_some(listener);
}

void rpc_listener_set_access(struct rpc_listener *listener, const struct rpc_access *access)
{
    listener->access = *access;
    for (size_t i = 0; i < RPC_CONNECTIONS_MAX; i++) {
        int fd = listener->connections[i].watch_fd;
        struct rpc_peer peer;
        if (fd < 0)
            continue;
        if (err_is(rpc_peer_of(fd, &peer)) || !rpc_access_allows(access, fd, &peer))
            (void)shutdown(fd, SHUT_RDWR); /* the next turn counts it down */
    }
}

size_t rpc_listener_connections(const struct rpc_listener *listener)
{
    return listener->n_connections;
}

void rpc_listener_free(struct rpc_listener *listener)
{
    if (!listener)
        return;
    for (uint32_t i = 0; i < RPC_CONNECTIONS_MAX; i++)
        connection_gone(listener, i);
    if (listener->timer_fd >= 0)
        (void)close(listener->timer_fd);
    if (listener->look_fd >= 0)
        (void)close(listener->look_fd);
    if (listener->epoll_fd >= 0)
        (void)close(listener->epoll_fd);
    free(listener);
}
