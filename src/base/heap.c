/* SPDX-License-Identifier: Apache-2.0 */
#include "heap.h"

#include "io.h"
#include "secret.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { ARENAS = 2 }; /* for the thread that reads requests and the one that answers them */

/* The second number of /proc/self/statm, in pages. */
size_t heap_resident(void)
{
    char text[128], *second = NULL;
    size_t len = 0;
    if (err_is(file_read("/proc/self/statm", text, sizeof text - 1, &len)))
        return 0;
    text[len] = '\0';
    second = strchr(text, ' ');
    return second ? strtoul(second, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE) : 0;
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
    if (heap->left == 0)
        heap->left = now;
    if (now <= heap->lowest + HEAP_SLACK && now <= heap->left + HEAP_GROWTH)
        return ERR_OK;
    if (heap->locked)
        (void)munlockall();
    (void)malloc_trim(0);
    heap->left = heap_resident();
    return heap->locked ? process_lock_memory() : ERR_OK;
}
