/* SPDX-License-Identifier: Apache-2.0 */
/* How much of the processors others have had: other programs, and whoever the machine is shared
 * with. */
#ifndef P11KMS_TEST_OTHERS_H
#define P11KMS_TEST_OTHERS_H

#include <stdint.h>

/* Milliseconds of all processors since some time ago, without those of this process and of all that
 * it started; two of them have a difference. Always 0 where the kernel does not tell. */
int64_t others_ms(void);

#endif
