/* SPDX-License-Identifier: Apache-2.0 */
#include "others.h"

#include "cleanup.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PATH_SIZE = 64, LINE_SIZE = 1024, DEPTH_MAX = 4 };

static int64_t ticks_to_ms(unsigned long ticks)
{
    return (int64_t)ticks * 1000 / sysconf(_SC_CLK_TCK);
}

static bool read_line(const char *path, char *ret, size_t size)
{
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    return file && fgets(ret, (int)size, file);
}

/* What all processors did, and what was stolen from them. */
static int64_t all_ms(void)
{
    char line[LINE_SIZE];
    unsigned long user, nice, kernel, interrupts, more_interrupts, stolen;
    if (!read_line("/proc/stat", line, sizeof line) ||
        sscanf(line, "cpu %lu %lu %lu %*u %*u %lu %lu %lu", &user, &nice, &kernel, &interrupts,
               &more_interrupts, &stolen) != 6)
        return 0;
    return ticks_to_ms(user + nice + kernel + interrupts + more_interrupts + stolen);
}

/* Of children that are gone. */
static int64_t gone_ms(pid_t pid)
{
    char path[PATH_SIZE], line[LINE_SIZE];
    unsigned long user, kernel;
    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    if (!read_line(path, line, sizeof line))
        return 0;
    const char *rest = strrchr(line, ')'); /* the name may hold anything */
    if (!rest || sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lu %lu",
                        &user, &kernel) != 2)
        return 0;
    return ticks_to_ms(user + kernel);
}

static int64_t family_ms(pid_t pid, int depth)
{
    char path[PATH_SIZE], line[LINE_SIZE] = "", *rest = line;
    struct timespec used = {.tv_sec = 0};
    clockid_t clock;
    if (clock_getcpuclockid(pid, &clock) == 0)
        (void)clock_gettime(clock, &used);
    int64_t ms = used.tv_sec * 1000 + used.tv_nsec / 1000000 + gone_ms(pid);
    (void)snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    if (depth == DEPTH_MAX || !read_line(path, line, sizeof line))
        return ms;
    for (char *at = strtok_r(line, " ", &rest); at; at = strtok_r(NULL, " ", &rest))
        ms += family_ms((pid_t)strtol(at, NULL, 10), depth + 1);
    return ms;
}

int64_t others_ms(void)
{
    int64_t all = all_ms();
    return all > 0 ? all - family_ms(getpid(), 0) : 0;
}
