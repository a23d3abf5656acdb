/* SPDX-License-Identifier: Apache-2.0 */
#include "lane_tally.h"

static const struct {
    enum lane_op op;
    const char *word;
} ops[] = {
    {LANE_SEAL, "seal"},       {LANE_OPEN, "open"},         {LANE_PROBE, "probe"},
    {LANE_LIST, "list"},       {LANE_SELFTEST, "selftest"}, {LANE_GENERATE, "generate"},
    {LANE_RELABEL, "relabel"},
};

/* The codes that say something different about a token. */
static const struct {
    enum err_code code;
    const char *word;
} results[] = {
    {ERR_NONE, "ok"},
    {ERR_INVALID, "invalid"},
    {ERR_AUTH, "authentication_failed"},
    {ERR_NOT_FOUND, "not_found"},
    {ERR_UNAVAILABLE, "unavailable"},
    {ERR_EXHAUSTED, "exhausted"},
    {ERR_DEADLINE, "timeout"},
    {ERR_TOKEN, "needs_operator"},
    {ERR_REFUSED, "refused"},
    {ERR_UNSUPPORTED, "unsupported"},
    {ERR_INTERNAL, "internal"}, /* and every code that is not here */
};

enum { OPS = sizeof ops / sizeof *ops, RESULTS = sizeof results / sizeof *results };

_Static_assert((int)OPS == (int)LANE_TALLY_OPS, "as many as the header says");

static struct timed tally[OPS][RESULTS];

void lane_tally_add(enum lane_op op, enum err_code code, int64_t ns)
{
    size_t o = 0, r = 0;
    while (o < OPS && ops[o].op != op)
        o++;
    while (r < RESULTS - 1 && results[r].code != code)
        r++;
    if (o < OPS)
        timed_add(&tally[o][r], ns);
}

const struct timed *lane_tally(size_t op, size_t result)
{
    return op < OPS && result < RESULTS ? &tally[op][result] : NULL;
}

const char *lane_tally_op(size_t op)
{
    return op < OPS ? ops[op].word : NULL;
}

const char *lane_tally_result(size_t result)
{
    return result < RESULTS ? results[result].word : NULL;
}
