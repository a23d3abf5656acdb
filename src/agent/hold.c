/* SPDX-License-Identifier: Apache-2.0 */
#include "hold.h"

#include "agent_process.h"
#include "login_lock.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NOT_YET = -1 };

/* Whoever ends us and the login may be on different threads. Each writes its own of the two first
 * and then reads the other's, so one of them sees that the other is there. */
static atomic_bool holding;
static atomic_int ends = NOT_YET; /* the exit code of the first who wants it */
static uint32_t n_lanes;

static void end_with(int code)
{
    int expected = NOT_YET;
    (void)atomic_compare_exchange_strong(&ends, &expected, code);
}

static void end_if_wanted(void)
{
    int code = atomic_load(&ends);
    if (code != NOT_YET)
        _exit(code);
}

static void on_signal(int number)
{
    (void)number;
    end_with(0);
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
    end_if_wanted(); /* the token has not been asked yet */
}

void hold_end(void)
{
    at_parents_death(SIGKILL);
    atomic_store(&holding, false);
    end_if_wanted();
}

/* As the end of the process would: who asks us hears at once that no answer comes, and who serves
 * another lane serves it no more. */
static void end_lanes(void)
{
    for (uint32_t i = 0; i < n_lanes; i++)
        (void)shutdown(AGENT_FIRST_LANE_FD + (int)i, SHUT_RDWR);
}

_Noreturn void hold_exit(int code)
{
    end_with(code);
    if (!atomic_load(&holding))
        _exit(code);
    end_lanes();
    /* hold_end ends us. No alarm: its signal may be a module's own. */
    for (unsigned left = LOGIN_PATIENCE_MS / 1000; left > 0;)
        left = sleep(left);
    _exit(code);
}

struct err hold_start(uint32_t lanes)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    n_lanes = lanes;
    (void)sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (sigaction(signals[i], &action, NULL) != 0)
            return err_errno(errno, "sigaction");
    return ERR_OK;
}
