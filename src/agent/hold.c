/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include "login_lock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <unistd.h>

/* The handler and the login may be on different threads. */
static atomic_bool holding, ends;

static void on_signal(int number)
{
    (void)number;
    atomic_store(&ends, true);
    if (!atomic_load(&holding))
        _exit(0);
    (void)alarm(LOGIN_PATIENCE_MS / 1000); /* the default of SIGALRM ends us */
}

/* Whoever started us has asked for SIGKILL at its death (child.c). Each thread has such a wish of
 * its own, so a lane's thread that logs in anew cannot soften the main thread's: it is the start,
 * with its slow first login, that is held. */
static void at_parents_death(int number)
{
    (void)prctl(PR_SET_PDEATHSIG, number);
}

void hold_begin(void)
{
    atomic_store(&holding, true);
    at_parents_death(SIGTERM);
    if (atomic_load(&ends)) /* between its handler's two steps: the token has not been asked yet */
        _exit(0);
}

void hold_end(void)
{
    at_parents_death(SIGKILL);
    atomic_store(&holding, false);
    if (atomic_load(&ends))
        _exit(0);
}

struct err hold_start(void)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) != 0)
            return err_errno(errno, "sigaction");
    return ERR_OK;
}
