/* SPDX-License-Identifier: Apache-2.0 */
/* Gives back to the system what a burst of requests leaves behind in the heap.
 *
 * A storm of calls that miss their deadlines takes 100 MB and more for a moment. All of it is
 * freed, but in pieces: glibc returns free pages in the middle of a heap only when asked to, and
 * not even then where memory is locked, because madvise(MADV_DONTNEED) refuses locked pages. */
#ifndef P11KMS_HEAP_H
#define P11KMS_HEAP_H

#include "error.h"

#include <stdbool.h>
#include <stddef.h>

struct heap {
    bool locked;   /* process_lock_memory has succeeded */
    size_t lowest; /* that any look has found in memory, in bytes */
    size_t left;   /* after pages were last given back; 0 before the first look */
};

/* Once, before the process has threads: few malloc arenas, since each keeps its own peak. */
void heap_start(struct heap *heap, bool locked);

/* Returns free pages while the process has HEAP_SLACK more in memory than at an earlier look, and
 * once when it has grown by HEAP_GROWTH since it last did; the first look only looks. Locked memory
 * is unlocked for that moment, some milliseconds: call it while no request is under way. Errors are
 * those of locking it again. */
enum { HEAP_SLACK = 4 << 20, HEAP_GROWTH = 1 << 19 };
MUST_CHECK struct err heap_give_back(struct heap *heap);

/* What the process has in memory, in bytes; 0 where nobody says. */
size_t heap_resident(void);

#endif
