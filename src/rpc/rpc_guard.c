/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_guard.h"

#include "frame_meter.h"
#include "text.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* Calls of connections that were ended lately. gRPC frees them one by one, after it has read
     * from all others that have sent something: their memory may be there until then. */
    ENDED_MAX = 1024,
    ENDED_MS = 1000,
    FEW = 16 /* a connection with so many calls is not ended for that */
};

static struct guarded {
    pthread_mutex_t lock; /* guards the rest; gRPC reads and writes on several threads */
    struct frame_meter meter;
    uint64_t serial; /* of the connection */
    atomic_int_fast64_t ended_ns;
    int watch_fd;
    atomic_uint uid;
    atomic_uint open;  /* its part of open_calls */
    atomic_uint ended; /* calls that it had when it was ended */
    atomic_bool counts;
    atomic_bool cut; /* ended, and gRPC has not noticed */
} guarded[RPC_GUARD_FDS];

static atomic_uint open_calls;
static atomic_int_fast64_t last_ended_ns;

static struct guarded *find(int fd)
{
    if (fd < 0 || fd >= RPC_GUARD_FDS || !atomic_load(&guarded[fd].counts))
        return NULL;
    return &guarded[fd];
}

static void init_locks(void)
{
    for (size_t i = 0; i < RPC_GUARD_FDS; i++)
        (void)pthread_mutex_init(&guarded[i].lock, NULL);
}

/* NULL: it is another connection's by now, or nobody's. */
static struct guarded *find_and_lock(int fd, uint64_t serial)
{
    struct guarded *g = find(fd);
    if (!g)
        return NULL;
    (void)pthread_mutex_lock(&g->lock);
    if (g->serial == serial)
        return g;
    (void)pthread_mutex_unlock(&g->lock);
    return NULL;
}

/* What was ended has no part any more. */
static void settle_locked(struct guarded *g)
{
    unsigned open = atomic_load(&g->counts) && !g->meter.wrong ? g->meter.open : 0;
    atomic_fetch_add(&open_calls, open - atomic_exchange(&g->open, open));
}

uint64_t rpc_guard_start(int fd, int watch_fd, uint32_t uid)
{
    static atomic_uint_fast64_t last_serial;
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_locks);
    uint64_t serial = atomic_fetch_add(&last_serial, 1) + 1;
    if (fd < 0 || fd >= RPC_GUARD_FDS)
        return serial;
    struct guarded *g = &guarded[fd];
    (void)pthread_mutex_lock(&g->lock);
    frame_meter_start(&g->meter, clock_monotonic_ns());
    g->watch_fd = watch_fd;
    g->serial = serial;
    atomic_store(&g->uid, uid);
    atomic_store(&g->cut, false);
    atomic_store(&g->ended, 0);
    atomic_store(&g->counts, true);
    settle_locked(g);
    (void)pthread_mutex_unlock(&g->lock);
    return serial;
}

void rpc_guard_stop(int fd, uint64_t serial)
{
    struct guarded *g = find_and_lock(fd, serial);
    if (!g)
        return;
    atomic_store(&g->counts, false);
    settle_locked(g);
    (void)pthread_mutex_unlock(&g->lock);
}

const char *rpc_guard_verdict(int fd, uint64_t serial)
{
    struct guarded *g = find_and_lock(fd, serial);
    if (!g)
        return NULL;
    const char *wrong = g->meter.wrong;
    (void)pthread_mutex_unlock(&g->lock);
    return wrong;
}

int64_t rpc_guard_idle_ns(int fd, uint64_t serial)
{
    struct guarded *g = find_and_lock(fd, serial);
    if (!g)
        return 0;
    int64_t idle = g->meter.open > 0 ? 0 : clock_monotonic_ns() - g->meter.last_call_ns;
    (void)pthread_mutex_unlock(&g->lock);
    return idle;
}

/* gRPC sees the end of the connection, and so does who watches it. */
static void end_locked(struct guarded *g, const char *why)
{
    if (!g->meter.wrong)
        g->meter.wrong = why;
    (void)shutdown(g->watch_fd, SHUT_RDWR);
    atomic_store(&g->cut, true);
    settle_locked(g);
}

void rpc_guard_look(int fd, uint64_t serial)
{
    struct guarded *g = find_and_lock(fd, serial);
    if (!g)
        return;
    if (!frame_meter_look(&g->meter))
        end_locked(g, g->meter.wrong);
    (void)pthread_mutex_unlock(&g->lock);
}

/* --- calls of all connections ------------------------------------------------------------ */

static unsigned open_calls_of(unsigned uid)
{
    unsigned n = 0;
    for (size_t i = 0; i < RPC_GUARD_FDS; i++)
        if (atomic_load(&guarded[i].uid) == uid)
            n += atomic_load(&guarded[i].open);
    return n;
}

/* Of the user with the most open calls the connection with the most; NULL: there are none. */
static struct guarded *find_greatest(void)
{
    struct guarded *greatest = NULL;
    unsigned most = 0; /* calls of its user */
    for (struct guarded *g = guarded; g < guarded + RPC_GUARD_FDS; g++) {
        if (atomic_load(&g->open) == 0)
            continue;
        unsigned uid = atomic_load(&g->uid);
        bool same = greatest && atomic_load(&greatest->uid) == uid;
        unsigned calls = same ? most : open_calls_of(uid);
        if (same ? atomic_load(&g->open) > atomic_load(&greatest->open) : calls > most) {
            greatest = g;
            most = calls;
        }
    }
    return greatest;
}

static bool is_recent(int64_t ns)
{
    return ns > 0 && clock_monotonic_ns() - ns < ENDED_MS * INT64_C(1000000);
}

static unsigned calls_ended_lately(unsigned uid)
{
    unsigned n = 0;
    for (size_t i = 0; i < RPC_GUARD_FDS; i++)
        if (atomic_load(&guarded[i].uid) == uid && is_recent(atomic_load(&guarded[i].ended_ns)))
            n += atomic_load(&guarded[i].ended);
    return n;
}

/* Whom to end now that one has sent something; NULL: nobody. Where much of its user was ended
 * lately, it may not fill the room again at once. */
static struct guarded *choose(struct guarded *sender)
{
    if (atomic_load(&sender->open) > FEW &&
        calls_ended_lately(atomic_load(&sender->uid)) >= ENDED_MAX)
        return sender;
    return atomic_load(&open_calls) > RPC_GUARD_OPEN_MAX ? find_greatest() : NULL;
}

static void note_end_locked(struct guarded *g)
{
    int64_t now = clock_monotonic_ns();
    atomic_store(&g->ended, atomic_load(&g->open));
    atomic_store(&g->ended_ns, now);
    atomic_store(&last_ended_ns, now);
}

/* One thread at a time, so that two do not end two where one would do. */
static void end_one(struct guarded *sender)
{
    static pthread_mutex_t ending = PTHREAD_MUTEX_INITIALIZER;
    (void)pthread_mutex_lock(&ending);
    struct guarded *g = choose(sender);
    if (g) {
        (void)pthread_mutex_lock(&g->lock);
        if (atomic_load(&g->open) > 0) {
            note_end_locked(g);
            end_locked(g, "its user has too many calls open");
        }
        (void)pthread_mutex_unlock(&g->lock);
    }
    (void)pthread_mutex_unlock(&ending);
}

/* --- what passes ------------------------------------------------------------------------- */

static bool is_wrong(struct guarded *g)
{
    (void)pthread_mutex_lock(&g->lock);
    bool wrong = g->meter.wrong != NULL;
    (void)pthread_mutex_unlock(&g->lock);
    return wrong;
}

static bool count_received(struct guarded *g, const struct msghdr *message, size_t len)
{
    int64_t now = clock_monotonic_ns();
    (void)pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < message->msg_iovlen && len > 0; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t n = part->iov_len < len ? part->iov_len : len;
        (void)frame_meter_received(&g->meter, bytes_of(part->iov_base, n), now);
        len -= n;
    }
    settle_locked(g);
    bool wrong = g->meter.wrong != NULL;
    (void)pthread_mutex_unlock(&g->lock);
    if (wrong ||
        (atomic_load(&open_calls) <= RPC_GUARD_OPEN_MAX && !is_recent(atomic_load(&last_ended_ns))))
        return !wrong;
    end_one(g);
    return !is_wrong(g);
}

static void count_sent(struct guarded *g, const struct msghdr *message, size_t len)
{
    (void)pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < message->msg_iovlen && len > 0; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t n = part->iov_len < len ? part->iov_len : len;
        frame_meter_sent(&g->meter, bytes_of(part->iov_base, n));
        len -= n;
    }
    settle_locked(g);
    (void)pthread_mutex_unlock(&g->lock);
}

/* gRPC closes a descriptor a moment before we know: our own packets, which always come with
 * MSG_CMSG_CLOEXEC, may be read from its number by then.
 *
 * What has broken a limit is not handed to gRPC, which ends the connection by itself then. Nor is
 * what was still to be read of one that was ended, whether it is still counted or not. */
static ssize_t refuse(struct guarded *g, int fd)
{
    atomic_store(&g->cut, false);
    (void)shutdown(fd, SHUT_RDWR);
    errno = ECONNRESET;
    return -1;
}

__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    bool ours = fd >= 0 && fd < RPC_GUARD_FDS && !(flags & (MSG_PEEK | MSG_CMSG_CLOEXEC));
    if (ours && atomic_load(&guarded[fd].cut))
        return refuse(&guarded[fd], fd);
    ssize_t got = syscall(SYS_recvmsg, fd, message, flags);
    struct guarded *g = got > 0 && ours ? find(fd) : NULL;
    if (!g || count_received(g, message, (size_t)got))
        return got;
    return refuse(g, fd);
}

__attribute__((visibility("default"))) ssize_t sendmsg(int fd, const struct msghdr *message,
                                                       int flags)
{
    ssize_t sent = syscall(SYS_sendmsg, fd, message, flags);
    struct guarded *g = sent > 0 ? find(fd) : NULL;
    if (g)
        count_sent(g, message, (size_t)sent);
    return sent;
}
