/* SPDX-License-Identifier: Apache-2.0 */
#include "login_lock.h"

#include "cleanup.h"
#include "io.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>

enum { PID_TEXT = 16 };

static struct err lock_path(const char *state_dir, char ret[static PATH_MAX])
{
    return path_join(state_dir, "pin.lock", ret, PATH_MAX);
}

/* Not fcntl's locks: the kernel's search for deadlocks takes a module's locks for ours. A number
 * that cannot be written is one that nobody reads. */
static void sign(int fd)
{
    char text[PID_TEXT];
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        (void)ftruncate(fd, 0);
}

struct err login_lock_take(const char *state_dir, int *ret)
{
    char path[PATH_MAX];
    TRY(lock_path(state_dir, path));
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return err_errno(errno, "open pin.lock");
    while (flock(fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return err_errno(errno, "flock");
    sign(fd);
    *ret = take_fd(&fd);
    return ERR_OK;
}

pid_t login_lock_holder(const char *state_dir)
{
    char path[PATH_MAX], text[PID_TEXT];
    uint64_t pid;
    if (err_is(lock_path(state_dir, path)))
        return 0;
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || flock(fd, LOCK_SH | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return 0;
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return err_is(parse_u64(text, 1, INT_MAX, &pid)) ? 0 : (pid_t)pid;
}

struct err lane_hello_patiently(int fd, int timeout_ms, const char *state_dir, void *memory,
                                size_t size, struct lane_reply *ret)
{
    struct err e;
    int waited = 0;
    do {
        e = lane_hello(fd, timeout_ms, memory, size, ret);
        waited += timeout_ms;
    } while (e.code == ERR_DEADLINE && waited < LOGIN_PATIENCE_MS &&
             login_lock_holder(state_dir) != 0);
    return e;
}
