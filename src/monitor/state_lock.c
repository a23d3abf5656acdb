/* SPDX-License-Identifier: Apache-2.0 */
#include "state_lock.h"

#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "pid_file.h"
#include "text.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <time.h>

enum { AGAIN_MS = 20 };

/* Sleeps until it is worth another try. False: we are told to stop. */
static bool may_try_again(void)
{
    const struct timespec pause = {.tv_nsec = AGAIN_MS * 1000000L};
    sigset_t stop;
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTERM);
    (void)sigaddset(&stop, SIGINT);
    return sigtimedwait(&stop, NULL, &pause) < 0;
}

static struct err wait_for(int fd, int wait_ms)
{
    int64_t until = clock_monotonic_ns() + wait_ms * INT64_C(1000000);
    bool told = false;
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR)
            return err_errno(errno, "flock");
        if (clock_monotonic_ns() >= until)
            return err_make(ERR_IN_USE, "stateDir");
        if (!told)
            log_event(LOG_PRI_INFO, "another p11-kmsd uses stateDir: waiting for its end",
                      LOG_N("pid", (uint64_t)pid_file_holder(fd)));
        told = true;
        if (!may_try_again())
            return err_make(ERR_CANCELLED, "stateDir");
    }
    return ERR_OK;
}

struct err state_lock_take(const char *state_dir, int wait_ms, int *ret, int *ret_holder)
{
    char path[PATH_MAX], text[128];
    TRY(path_join(state_dir, "daemon.lock", path, sizeof path));
    AUTO_CLOSE int fd = -1;
    struct err e = pid_file_open(path, &fd);
    if (!err_is(e))
        e = wait_for(fd, wait_ms);
    if (e.code == ERR_IN_USE || e.code == ERR_CANCELLED) {
        *ret_holder = pid_file_holder(fd);
        return e;
    }
    if (err_is(e)) {
        log_event(LOG_PRI_WARNING, "daemon.lock in stateDir cannot be taken",
                  LOG_S("error", err_format(e, text, sizeof text)));
        *ret = -1;
        return ERR_OK;
    }
    pid_file_sign(fd);
    *ret = take_fd(&fd);
    return ERR_OK;
}
