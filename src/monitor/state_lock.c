/* SPDX-License-Identifier: Apache-2.0 */
#include "state_lock.h"

#include "cleanup.h"
#include "io.h"
#include "log.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <time.h>

enum { AGAIN_MS = 20 };

static int holder_of(int fd)
{
    char text[24];
    uint64_t pid;
    ssize_t got = pread(fd, text, sizeof text - 1, 0);
    text[got > 0 ? got : 0] = '\0';
    return err_is(parse_u64(text, 1, INT_MAX, &pid)) ? 0 : (int)pid;
}

static void write_holder(int fd)
{
    char text[24];
    int len = snprintf(text, sizeof text, "%d", (int)getpid());
    /* Only the message of a second daemon would miss it. */
    if (ftruncate(fd, 0) != 0 || pwrite(fd, text, (size_t)len, 0) != len)
        return;
}

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
                      LOG_N("pid", (uint64_t)holder_of(fd)));
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
    AUTO_CLOSE int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    struct err e = fd < 0 ? err_errno(errno, "open") : wait_for(fd, wait_ms);
    if (e.code == ERR_IN_USE || e.code == ERR_CANCELLED) {
        *ret_holder = holder_of(fd);
        return e;
    }
    if (err_is(e)) {
        log_event(LOG_PRI_WARNING, "daemon.lock in stateDir cannot be taken",
                  LOG_S("error", err_format(e, text, sizeof text)));
        *ret = -1;
        return ERR_OK;
    }
    write_holder(fd);
    *ret = take_fd(&fd);
    return ERR_OK;
}
