/* SPDX-License-Identifier: Apache-2.0 */
#include "alloc_fail.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What the redefined symbols of our libraries call. */
void *alloc_fail_malloc(size_t size);
void *alloc_fail_calloc(size_t n, size_t size);
void *alloc_fail_realloc(void *old, size_t size);
void *alloc_fail_reallocarray(void *old, size_t n, size_t size);
char *alloc_fail_strdup(const char *text);
char *alloc_fail_strndup(const char *text, size_t n);
void *alloc_fail_secure_malloc(size_t size, const char *file, int line);

enum { AT_ONCE = 8, RUN_SECONDS = 60 };

static bool in_child;
static atomic_bool counting;
static atomic_ulong count;
static unsigned long chosen; /* 0: none; set while nothing is counted */
static atomic_bool failed;
static _Thread_local bool exempted;

static bool fails(void)
{
    if (!atomic_load(&counting) || exempted || atomic_fetch_add(&count, 1) + 1 != chosen)
        return false;
    atomic_store(&failed, true);
    errno = ENOMEM;
    return true;
}

void *alloc_fail_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *alloc_fail_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

void *alloc_fail_realloc(void *old, size_t size)
{
    return fails() ? NULL : realloc(old, size);
}

void *alloc_fail_reallocarray(void *old, size_t n, size_t size)
{
    return fails() ? NULL : reallocarray(old, n, size);
}

char *alloc_fail_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

char *alloc_fail_strndup(const char *text, size_t n)
{
    return fails() ? NULL : strndup(text, n);
}

void *alloc_fail_secure_malloc(size_t size, const char *file, int line)
{
    return fails() ? NULL : CRYPTO_secure_malloc(size, file, line);
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

/* In a process of its own: most of the time it waits for retries. A failed assertion takes cmocka
 * on to the next test, in that process too, which ends there. */
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
    if (!alloc_failed())
        fail_msg("allocation %lu was not made", which);
    exit(0);
}

static bool await_run(const char *name, unsigned long total)
{
    int status;
    assert_true(wait(&status) > 0);
    if (status != 0)
        print_error("%s: a run of %lu ended with status 0x%x\n", name, total, (unsigned)status);
    return status == 0;
}

void alloc_sweep(const char *name, void (*run)(void))
{
    unsigned long good = 0, running = 0;
    if (in_child)
        exit(1);
    chosen = 0;
    run();
    unsigned long total = atomic_load(&count);
    assert_int_not_equal(total, 0);
    for (unsigned long which = 1; which <= total; which++) {
        (void)start_run(run, which);
        if (++running == AT_ONCE) {
            good += await_run(name, total);
            running--;
        }
    }
    for (; running > 0; running--)
        good += await_run(name, total);
    assert_int_equal(good, total);
    printf("figure: %s: %lu allocations, each failed once\n", name, total);
    (void)fflush(stdout);
}
