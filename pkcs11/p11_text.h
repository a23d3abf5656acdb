/* SPDX-License-Identifier: Apache-2.0 */
/* Inside pkcs11/ only: texts of fixed width, padded with blanks, as PKCS#11 has them. */
#ifndef P11KMS_P11_TEXT_H
#define P11KMS_P11_TEXT_H

#include <p11-kit/pkcs11.h>
#include <stddef.h>

/* Terminated in to, which holds len + 1 bytes, without the padding and with nothing in it that
 * would spoil a log. */
void p11_text(const CK_UTF8CHAR *from, size_t len, char *to);

#endif
