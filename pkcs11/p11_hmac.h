/* SPDX-License-Identifier: Apache-2.0 */
/* CKM_SHA256_HMAC in one call. */
#ifndef P11KMS_P11_HMAC_H
#define P11KMS_P11_HMAC_H

#include "p11_session.h"

enum { HMAC_SHA256 = 32 };

/* The MAC of data under the key. It may be a secret itself: the caller wipes ret_mac, on failure
 * too. */
MUST_CHECK struct err p11_hmac_sha256(const struct p11_session *session, unsigned long key,
                                      struct bytes data, uint8_t ret_mac[static HMAC_SHA256]);

#endif
