/* SPDX-License-Identifier: Apache-2.0 */
/* What a front end takes, to be compared with what it takes later. */
#ifndef P11KMS_TEST_FOOTPRINT_H
#define P11KMS_TEST_FOOTPRINT_H

#include "harness.h"

struct footprint {
    pid_t front_end;
    int fds;
    long rss_kib;
};

struct footprint footprint_of(const struct harness *h);

/* For await; context: a struct footprint. Whether it has no more descriptors than then. */
bool footprint_fds_are_back(void *context);

#endif
