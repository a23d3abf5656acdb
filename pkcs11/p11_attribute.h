/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pkcs11/ only: attributes of objects. */
#ifndef P11KMS_P11_ATTRIBUTE_H
#define P11KMS_P11_ATTRIBUTE_H

#include "p11_call.h"
#include "p11_session.h"

enum { P256_OID = 10 };

/* CKA_EC_PARAMS of P-256: its OID in DER (RFC 5480, 2.1.1.1). */
extern const uint8_t p11_p256[P256_OID];

/* Whether it says of an attribute that the token does not tell it, or that it has no room: not an
 * error of the read. */
bool p11_attribute_untold(unsigned long rv);

/* Reads one attribute; ulValueLen is CK_UNAVAILABLE_INFORMATION where the token does not tell. */
MUST_CHECK struct err p11_attribute_read(const struct p11_session *session, CK_OBJECT_HANDLE handle,
                                         CK_ATTRIBUTE *attribute);

#endif
