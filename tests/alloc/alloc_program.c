/* SPDX-License-Identifier: Apache-2.0 */
/* Which call of a program fails that a test starts. */
#include "alloc_shared.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct alloc_shared *shared;

__attribute__((constructor)) static void map_shared(void)
{
    const char *path = getenv("P11KMS_ALLOC_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED)
        abort();
    shared = mapped;
    (void)close(fd);
}

bool fail_now(enum fail_kind kind)
{
    if (kind != shared->kind || atomic_fetch_add(&shared->count, 1) + 1 != shared->chosen)
        return false;
    atomic_store(&shared->failed, 1);
    return true;
}
