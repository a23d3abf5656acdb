/* SPDX-License-Identifier: Apache-2.0 */
/* What the redefined symbols of alloc_symbols lead to in a program that a test starts. */
#include "alloc_shared.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *alloc_fail_malloc(size_t size);
void *alloc_fail_calloc(size_t n, size_t size);
void *alloc_fail_realloc(void *old, size_t size);
void *alloc_fail_reallocarray(void *old, size_t n, size_t size);
char *alloc_fail_strdup(const char *text);
char *alloc_fail_strndup(const char *text, size_t n);
void *alloc_fail_secure_malloc(size_t size, const char *file, int line);

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

static bool fails(void)
{
    if (atomic_fetch_add(&shared->count, 1) + 1 != shared->chosen)
        return false;
    atomic_store(&shared->failed, 1);
    errno = ENOMEM;
    return true;
}

void *alloc_fail_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

void *alloc_fail_calloc(size_t n, size_t size)
{
    return fails() ? NULL : calloc(n, size);
}

void *alloc_fail_realloc(void *old, size_t size)
{
    return fails() ? NULL : realloc(old, size);
}

void *alloc_fail_reallocarray(void *old, size_t n, size_t size)
{
    return fails() ? NULL : reallocarray(old, n, size);
}

char *alloc_fail_strdup(const char *text)
{
    return fails() ? NULL : strdup(text);
}

char *alloc_fail_strndup(const char *text, size_t n)
{
    return fails() ? NULL : strndup(text, n);
}

void *alloc_fail_secure_malloc(size_t size, const char *file, int line)
{
    return fails() ? NULL : CRYPTO_secure_malloc(size, file, line);
}
