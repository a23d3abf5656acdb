/* SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include "secret.h"

#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENAS = 2 }; /* for the thread that reads requests and the one that answers them */

size_t heap_resident(void)
{
    unsigned long total = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    if (fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return resident * (size_t)sysconf(_SC_PAGESIZE);
}

void heap_start(struct heap *heap, bool locked)
{
    (void)mallopt(M_ARENA_MAX, ARENAS);
    *heap = (struct heap){.locked = locked, .lowest = SIZE_MAX};
}

struct err heap_give_back(struct heap *heap)
{
    size_t now = heap_resident();
    if (now < heap->lowest)
        heap->lowest = now;
    if (now <= heap->lowest + HEAP_SLACK)
        return ERR_OK;
    if (heap->locked)
        (void)munlockall();
    (void)malloc_trim(0);
    return heap->locked ? process_lock_memory() : ERR_OK;
}
