/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_fail.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { AT_ONCE = 8, AGAIN = 5, RUN_SECONDS = 60, CALLS_MAX = 1024, MISSED = 79, IO_SHARE = 8 };

static bool in_child;
static enum fail_kind wanted;
static atomic_bool counting;
static atomic_ulong count;
static unsigned long chosen; /* 0: none; set while nothing is counted */
static atomic_bool failed;
static _Thread_local bool exempted;
static unsigned long *recorded; /* how many calls the recording run made: shared with it */

bool fail_now(enum fail_kind kind)
{
    if (kind != wanted || !atomic_load(&counting) || exempted ||
        atomic_fetch_add(&count, 1) + 1 != chosen)
        return false;
    atomic_store(&failed, true);
    return true;
}

void alloc_begin(void)
{
    atomic_store(&failed, false);
    atomic_store(&count, 0);
    atomic_store(&counting, true);
}

void alloc_end(void)
{
    atomic_store(&counting, false);
}

bool alloc_failed(void)
{
    return atomic_load(&failed);
}

void alloc_exempt(bool exempt)
{
    exempted = exempt;
}

enum fail_kind alloc_kind(void)
{
    return wanted;
}

unsigned long alloc_chosen(void)
{
    return chosen;
}

void alloc_adopt(unsigned long new_count, bool new_failed)
{
    atomic_store(&count, new_count);
    atomic_store(&failed, new_failed);
}

/* In a process of its own: most of the time it waits for retries, and gRPC survives no fork. A
 * failed assertion takes cmocka on to the next test, in that process too, which ends there. */
static pid_t start_run(void (*run)(void), unsigned long which)
{
    (void)fflush(stdout);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    in_child = true;
    chosen = which;
    (void)alarm(RUN_SECONDS);
    run();
    if (which == 0)
        *recorded = atomic_load(&count);
    exit(which == 0 || alloc_failed() ? 0 : MISSED);
}

static unsigned long record(void (*run)(void))
{
    int status;
    unsigned long total;
    recorded =
        mmap(NULL, sizeof *recorded, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(recorded != MAP_FAILED);
    pid_t pid = start_run(run, 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    total = *recorded;
    assert_int_equal(munmap(recorded, sizeof *recorded), 0);
    assert_in_range(total, 1, CALLS_MAX);
    return total;
}

/* Waits for one of the runs, and marks it in missed if its call was not made. */
static bool await_run(const char *name, pid_t *pids, unsigned long total, bool *missed)
{
    int status;
    unsigned long which = 0;
    pid_t pid = wait(&status);
    assert_true(pid > 0);
    while (which < total && pids[which] != pid)
        which++;
    assert_true(which < total);
    pids[which] = 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == MISSED)
        missed[which] = true;
    else if (status != 0)
        print_error("%s: call %lu of %lu: status 0x%x\n", name, which + 1, total, (unsigned)status);
    return status == 0;
}

/* How many of the missed calls further runs miss too: which thread comes first decides whether the
 * last ones are made at all. */
static unsigned long try_again(const char *name, void (*run)(void), pid_t *pids,
                               unsigned long total, bool *missed, unsigned long *ret_good)
{
    unsigned long left = 0;
    for (unsigned long which = 1; which <= total; which++) {
        for (int i = 0; missed[which - 1] && i < AGAIN; i++) {
            missed[which - 1] = false;
            pids[which - 1] = start_run(run, which);
            *ret_good += await_run(name, pids, total, missed);
        }
        left += missed[which - 1];
    }
    return left;
}

static void sweep(const char *name, const char *what, void (*run)(void))
{
    pid_t pids[CALLS_MAX];
    bool missed[CALLS_MAX] = {false};
    unsigned long good = 0, running = 0;
    if (in_child)
        exit(1);
    unsigned long total = record(run);
    for (unsigned long which = 1; which <= total; which++) {
        pids[which - 1] = start_run(run, which);
        if (++running == AT_ONCE) {
            good += await_run(name, pids, total, missed);
            running--;
        }
    }
    for (; running > 0; running--)
        good += await_run(name, pids, total, missed);
    unsigned long left = try_again(name, run, pids, total, missed, &good);
    assert_int_equal(good + left, total);
    if (left > (wanted == FAIL_MEMORY ? 0 : total / IO_SHARE))
        fail_msg("%s: %lu of %lu %s were not made again", name, left, total, what);
    printf("figure: %s: %lu %s, %lu failed once each\n", name, total, what, good);
    (void)fflush(stdout);
}

void alloc_sweep(const char *name, void (*run)(void))
{
    wanted = FAIL_MEMORY;
    sweep(name, "allocations", run);
}

void io_sweep_kind(const char *name, enum fail_kind kind, void (*run)(void))
{
    static const char *const kinds[] = {[FAIL_INTR] = "calls with EINTR",
                                        [FAIL_AGAIN] = "calls with EAGAIN",
                                        [FAIL_RESET] = "calls with EPIPE, ECONNRESET or EIO",
                                        [FAIL_SHORT] = "calls cut short",
                                        [FAIL_TRUNC] = "calls with a packet too long"};
    wanted = kind;
    sweep(name, kinds[kind], run);
}

void io_sweep(const char *name, void (*run)(void))
{
    for (enum fail_kind kind = FAIL_INTR; kind < FAIL_KINDS; kind++)
        io_sweep_kind(name, kind, run);
}
