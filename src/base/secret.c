/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

struct secret {
    size_t capacity;
    size_t len;
    size_t mapped; /* the length of its own pages; 0: from OpenSSL's heap */
    _Alignas(max_align_t) uint8_t memory[];
};

/* The smallest piece the secure heap hands out; smaller only costs a larger bitmap. */
enum { SECURE_HEAP_MIN_PIECE = 64 };

/* Set before there is a second thread. */
static bool apart;

struct err secret_init(size_t size, bool *ret_locked)
{
    int state = CRYPTO_secure_malloc_init(size, SECURE_HEAP_MIN_PIECE);
    if (state == 0)
        return err_make(ERR_EXHAUSTED, "CRYPTO_secure_malloc_init");
    *ret_locked = state == 1; /* 2: usable, but some protection failed */
    return ERR_OK;
}

void secret_init_apart(void)
{
    apart = true;
}

static struct secret *take_heap(size_t size)
{
    struct secret *s = OPENSSL_secure_malloc(size);
    if (s)
        s->mapped = 0;
    return s;
}

static struct secret *take_pages(size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t whole = (size + page - 1) / page * page;
    void *pages = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return NULL;
    (void)mlock(pages, whole);
    (void)madvise(pages, whole, MADV_DONTDUMP);
    struct secret *s = pages;
    s->mapped = whole;
    return s;
}

struct err secret_new(size_t capacity, struct secret **ret)
{
    if (capacity > SIZE_MAX / 2)
        return err_make(ERR_EXHAUSTED, "secret_new");
    /* Without secret_init the heap would fall back to ordinary memory, silently. */
    if (!apart && !CRYPTO_secure_malloc_initialized())
        return err_make(ERR_INTERNAL, "secret_new before secret_init");
    size_t size = sizeof(struct secret) + capacity;
    struct secret *s = apart ? take_pages(size) : take_heap(size);
    if (!s)
        return err_make(ERR_EXHAUSTED, "secret_new");
    s->capacity = capacity;
    s->len = 0;
    *ret = s;
    return ERR_OK;
}

void secret_free(struct secret *s)
{
    if (!s)
        return;
    if (s->mapped == 0) {
        OPENSSL_secure_clear_free(s, sizeof *s + s->capacity);
        return;
    }
    wipe(s->memory, s->capacity);
    (void)munmap(s, s->mapped);
}

uint8_t *secret_memory(struct secret *s)
{
    return s->memory;
}

size_t secret_capacity(const struct secret *s)
{
    return s->capacity;
}

void secret_set_len(struct secret *s, size_t len)
{
    s->len = len < s->capacity ? len : s->capacity;
}

struct bytes secret_bytes(const struct secret *s)
{
    return s ? bytes_of(s->memory, s->len) : bytes_of(NULL, 0);
}

struct err secret_assign(struct secret *s, struct bytes value)
{
    if (value.len > s->capacity)
        return err_make(ERR_EXHAUSTED, "secret_assign");
    wipe(s->memory, s->capacity);
    if (value.len > 0)
        memcpy(s->memory, value.data, value.len);
    s->len = value.len;
    return ERR_OK;
}

void secret_wipe(struct secret *s)
{
    if (!s)
        return;
    wipe(s->memory, s->capacity);
    s->len = 0;
}

void wipe(void *memory, size_t len)
{
    OPENSSL_cleanse(memory, len);
}

struct err process_forbid_dumps(void)
{
    const struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0)
        return err_errno(errno, "setrlimit(RLIMIT_CORE)");
    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
        return err_errno(errno, "prctl(PR_SET_DUMPABLE)");
    return ERR_OK;
}

struct err process_lock_memory(void)
{
    if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) != 0)
        return err_errno(errno, "mlockall");
    return ERR_OK;
}
