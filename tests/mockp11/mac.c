/* SPDX-License-Identifier: Apache-2.0 */
#include "mock.h"

#include <string.h>

enum { MAC = 32 };

/* --- the same for every input ------------------------------------------------------------------
 */

static CK_RV same_sign(CK_SESSION_HANDLE session, CK_BYTE *in, CK_ULONG in_len, CK_BYTE *out,
                       CK_ULONG *out_len)
{
    CK_RV rv = real->C_Sign(session, in, in_len, out, out_len);
    if (rv == CKR_OK && out && *out_len == MAC)
        memset(out, 0x5a, MAC);
    return rv;
}

void mock_same_mac(CK_FUNCTION_LIST *list)
{
    list->C_Sign = same_sign;
}

/* --- keys that do not tell their length --------------------------------------------------------
 */

static bool is_for_hmac(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object)
{
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE attribute = {CKA_KEY_TYPE, &type, sizeof type};
    return real->C_GetAttributeValue(session, object, &attribute, 1) == CKR_OK &&
           (type == CKK_GENERIC_SECRET || type == CKK_SHA256_HMAC);
}

static CK_RV untold_get(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE *template,
                        CK_ULONG n)
{
    CK_RV rv = real->C_GetAttributeValue(session, object, template, n);
    if (!is_for_hmac(session, object))
        return rv;
    for (CK_ULONG i = 0; i < n; i++) {
        CK_KEY_TYPE type = CKK_SHA256_HMAC;
        if (template[i].type == CKA_KEY_TYPE && template[i].ulValueLen == sizeof type)
            memcpy(template[i].pValue, &type, sizeof type);
        if (template[i].type == CKA_VALUE_LEN) {
            template[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
            rv = CKR_ATTRIBUTE_TYPE_INVALID;
        }
    }
    return rv;
}

void mock_untold(CK_FUNCTION_LIST *list)
{
    list->C_GetAttributeValue = untold_get;
}
