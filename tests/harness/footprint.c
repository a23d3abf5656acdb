/* SPDX-License-Identifier: Apache-2.0 */
#include "footprint.h"

struct footprint footprint_of(const struct harness *h)
{
    struct footprint f = {.front_end = harness_front_end(h)};
    f.fds = process_fds(f.front_end);
    f.rss_kib = process_rss_kib(f.front_end);
    return f;
}

bool footprint_fds_are_back(void *context)
{
    const struct footprint *before = context;
    return process_fds(before->front_end) <= before->fds;
}
