/* SPDX-License-Identifier: Apache-2.0 */
#include "listener.h"

#include "cleanup.h"
#include "pid_file.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>
#include <time.h>

#define NO_GROUP ((gid_t)-1)

enum { BACKLOG = 128, LOCK_TRIES = 16, DYING_MS = 2000, DYING_TRIES = 100 };

static struct err fail(struct listen_error *error, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static struct err fail(struct listen_error *error, enum err_code code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return err_make(code, "socket");
}

static struct err fail_call(struct listen_error *error, const char *what, const char *path)
{
    return fail(error, ERR_CONFIG, "%s: cannot %s %s: %s", error->key, what, path, strerror(errno));
}

static struct err in_use(struct listen_error *error, const char *path, pid_t pid)
{
    char who[32] = "";
    if (pid > 0)
        (void)snprintf(who, sizeof who, " (pid %d)", (int)pid);
    return fail(error, ERR_IN_USE, "%s %s is in use by another process%s", error->key, path, who);
}

static struct err find_group(const char *name, gid_t *ret, struct listen_error *error)
{
    uint64_t number;
    if (!name[0]) {
        *ret = NO_GROUP;
        return ERR_OK;
    }
    errno = 0;
    const struct group *group = getgrnam(name);
    if (group)
        *ret = group->gr_gid;
    else if (!err_is(parse_u64(name, 0, UINT32_MAX - 1, &number)))
        *ret = (gid_t)number;
    else
        return fail(error, ERR_CONFIG, "socketGroup: there is no group %s", name);
    return ERR_OK;
}

/* Only the last component, and only if it is missing: the rest is the administrator's. */
static struct err make_directory(const char *path, gid_t group, struct listen_error *error)
{
    char directory[SOCKET_PATH_MAX + 1];
    (void)snprintf(directory, sizeof directory, "%s", path);
    *strrchr(directory, '/') = '\0';
    if (!directory[0])
        return ERR_OK;
    if (mkdir(directory, 0700) != 0)
        return errno == EEXIST ? ERR_OK : fail_call(error, "make the directory", directory);
    if (group == NO_GROUP)
        return ERR_OK;
    if (chown(directory, (uid_t)-1, group) != 0 || chmod(directory, 0750) != 0)
        return fail_call(error, "give to socketGroup the directory", directory);
    return ERR_OK;
}

static void lock_path_of(const char *path, char ret[static SOCKET_PATH_MAX + 8])
{
    (void)snprintf(ret, SOCKET_PATH_MAX + 8, "%s.lock", path);
}

/* Whether the open file is still the one at path: its last holder may have removed it. */
static bool still_there(int fd, const char *path)
{
    struct stat open_file, named;
    return fstat(fd, &open_file) == 0 && lstat(path, &named) == 0 &&
           open_file.st_dev == named.st_dev && open_file.st_ino == named.st_ino;
}

static struct err take_lock(const char *path, int *ret, struct listen_error *error)
{
    char lock_path[SOCKET_PATH_MAX + 8];
    lock_path_of(path, lock_path);
    for (int i = 0; i < LOCK_TRIES; i++) {
        AUTO_CLOSE int fd = -1;
        if (err_is(pid_file_open(lock_path, &fd)))
            return fail_call(error, "open", lock_path);
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            return in_use(error, path, pid_file_holder(fd));
        if (!still_there(fd, lock_path))
            continue;
        pid_file_sign(fd);
        *ret = take_fd(&fd);
        return ERR_OK;
    }
    return in_use(error, path, 0);
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

/* ERR_OK when nobody answers, so that what is there may be removed. ret_pid: who made the socket
 * that answers; 0: not known. */
static struct err ask_socket(const char *path, pid_t *ret_pid, struct listen_error *error)
{
    struct sockaddr_un address = address_of(path);
    struct ucred peer = {.pid = 0};
    socklen_t size = sizeof peer;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_call(error, "make a socket for", path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) != 0)
        return errno == ECONNREFUSED || errno == ENOENT ? ERR_OK : in_use(error, path, 0);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0)
        peer.pid = 0;
    *ret_pid = peer.pid;
    return in_use(error, path, peer.pid);
}

/* A monitor that was killed takes its front end along, but not in the same instant. */
static struct err refuse_if_served(const char *path, struct listen_error *error)
{
    const struct timespec pause = {.tv_nsec = DYING_MS / DYING_TRIES * 1000000L};
    struct err e = ERR_OK;
    for (int i = 0; i < DYING_TRIES; i++) {
        pid_t maker = 0;
        e = ask_socket(path, &maker, error);
        if (!err_is(e) || maker <= 0 || kill(maker, 0) == 0 || errno != ESRCH)
            return e;
        (void)nanosleep(&pause, NULL);
    }
    return e;
}

static struct err clear_path(const char *path, struct listen_error *error)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? ERR_OK : fail_call(error, "look at", path);
    if (!S_ISSOCK(st.st_mode))
        return fail(error, ERR_CONFIG,
                    "%s: %s exists and is no socket; remove it or choose another path", error->key,
                    path);
    TRY(refuse_if_served(path, error));
    return unlink(path) == 0 || errno == ENOENT ? ERR_OK : fail_call(error, "remove", path);
}

static struct err bind_tightly(int fd, const char *path, struct listen_error *error)
{
    struct sockaddr_un address = address_of(path);
    mode_t before = umask(0177);
    int bound = bind(fd, (const struct sockaddr *)&address, sizeof address);
    int why = errno;
    (void)umask(before);
    errno = why;
    return bound == 0 ? ERR_OK : fail_call(error, "bind", path);
}

static struct err open_to_group_and_listen(int fd, const char *path, gid_t group,
                                           struct listen_error *error)
{
    if (group != NO_GROUP && (chown(path, (uid_t)-1, group) != 0 || chmod(path, 0660) != 0))
        return fail_call(error, "give to socketGroup", path);
    return listen(fd, BACKLOG) == 0 ? ERR_OK : fail_call(error, "listen on", path);
}

/* The mode is right before the first client can connect: bind under a tight umask, then group and
 * mode, then listen. */
static struct err bind_at(struct listener *listener, gid_t group, struct listen_error *error)
{
    struct stat st;
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_call(error, "make a socket for", listener->path);
    TRY(bind_tightly(fd, listener->path, error));
    if (lstat(listener->path, &st) != 0)
        return fail_call(error, "look at", listener->path);
    listener->device = st.st_dev;
    listener->inode = st.st_ino;
    listener->fd = take_fd(&fd); /* from here on listener_close removes the file */
    return open_to_group_and_listen(listener->fd, listener->path, group, error);
}

struct err listener_open(const struct socket_wish *wish, struct listener *ret,
                         struct listen_error *ret_error)
{
    struct listener listener = {.fd = -1, .lock = -1};
    gid_t group = NO_GROUP;
    ret_error->key = wish->key;
    (void)snprintf(listener.path, sizeof listener.path, "%s", wish->path);
    TRY(find_group(wish->group, &group, ret_error));
    TRY(make_directory(wish->path, group, ret_error));
    TRY(take_lock(wish->path, &listener.lock, ret_error));
    struct err e = clear_path(wish->path, ret_error);
    if (!err_is(e))
        e = bind_at(&listener, group, ret_error);
    if (err_is(e))
        listener_close(&listener);
    else
        *ret = listener;
    return e;
}

struct err listener_inherit(const struct socket_wish *wish, int fd, struct listener *ret,
                            struct listen_error *ret_error)
{
    struct listener listener = {.fd = fd, .lock = -1, .inherited = true};
    ret_error->key = wish->key;
    if (sd_is_socket_unix(fd, SOCK_STREAM, 1, wish->path, 0) <= 0)
        return fail(ret_error, ERR_CONFIG,
                    "%s: systemd passed another socket than a listening stream socket at %s; make "
                    "ListenStream= and %s: agree",
                    wish->key, wish->path, wish->key);
    (void)snprintf(listener.path, sizeof listener.path, "%s", wish->path);
    *ret = listener;
    return ERR_OK;
}

static bool still_ours(const struct listener *listener)
{
    struct stat st;
    return listener->fd >= 0 && !listener->inherited && lstat(listener->path, &st) == 0 &&
           st.st_dev == listener->device && st.st_ino == listener->inode;
}

void listener_close(struct listener *listener)
{
    char lock_path[SOCKET_PATH_MAX + 8];
    if (still_ours(listener))
        (void)unlink(listener->path);
    if (listener->fd >= 0)
        (void)close(listener->fd);
    if (listener->lock >= 0) {
        lock_path_of(listener->path, lock_path);
        if (still_there(listener->lock, lock_path))
            (void)unlink(lock_path);
        (void)close(listener->lock);
    }
    listener->fd = listener->lock = -1;
}
