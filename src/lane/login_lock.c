/* SPDX-License-Identifier: Apache-2.0 */
#include "login_lock.h"

#include "cleanup.h"
#include "io.h"
#include "pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>

static struct err lock_path(const char *state_dir, char ret[static PATH_MAX])
{
    return path_join(state_dir, "pin.lock", ret, PATH_MAX);
}

struct err login_lock_take(const char *state_dir, int *ret)
{
    char path[PATH_MAX];
    TRY(lock_path(state_dir, path));
    AUTO_CLOSE int fd = -1;
    struct err e = pid_file_open(path, &fd);
    if (err_is(e)) {
        e.where = "open pin.lock";
        return e;
    }
    while (flock(fd, LOCK_EX) != 0)
        if (errno != EINTR)
            return err_errno(errno, "flock");
    pid_file_sign(fd);
    *ret = take_fd(&fd);
    return ERR_OK;
}

pid_t login_lock_holder(const char *state_dir)
{
    char path[PATH_MAX];
    if (err_is(lock_path(state_dir, path)))
        return 0;
    return pid_file_locked_by(path);
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
