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

static struct guarded {
    pthread_mutex_t lock; /* guards the meter; gRPC reads and writes on several threads */
    atomic_bool counts;
    struct frame_meter meter;
} guarded[RPC_GUARD_FDS];

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

void rpc_guard_start(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, init_locks);
    if (fd < 0 || fd >= RPC_GUARD_FDS)
        return;
    struct guarded *g = &guarded[fd];
    (void)pthread_mutex_lock(&g->lock);
    frame_meter_start(&g->meter, clock_monotonic_ns());
    (void)pthread_mutex_unlock(&g->lock);
    atomic_store(&g->counts, true);
}

void rpc_guard_stop(int fd)
{
    if (fd >= 0 && fd < RPC_GUARD_FDS)
        atomic_store(&guarded[fd].counts, false);
}

const char *rpc_guard_verdict(int fd)
{
    struct guarded *g = find(fd);
    if (!g)
        return NULL;
    (void)pthread_mutex_lock(&g->lock);
    const char *wrong = g->meter.wrong;
    (void)pthread_mutex_unlock(&g->lock);
    return wrong;
}

int64_t rpc_guard_idle_ns(int fd)
{
    struct guarded *g = find(fd);
    if (!g)
        return 0;
    (void)pthread_mutex_lock(&g->lock);
    int64_t idle = g->meter.open > 0 ? 0 : clock_monotonic_ns() - g->meter.last_call_ns;
    (void)pthread_mutex_unlock(&g->lock);
    return idle;
}

static bool count_received(struct guarded *g, const struct msghdr *message, size_t len)
{
    bool fine = true;
    int64_t now = clock_monotonic_ns();
    (void)pthread_mutex_lock(&g->lock);
    for (size_t i = 0; i < message->msg_iovlen && len > 0; i++) {
        const struct iovec *part = &message->msg_iov[i];
        size_t n = part->iov_len < len ? part->iov_len : len;
        fine = frame_meter_received(&g->meter, bytes_of(part->iov_base, n), now) && fine;
        len -= n;
    }
    (void)pthread_mutex_unlock(&g->lock);
    return fine;
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
    (void)pthread_mutex_unlock(&g->lock);
}

/* gRPC closes a descriptor a moment before we know: our own packets, which always come with
 * MSG_CMSG_CLOEXEC, may be read from its number by then.
 *
 * What has broken a limit is not handed to gRPC, which ends the connection by itself then. */
__attribute__((visibility("default"))) ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
    ssize_t got = syscall(SYS_recvmsg, fd, message, flags);
    struct guarded *g = got > 0 && !(flags & (MSG_PEEK | MSG_CMSG_CLOEXEC)) ? find(fd) : NULL;
    if (!g || count_received(g, message, (size_t)got))
        return got;
    (void)shutdown(fd, SHUT_RDWR);
    errno = ECONNRESET;
    return -1;
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
