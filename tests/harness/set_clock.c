/* SPDX-License-Identifier: Apache-2.0 */
/* LD_PRELOAD for a daemon whose clock a test sets: $P11KMS_TEST_CLOCK names a file with the
 * milliseconds to add, read at each call. Only our own code sees that clock. The libraries, which
 * also wait by CLOCK_REALTIME, keep the kernel's: it knows of its own jumps, but not of these.
 * (libfaketime fakes it for all of them, and leaves semaphores behind where a process is killed.)
 */
#include <fcntl.h>
#include <inttypes.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uintptr_t begin = UINTPTR_MAX, end;

/* The first object is the program itself. */
static int find_program(struct dl_phdr_info *info, size_t size, void *context)
{
    (void)size;
    (void)context;
    for (size_t i = 0; i < info->dlpi_phnum; i++) {
        uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
        if (info->dlpi_phdr[i].p_type != PT_LOAD)
            continue;
        begin = at < begin ? at : begin;
        end = at + info->dlpi_phdr[i].p_memsz > end ? at + info->dlpi_phdr[i].p_memsz : end;
    }
    return 1;
}

__attribute__((constructor)) static void prepare(void)
{
    (void)dl_iterate_phdr(find_program, NULL);
}

static int64_t offset_ms(void)
{
    const char *path = getenv("P11KMS_TEST_CLOCK");
    char text[32];
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0)
        (void)close(fd);
    text[len > 0 ? len : 0] = '\0';
    return strtoll(text, NULL, 10);
}

__attribute__((visibility("default"))) int clock_gettime(clockid_t id, struct timespec *ret)
{
    uintptr_t caller = (uintptr_t)__builtin_return_address(0);
    long failed = syscall(SYS_clock_gettime, id, ret);
    if (failed != 0 || id != CLOCK_REALTIME || caller < begin || caller >= end)
        return (int)failed;
    int64_t ms = ret->tv_sec * INT64_C(1000) + ret->tv_nsec / 1000000 + offset_ms();
    ret->tv_sec = ms / 1000;
    ret->tv_nsec = (ms % 1000) * 1000000;
    return 0;
}
