/* SPDX-License-Identifier: Apache-2.0 */
/* The part of faulty_module.c that counts calls and dies at one of them. */
#ifndef P11KMS_TEST_EVERY_CALL_H
#define P11KMS_TEST_EVERY_CALL_H

#include <p11-kit/pkcs11.h>

#include <limits.h>

/* $P11KMS_TEST_FAULTS/name. */
const char *fault_path(const char *name, char path[static PATH_MAX]);

/* Appends a line to the file "calls". */
void fault_note(const char *what);

/* Puts a counting function before each of the list that p11-kms calls, in an agent that makes keys.
 * There the others become NULL: whoever calls one more finds out that it is not counted. */
void every_call_wrap(CK_FUNCTION_LIST *list);

#endif
