/* SPDX-License-Identifier: Apache-2.0 */
#include "p11_attribute.h"

const uint8_t p11_p256[P256_OID] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};

bool p11_attribute_untold(unsigned long rv)
{
    return rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE ||
           rv == CKR_BUFFER_TOO_SMALL;
}

struct err p11_attribute_read(const struct p11_session *s, CK_OBJECT_HANDLE handle, CK_ATTRIBUTE *a)
{
    struct err e = P11_CALL(s->module, C_GetAttributeValue, s->handle, handle, a, 1);
    if (err_is(e) && !p11_attribute_untold(e.native))
        return e;
    if (err_is(e))
        a->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return ERR_OK;
}
