/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads that open the same at once. */
#ifndef P11KMS_TEST_OPENERS_H
#define P11KMS_TEST_OPENERS_H

#include "bytes.h"

enum { OPENERS_MAX = 2 };

/* A thread on each of these lanes, of one agent or of several, has the envelope opened so often.
 * The test fails where one opens less, or something else than expected. */
void open_at_once(const int *lanes, size_t n, unsigned times, struct bytes envelope,
                  struct bytes expected);

#endif
