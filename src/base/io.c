/* SPDX-License-Identifier: Apache-2.0 */
#include "io.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static struct err read_all(int fd, void *memory, size_t size, size_t *ret_len)
{
    size_t len = 0;
    for (;;) {
        uint8_t spare;
        bool filled = len == size;
        ssize_t got = read(fd, filled ? &spare : (uint8_t *)memory + len, filled ? 1 : size - len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return err_errno(errno, "read");
        if (got == 0)
            break;
        if (filled)
            return err_make(ERR_INVALID, "file larger than its limit");
        len += (size_t)got;
    }
    *ret_len = len;
    return ERR_OK;
}

struct err file_read(const char *path, void *memory, size_t size, size_t *ret_len)
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return err_errno(errno, "open");
    return read_all(fd, memory, size, ret_len);
}

static struct err write_all(int fd, struct bytes contents)
{
    while (contents.len > 0) {
        ssize_t put = write(fd, contents.data, contents.len);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return err_errno(put < 0 ? errno : EIO, "write");
        contents = bytes_of(contents.data + put, contents.len - (size_t)put);
    }
    return ERR_OK;
}

static struct err sync_directory_of(const char *path)
{
    char copy[PATH_MAX];
    if (!bytes_to_string(bytes_of_string(path), copy, sizeof copy))
        return err_make(ERR_INVALID, "path too long");
    AUTO_CLOSE int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_errno(errno, "open directory");
    if (fsync(fd) != 0)
        return err_errno(errno, "fsync directory");
    return ERR_OK;
}

static struct err write_synced(const char *path, struct bytes contents, mode_t mode)
{
    AUTO_CLOSE int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);
    if (fd < 0)
        return err_errno(errno, "open");
    if (fchmod(fd, mode) != 0)
        return err_errno(errno, "fchmod");
    TRY(write_all(fd, contents));
    if (fsync(fd) != 0)
        return err_errno(errno, "fsync");
    return ERR_OK;
}

struct err file_replace(const char *path, struct bytes contents, mode_t mode)
{
    char temporary[PATH_MAX];
    /* Two threads may replace the same file. */
    int len = snprintf(temporary, sizeof temporary, "%s.new.%d", path, (int)gettid());
    if (len < 0 || (size_t)len >= sizeof temporary)
        return err_make(ERR_INVALID, "path too long");
    struct err e = write_synced(temporary, contents, mode);
    if (!err_is(e) && rename(temporary, path) != 0)
        e = err_errno(errno, "rename");
    if (err_is(e)) {
        (void)unlink(temporary);
        return e;
    }
    return sync_directory_of(path);
}

struct err file_remove(const char *path)
{
    if (unlink(path) != 0)
        return errno == ENOENT ? ERR_OK : err_errno(errno, "unlink");
    return sync_directory_of(path);
}

struct err directory_make(const char *path, mode_t mode)
{
    struct stat st;
    if (mkdir(path, mode) == 0)
        return ERR_OK;
    if (errno != EEXIST)
        return err_errno(errno, "mkdir");
    if (stat(path, &st) != 0)
        return err_errno(errno, "stat");
    return S_ISDIR(st.st_mode) ? ERR_OK : err_errno(ENOTDIR, "mkdir");
}

struct err path_join(const char *directory, const char *name, char *ret, size_t size)
{
    char joined[PATH_MAX];
    int len = snprintf(joined, sizeof joined, "%s/%s", directory, name);
    if (len < 0 || (size_t)len >= sizeof joined || (size_t)len >= size)
        return err_make(ERR_INVALID, "path too long");
    memcpy(ret, joined, (size_t)len + 1);
    return ERR_OK;
}

struct err memfd_sealed(const char *name, struct bytes contents, int *ret_fd)
{
    AUTO_CLOSE int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return err_errno(errno, "memfd_create");
    TRY(write_all(fd, contents));
    if (lseek(fd, 0, SEEK_SET) != 0)
        return err_errno(errno, "lseek");
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) != 0)
        return err_errno(errno, "fcntl(F_ADD_SEALS)");
    *ret_fd = take_fd(&fd);
    return ERR_OK;
}

struct err memfd_read(int fd, void *memory, size_t size, size_t *ret_len)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & (F_SEAL_WRITE | F_SEAL_SHRINK)) != (F_SEAL_WRITE | F_SEAL_SHRINK))
        return err_make(ERR_DENIED, "memfd is not sealed");
    if (lseek(fd, 0, SEEK_SET) != 0)
        return err_errno(errno, "lseek");
    return read_all(fd, memory, size, ret_len);
}

struct err packet_pair(int ret_fds[static 2])
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return err_errno(errno, "socketpair");
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return ERR_OK;
}

union control {
    char room[CMSG_SPACE(sizeof(int) * PACKET_FDS_MAX)];
    struct cmsghdr align;
};

struct err packet_send(int fd, struct bytes packet, const int *fds, size_t n_fds)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)packet.data, .iov_len = packet.len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    union control control = {{0}};
    if (n_fds > PACKET_FDS_MAX)
        return err_make(ERR_INVALID, "packet_send");
    if (n_fds > 0) {
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);
    }
    ssize_t sent;
    do
        sent = sendmsg(fd, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return ERR_OK;
    if (errno == EPIPE || errno == ECONNRESET)
        return err_make(ERR_UNAVAILABLE, "peer closed");
    if (errno == EAGAIN)
        return err_make(ERR_EXHAUSTED, "socket full");
    return err_errno(errno, "sendmsg");
}

/* Moves the descriptors of a message to fds; false, with all of them closed, if too many. */
static bool take_descriptors(struct msghdr *message, int *fds, size_t max_fds, size_t *ret_n)
{
    size_t n = 0;
    bool fits = true;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h; h = CMSG_NXTHDR(message, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int received;
            memcpy(&received, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
            if (n < max_fds) {
                fds[n++] = received;
            } else {
                fits = false;
                (void)close(received);
            }
        }
    }
    if (!fits) {
        while (n > 0)
            (void)close(fds[--n]);
    }
    *ret_n = n;
    return fits;
}

struct err packet_receive(int fd, void *memory, size_t size, size_t *ret_len, int *fds,
                          size_t max_fds, size_t *ret_n_fds)
{
    struct iovec part = {.iov_base = memory, .iov_len = size};
    union control control;
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.room,
                             .msg_controllen = sizeof control.room};
    ssize_t got;
    size_t n_fds = 0;
    do
        got = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN)
        return err_make(ERR_DEADLINE, "nothing received");
    if (got < 0 && errno == ECONNRESET)
        return err_make(ERR_UNAVAILABLE, "peer closed");
    if (got < 0)
        return err_errno(errno, "recvmsg");
    bool fits = take_descriptors(&message, fds, max_fds, &n_fds);
    bool whole = fits && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (got == 0 || !whole) { /* an empty packet looks like the end, but may bring descriptors */
        while (n_fds > 0)
            (void)close(fds[--n_fds]);
        return whole ? err_make(ERR_UNAVAILABLE, "peer closed")
                     : err_make(ERR_INVALID, "packet too large");
    }
    *ret_len = (size_t)got;
    if (ret_n_fds)
        *ret_n_fds = n_fds;
    return ERR_OK;
}

struct err fd_wait_readable(int fd, int timeout_ms)
{
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    int ready;
    do
        ready = poll(&waiting, 1, timeout_ms);
    while (ready < 0 && errno == EINTR);
    if (ready < 0)
        return err_errno(errno, "poll");
    return ready == 0 ? err_make(ERR_DEADLINE, "poll") : ERR_OK;
}
