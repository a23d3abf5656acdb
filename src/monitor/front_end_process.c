/* SPDX-License-Identifier: Apache-2.0 */
#include "front_end_process.h"

#include "cleanup.h"
#include "control.h"
#include "io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

enum { FIRST_FREE_FD = FRONT_END_LISTEN_FD + 1, N_SOURCES = 3 };

/* What tells where the PIN is, or speaks to systemd, is not the front end's business. */
static void forget_environment(void)
{
    static const char *const names[] = {"CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "LISTEN_FDS",
                                        "LISTEN_PID", "LISTEN_FDNAMES"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)unsetenv(names[i]);
}

/* In the child. Every source is first moved out of the way of every target. */
static _Noreturn void child_exec(const char *path, int sources[static N_SOURCES], pid_t parent)
{
    static const int targets[N_SOURCES] = {FRONT_END_CONTROL_FD, FRONT_END_CONFIG_FD,
                                           FRONT_END_LISTEN_FD};
    char *const argv[] = {(char[]){"p11-kmsd"}, (char[]){FRONT_END_ARGUMENT}, NULL};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0)
        _exit(1);
    for (int i = 0; i < N_SOURCES; i++)
        if ((sources[i] = fcntl(sources[i], F_DUPFD, FIRST_FREE_FD)) < 0)
            _exit(1);
    for (int i = 0; i < N_SOURCES; i++)
        if (dup2(sources[i], targets[i]) < 0)
            _exit(1);
    if (close_range(FIRST_FREE_FD, ~0U, 0) != 0)
        _exit(1);
    forget_environment();
    (void)execv(path, argv);
    _exit(127);
}

struct err front_end_start(const char *path, const struct config *config, int listen_fd,
                           pid_t *ret_pid, int *ret_control)
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
        child_exec(path, (int[N_SOURCES]){theirs, memfd, listen_fd}, parent);
    *ret_pid = pid;
    *ret_control = take_fd(&ours);
    return ERR_OK;
}
