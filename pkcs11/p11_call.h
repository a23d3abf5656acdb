/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pkcs11/ only: the PKCS#11 header, and the one way to call a module. */
#ifndef P11KMS_P11_CALL_H
#define P11KMS_P11_CALL_H

#include "bytes.h"
#include "p11_ckr.h"

#include <p11-kit/pkcs11.h>
#include <pthread.h>

struct p11_module {
    CK_FUNCTION_LIST *functions;
    pthread_mutex_t *turns; /* held in each call of a module that bears one at a time; else NULL */
};

static inline void p11_enter(const struct p11_module *module)
{
    if (module->turns)
        (void)pthread_mutex_lock(module->turns);
}

static inline CK_RV p11_leave(const struct p11_module *module, CK_RV result)
{
    if (module->turns)
        (void)pthread_mutex_unlock(module->turns);
    return result;
}

/* Every C_ call goes through here: CK_RV becomes a struct err before anybody sees it. */
#define P11_CALL(module, function, ...)                                                            \
    (p11_enter(module),                                                                            \
     p11_result(p11_leave(module, (module)->functions->function(__VA_ARGS__)), #function))

/* Whether a module that says OK has left as it was what was cleared before the call. Constant time.
 */
static inline bool p11_is_blank(const uint8_t *memory, size_t len)
{
    uint8_t any = 0;
    for (size_t i = 0; i < len; i++)
        any |= memory[i];
    return any == 0;
}

/* PKCS#11's parameters are not const, though the module only reads what we lend it. */
static inline uint8_t *p11_lend(struct bytes range)
{
    return (uint8_t *)(uintptr_t)range.data;
}

#endif
