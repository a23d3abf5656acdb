/* SPDX-License-Identifier: Apache-2.0 */
/* Which scheme a token passes for, by a self-test on it: with ring.scheme auto, where no KEK says
 * it, the first in order of preference. */
#ifndef P11KMS_SCHEME_CHOICE_H
#define P11KMS_SCHEME_CHOICE_H

#include "maker.h"

enum { SCHEME_WHY_MAX = 200 };

struct scheme_trial {
    enum scheme scheme;
    char why[SCHEME_WHY_MAX + 1]; /* it was not taken; empty: it passes */
};

/* What was tried, in order of preference; the last one passes. */
struct scheme_choice {
    enum scheme scheme;
    size_t n;
    struct scheme_trial tried[SCHEMES];
};

/* Whether a self-test that failed so may pass another time: an answer such as GENERAL_ERROR, or a
 * module that crashes, may be an outage as well as a token's way to say that it cannot. */
bool scheme_may_pass(struct err e);

/* Tests the token for the one scheme that is wanted. */
MUST_CHECK struct err scheme_require(struct maker *maker, enum scheme scheme);

/* Tests the token for one scheme after the other, with the maker's agent and, after a failure, a
 * fresh one. ERR_TOKEN, and the maker's text has all reasons: it passes for none. Where the
 * token itself is away that is the error, and nothing is chosen. */
MUST_CHECK struct err scheme_choose(struct maker *maker, struct scheme_choice *ret);

#endif
