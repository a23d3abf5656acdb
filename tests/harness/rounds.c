/* SPDX-License-Identifier: Apache-2.0 */
#include "rounds.h"

#include <stdio.h>

enum { ROUNDS = 3 };

void keeps_its_time(bool (*scene)(void *context), void *context)
{
    for (unsigned round = 1; round <= ROUNDS; round++) {
        if (scene(context))
            return;
        (void)printf("  A LIMIT OF TIME WAS BROKEN, round %u of %u\n", round, ROUNDS);
        (void)fflush(stdout);
    }
    fail_msg("a limit of time was broken in each of %u rounds", ROUNDS);
}
