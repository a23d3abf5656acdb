/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pkcs11/ only: the PKCS#11 header, and the one way to call a module. */
#ifndef P11KMS_P11_CALL_H
#define P11KMS_P11_CALL_H

#include "bytes.h"
#include "p11_ckr.h"

#include <p11-kit/pkcs11.h>

struct p11_module {
    CK_FUNCTION_LIST *functions;
};

/* Every C_ call goes through here: CK_RV becomes a struct err before anybody sees it. */
#define P11_CALL(module, function, ...)                                                            \
    p11_result((module)->functions->function(__VA_ARGS__), #function)

/* PKCS#11's parameters are not const, though the module only reads what we lend it. */
static inline uint8_t *p11_lend(struct bytes range)
{
    return (uint8_t *)(uintptr_t)range.data;
}

#endif
