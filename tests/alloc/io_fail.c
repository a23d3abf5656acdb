/* SPDX-License-Identifier: Apache-2.0 */
/* What the symbols of alloc_symbols are redefined to. */
#include "io_fail.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

void *alloc_fail_malloc(size_t size);
void *alloc_fail_calloc(size_t n, size_t size);
void *alloc_fail_realloc(void *old, size_t size);
void *alloc_fail_reallocarray(void *old, size_t n, size_t size);
char *alloc_fail_strdup(const char *text);
char *alloc_fail_strndup(const char *text, size_t n);
void *alloc_fail_secure_malloc(size_t size, const char *file, int line);
void *alloc_fail_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
ssize_t io_fail_recvmsg(int fd, struct msghdr *message, int flags);
ssize_t io_fail_sendmsg(int fd, const struct msghdr *message, int flags);
int io_fail_poll(struct pollfd *fds, nfds_t n, int timeout_ms);
int io_fail_epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms);
ssize_t io_fail_read(int fd, void *memory, size_t size);
ssize_t io_fail_write(int fd, const void *memory, size_t size);
int io_fail_fsync(int fd);

static bool no_memory(void)
{
    if (fail_now(FAIL_MEMORY)) {
        errno = ENOMEM;
        return true;
    }
    return false;
}

static bool with(enum fail_kind kind, int errnum)
{
    if (fail_now(kind)) {
        errno = errnum;
        return true;
    }
    return false;
}

void *alloc_fail_malloc(size_t size)
{
    return no_memory() ? NULL : malloc(size);
}

void *alloc_fail_calloc(size_t n, size_t size)
{
    return no_memory() ? NULL : calloc(n, size);
}

void *alloc_fail_realloc(void *old, size_t size)
{
    return no_memory() ? NULL : realloc(old, size);
}

void *alloc_fail_reallocarray(void *old, size_t n, size_t size)
{
    return no_memory() ? NULL : reallocarray(old, n, size);
}

char *alloc_fail_strdup(const char *text)
{
    return no_memory() ? NULL : strdup(text);
}

char *alloc_fail_strndup(const char *text, size_t n)
{
    return no_memory() ? NULL : strndup(text, n);
}

void *alloc_fail_secure_malloc(size_t size, const char *file, int line)
{
    return no_memory() ? NULL : CRYPTO_secure_malloc(size, file, line);
}

void *alloc_fail_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return no_memory() ? MAP_FAILED : mmap(at, size, protection, flags, fd, offset);
}

ssize_t io_fail_recvmsg(int fd, struct msghdr *message, int flags)
{
    if (with(FAIL_INTR, EINTR) || with(FAIL_AGAIN, EAGAIN) || with(FAIL_RESET, ECONNRESET))
        return -1;
    ssize_t got = recvmsg(fd, message, flags);
    if (got > 1 && fail_now(FAIL_SHORT))
        return got / 2;
    if (got > 1 && fail_now(FAIL_TRUNC))
        message->msg_flags |= MSG_TRUNC;
    return got;
}

ssize_t io_fail_sendmsg(int fd, const struct msghdr *message, int flags)
{
    if (with(FAIL_INTR, EINTR) || with(FAIL_AGAIN, EAGAIN) || with(FAIL_RESET, EPIPE))
        return -1;
    return sendmsg(fd, message, flags);
}

/* Only where something is ready, which the next call finds again: how often threads wait in vain
 * depends on the machine, and the calls could not be counted. */
int io_fail_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    int ready = poll(fds, n, timeout_ms);
    if (ready <= 0 || !with(FAIL_INTR, EINTR))
        return ready;
    for (nfds_t i = 0; i < n; i++)
        fds[i].revents = 0;
    return -1;
}

int io_fail_epoll_wait(int fd, struct epoll_event *events, int n, int timeout_ms)
{
    int ready = epoll_wait(fd, events, n, timeout_ms);
    return ready > 0 && with(FAIL_INTR, EINTR) ? -1 : ready;
}

ssize_t io_fail_read(int fd, void *memory, size_t size)
{
    if (with(FAIL_INTR, EINTR) || with(FAIL_RESET, EIO))
        return -1;
    return read(fd, memory, size > 1 && fail_now(FAIL_SHORT) ? 1 : size);
}

ssize_t io_fail_write(int fd, const void *memory, size_t size)
{
    if (with(FAIL_INTR, EINTR) || with(FAIL_RESET, EIO))
        return -1;
    return write(fd, memory, size > 1 && fail_now(FAIL_SHORT) ? 1 : size);
}

int io_fail_fsync(int fd)
{
    return with(FAIL_RESET, EIO) ? -1 : fsync(fd);
}
