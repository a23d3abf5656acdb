/* SPDX-License-Identifier: Apache-2.0 */
/* The public half of a P-256 key, from a signature that it made (SEC 1 version 2.0, 4.1.6). */
#ifndef P11KMS_ECDSA_RECOVER_H
#define P11KMS_ECDSA_RECOVER_H

#include "p11_pair.h"
#include "p11_sign.h"

enum { ECDSA_RECOVERED_MAX = 2 };

/* The points under which the signature, r and s, of this digest is good: 1 or 2, of which one is
 * the signer's. They prove nothing, since every pair of numbers is somebody's signature: have the
 * private key sign something else. ERR_TOKEN: no key on P-256 signs so. */
MUST_CHECK struct err ecdsa_recover(const uint8_t digest[static SIGN_SHA256],
                                    const uint8_t signature[static ECDSA_P256],
                                    struct p11_public ret[static ECDSA_RECOVERED_MAX],
                                    size_t *ret_n);

#endif
