/* SPDX-License-Identifier: Apache-2.0 */
#include "server_cost.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int server_costs_parse(const char *list, struct server_costs *costs)
{
    costs->n = 0;
    for (;;) {
        char *end = NULL;
        long pid = strtol(list, &end, 10);
        if (end == list || pid <= 0 || costs->n == SERVERS_MAX)
            return -1;
        costs->of[costs->n++].pid = (pid_t)pid;
        if (*end == '\0')
            return 0;
        if (*end != ',')
            return -1;
        list = end + 1;
    }
}

/* The process's CPU clock: nanoseconds, where /proc counts in hundredths of a second. */
static int64_t cpu_of(pid_t pid)
{
    clockid_t clock;
    struct timespec used;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
        return -1;
    return used.tv_sec * INT64_C(1000000000) + used.tv_nsec;
}

static long rss_of(pid_t pid)
{
    char path[64];
    long total = 0, resident = 0;
    (void)snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    if (fscanf(file, "%ld %ld", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

void server_costs_read(struct server_costs *costs)
{
    for (size_t i = 0; i < costs->n; i++) {
        costs->of[i].cpu_ns = cpu_of(costs->of[i].pid);
        costs->of[i].rss_kib = rss_of(costs->of[i].pid);
    }
}
