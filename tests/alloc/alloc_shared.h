/* SPDX-License-Identifier: Apache-2.0 */
/* The same for a program of ours as a whole: a test maps $P11KMS_ALLOC_FILE, which holds this. */
#ifndef P11KMS_TEST_ALLOC_SHARED_H
#define P11KMS_TEST_ALLOC_SHARED_H

#include "io_fail.h"

#include <stdatomic.h>

struct alloc_shared {
    enum fail_kind kind;
    unsigned long chosen; /* which call fails; 0: none */
    atomic_ulong count;
    atomic_ulong failed;
};

#endif
