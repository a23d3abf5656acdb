/* SPDX-License-Identifier: Apache-2.0 */
#include "welch.h"

#include <math.h>
#include <stdlib.h>

enum { CROPS = 100, LEAST = 50 };

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

void timings_sort(struct timings *t)
{
    qsort(t->ns, t->n, sizeof *t->ns, compare);
}

double timings_fast_mean(const struct timings *t)
{
    double sum = 0;
    for (size_t i = 0; i < t->n / 2; i++)
        sum += t->ns[i];
    return t->n < 2 ? 0 : sum / (double)(t->n / 2);
}

/* How many are below the limit. */
static size_t below(const struct timings *t, double limit)
{
    size_t low = 0, high = t->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (t->ns[middle] < limit)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The mean of the first n, and the square of its standard error. */
static void mean_of(const struct timings *t, size_t n, double *ret_mean, double *ret_error)
{
    double mean = 0, squares = 0;
    for (size_t i = 0; i < n; i++) { /* Welford: small differences of large numbers */
        double off = t->ns[i] - mean;
        mean += off / (double)(i + 1);
        squares += off * (t->ns[i] - mean);
    }
    *ret_mean = mean;
    *ret_error = squares / (double)(n - 1) / (double)n;
}

static double t_of_first(const struct timings *a, size_t in_a, const struct timings *b, size_t in_b)
{
    double mean_a, mean_b, error_a, error_b;
    if (in_a < 2 || in_b < 2)
        return 0;
    mean_of(a, in_a, &mean_a, &error_a);
    mean_of(b, in_b, &mean_b, &error_b);
    double error = sqrt(error_a + error_b), off = mean_a - mean_b;
    if (error > 0)
        return off / error;
    return off > 0 ? INFINITY : off < 0 ? -INFINITY : 0;
}

double welch_t(const struct timings *a, const struct timings *b, double limit)
{
    return t_of_first(a, below(a, limit), b, below(b, limit));
}

/* The value that this part of both sets together is below. */
static double percentile(const struct timings *a, const struct timings *b, double part)
{
    size_t wanted = (size_t)(part * (double)(a->n + b->n));
    uint32_t low = 0, high = UINT32_MAX;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (below(a, middle + 1.0) + below(b, middle + 1.0) <= wanted)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool enough(size_t left, const struct timings *of)
{
    return left >= LEAST && left >= of->n / 10;
}

double welch_worst(const struct timings *a, const struct timings *b)
{
    double worst = welch_t(a, b, INFINITY);
    for (int i = 1; i <= CROPS; i++) {
        double limit = percentile(a, b, 1 - pow(0.5, i / 10.0));
        size_t in_a = below(a, limit), in_b = below(b, limit);
        double t = enough(in_a, a) && enough(in_b, b) ? t_of_first(a, in_a, b, in_b) : 0;
        if (fabs(t) > fabs(worst))
            worst = t;
    }
    return worst;
}
