/* SPDX-License-Identifier: Apache-2.0 */
#include "child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

/* Every source is first moved out of the way of every target. */
void child_prepare(int *sources, size_t n, pid_t parent)
{
    int first_free = CHILD_FIRST_FD + (int)n;
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
        _exit(1);
    int null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0)
        _exit(1);
    for (size_t i = 0; i < n; i++)
        if ((sources[i] = fcntl(sources[i], F_DUPFD, first_free)) < 0)
            _exit(1);
    for (size_t i = 0; i < n; i++)
        if (dup2(sources[i], CHILD_FIRST_FD + (int)i) < 0)
            _exit(1);
    if (close_range((unsigned)first_free, ~0U, 0) != 0)
        _exit(1);
}
