/* SPDX-License-Identifier: Apache-2.0 */
#include "front_end_process.h"

#include "child.h"
#include "cleanup.h"
#include "control.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>

enum { SOURCES_MAX = 5 };

/* What tells where the PIN is, or speaks to systemd, is not the front end's business. */
static void forget_environment(void)
{
    static const char *const names[] = {
        "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS",  "LISTEN_PID",
        "LISTEN_FDNAMES",        "WATCHDOG_USEC", "WATCHDOG_PID"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
}

/* In the child. */
static _Noreturn void child_exec(const char *path, int *sources, size_t n, pid_t parent)
{
    _Static_assert((int)FRONT_END_CONTROL_FD == (int)CHILD_FIRST_FD &&
                       FRONT_END_CONFIG_FD == FRONT_END_CONTROL_FD + 1 &&
                       FRONT_END_LISTEN_FD == FRONT_END_CONFIG_FD + 1 &&
                       FRONT_END_ADMIN_FD == FRONT_END_LISTEN_FD + 1 &&
                       FRONT_END_HTTP_FD == FRONT_END_ADMIN_FD + 1,
                   "the order of the sources");
    char *const argv[] = {(char[]){"p11-kmsd"}, (char[]){FRONT_END_ARGUMENT}, NULL};
    child_prepare(sources, n, parent);
    forget_environment();
    (void)execv(path, argv);
    _exit(127);
}

struct err front_end_start(const char *path, const struct config *config,
                           const struct listeners *listeners, pid_t *ret_pid, int *ret_control)
{
    AUTO_CLOSE int memfd = -1;
    int pair[2];
    TRY(memfd_sealed("p11-kms-config", bytes_of(config, sizeof *config), &memfd));
    TRY(packet_pair(pair));
    AUTO_CLOSE int ours = pair[0];
    AUTO_CLOSE int theirs = pair[1];
    if (fcntl(ours, F_SETFL, O_NONBLOCK) != 0)
        return err_errno(errno, "fcntl");
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return err_errno(errno, "fork");
    if (pid == 0)
        child_exec(path,
                   (int[SOURCES_MAX]){theirs, memfd, listeners->kms.fd, listeners->admin.fd,
                                      listeners->http.fd},
                   listeners->http.fd >= 0 ? SOURCES_MAX : SOURCES_MAX - 1, parent);
    *ret_pid = pid;
    *ret_control = take_fd(&ours);
    return ERR_OK;
}
