/* SPDX-License-Identifier: Apache-2.0 */
/* The padding of PKCS#7 (RFC 5652, 6.3) to whole blocks of AES: n bytes of value n, 1 to 16. */
#ifndef P11KMS_PADDING_H
#define P11KMS_PADDING_H

#include "bytes.h"

enum { PADDING_BLOCK = 16 };

/* The plaintext, then its padding. */
void padding_put(struct writer *w, struct bytes plaintext);

/* The length of the plaintext in padded, whose contents and padding no branch, no address and so no
 * time depends on. 0: the padding is wrong, or there is nothing else. */
size_t padding_plaintext(struct bytes padded);

#endif
