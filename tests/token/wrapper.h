/* SPDX-License-Identifier: Apache-2.0 */
/* What is the same in every PKCS#11 module of the tests that stands before another one. Such a
 * module defines the first two below, and links wrapper.c. */
#ifndef P11KMS_TEST_WRAPPER_H
#define P11KMS_TEST_WRAPPER_H

#include <p11-kit/pkcs11.h>

/* The environment's name for the real module's path. */
extern const char wrapper_variable[];

/* Puts the module's own functions into the list, which has the real ones. */
void wrapper_take(CK_FUNCTION_LIST *list);

/* The real module's; set before wrapper_take. */
extern CK_FUNCTION_LIST *real;

#endif
