/* SPDX-License-Identifier: Apache-2.0 */
#include "secret.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct secret {
    size_t capacity;
    size_t len;
    uint8_t memory[];
};

/* The smallest piece the secure heap hands out; smaller only costs a larger bitmap. */
enum { SECURE_HEAP_MIN_PIECE = 64 };

struct err secret_init(size_t size, bool *ret_locked)
{
    int state = CRYPTO_secure_malloc_init(size, SECURE_HEAP_MIN_PIECE);
    if (state == 0)
        return err_make(ERR_EXHAUSTED, "CRYPTO_secure_malloc_init");
    *ret_locked = state == 1; /* 2: usable, but some protection failed */
    return ERR_OK;
}

struct err secret_new(size_t capacity, struct secret **ret)
{
    if (capacity > SIZE_MAX - sizeof(struct secret))
        return err_make(ERR_EXHAUSTED, "secret_new");
    /* Without secret_init the heap would fall back to ordinary memory, silently. */
    if (!CRYPTO_secure_malloc_initialized())
        return err_make(ERR_INTERNAL, "secret_new before secret_init");
    struct secret *s = OPENSSL_secure_malloc(sizeof *s + capacity);
    if (!s)
        return err_make(ERR_EXHAUSTED, "secret_new");
    s->capacity = capacity;
    s->len = 0;
    *ret = s;
    return ERR_OK;
}

void secret_free(struct secret *s)
{
    if (s)
        OPENSSL_secure_clear_free(s, sizeof *s + s->capacity);
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
