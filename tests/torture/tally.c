/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <string.h>

bool tally_add(struct tally *sum, const struct tally *worker)
{
    sum->cases += worker->cases;
    sum->passed += worker->passed;
    sum->stops += worker->stops;
    sum->stops_passed += worker->stops_passed;
    sum->lasting += worker->lasting;
    sum->lasting_passed += worker->lasting_passed;
    sum->finished = sum->finished && worker->finished;
    if (worker->slowest_ms > sum->slowest_ms)
        sum->slowest_ms = worker->slowest_ms;
    return memcmp(sum->calls, worker->calls, sizeof sum->calls) == 0 &&
           sum->functions == worker->functions;
}
