/* SPDX-License-Identifier: Apache-2.0 */
#include "tally.h"

#include <string.h>

static bool count_add(struct count *sum, const struct count *worker)
{
    sum->run += worker->run;
    sum->passed += worker->passed;
    return sum->all == worker->all;
}

bool tally_add(struct tally *sum, const struct tally *worker)
{
    bool same = count_add(&sum->once, &worker->once);
    same = count_add(&sum->ckrs, &worker->ckrs) && same;
    same = count_add(&sum->stops, &worker->stops) && same;
    same = count_add(&sum->lasting, &worker->lasting) && same;
    sum->finished = sum->finished && worker->finished;
    if (worker->slowest_ms > sum->slowest_ms)
        sum->slowest_ms = worker->slowest_ms;
    return same && memcmp(sum->calls, worker->calls, sizeof sum->calls) == 0 &&
           sum->functions == worker->functions;
}

static bool count_good(const struct count *count, bool all)
{
    return count->passed == count->run && (!all || count->run == count->all);
}

bool tally_good(const struct tally *sum, bool all)
{
    return count_good(&sum->once, all) && count_good(&sum->ckrs, all) &&
           count_good(&sum->stops, all) && count_good(&sum->lasting, all);
}

size_t tally_run(const struct tally *sum)
{
    return sum->once.run + sum->ckrs.run + sum->stops.run + sum->lasting.run;
}
