/* SPDX-License-Identifier: Apache-2.0 */
/* What server processes cost: CPU time and resident memory, read from outside. */
#ifndef P11KMS_SERVER_COST_H
#define P11KMS_SERVER_COST_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { SERVERS_MAX = 16 };

struct server_costs {
    size_t n;
    struct {
        pid_t pid;
        int64_t cpu_ns; /* since it started */
        long rss_kib;
    } of[SERVERS_MAX];
};

/* "12,34" into pids. -1 when it is not a list of at most SERVERS_MAX numbers. */
int server_costs_parse(const char *list, struct server_costs *costs);

/* Reads them now. A process that is gone has cpu_ns -1. */
void server_costs_read(struct server_costs *costs);

#endif
