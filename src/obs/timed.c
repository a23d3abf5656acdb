/* SPDX-License-Identifier: Apache-2.0 */
#include "timed.h"

#include <stddef.h>

#define US INT64_C(1000)
#define MS INT64_C(1000000)
#define S  INT64_C(1000000000)

const struct timed_bound timed_bounds[TIMED_BOUNDS] = {
    {100 * US, "0.0001"},  {250 * US, "0.00025"}, {500 * US, "0.0005"}, {1 * MS, "0.001"},
    {2500 * US, "0.0025"}, {5 * MS, "0.005"},     {10 * MS, "0.01"},    {25 * MS, "0.025"},
    {50 * MS, "0.05"},     {100 * MS, "0.1"},     {250 * MS, "0.25"},   {500 * MS, "0.5"},
    {1 * S, "1"},          {2500 * MS, "2.5"},    {5 * S, "5"},         {10 * S, "10"},
    {30 * S, "30"},        {180 * S, "180"},
};

void timed_add(struct timed *timed, int64_t ns)
{
    size_t i = 0;
    while (i < TIMED_BOUNDS && ns > timed_bounds[i].ns)
        i++;
    atomic_fetch_add_explicit(&timed->bucket[i], 1, memory_order_relaxed);
    if (ns > 0)
        atomic_fetch_add_explicit(&timed->sum_ns, (uint64_t)ns, memory_order_relaxed);
}

void timed_read(const struct timed *timed, struct timed_count *to)
{
    for (size_t i = 0; i <= TIMED_BOUNDS; i++) {
        uint64_t n = atomic_load_explicit(&timed->bucket[i], memory_order_relaxed);
        to->bucket[i] += n;
        to->count += n;
    }
    to->sum_ns += atomic_load_explicit(&timed->sum_ns, memory_order_relaxed);
}
