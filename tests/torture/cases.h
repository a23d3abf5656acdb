/* SPDX-License-Identifier: Apache-2.0 */
/* One case: a call of a scenario breaks in one way, and what became of it is looked at. */
#ifndef P11KMS_TORTURE_CASES_H
#define P11KMS_TORTURE_CASES_H

#include "kinds.h"
#include "scenarios.h"

enum {
    CASE_TRIES = 3,      /* of one that was disturbed before its fault */
    CASE_RECORDINGS = 12 /* at most, until two in a row are the same */
};

struct sweep {
    struct scene scene;
    const struct scenario *scenario;
    struct calls calls; /* of a run without faults */
};

/* Records the scenario's calls. The test fails if they are others each time. */
void case_record(struct sweep *w);

/* What breaks in a case, and how. */
struct place {
    size_t number; /* of the call, from 1; 0: each of that function */
    const char *function;
    const struct kind *kind; /* NULL: the daemon is stopped inside it */
};

typedef void case_function(struct sweep *w, const struct place *at, struct verdict *v);

/* Breaks one call. */
void case_break(struct sweep *w, const struct place *at, struct verdict *v);

/* Runs a case; one that fails on a busy machine once more, which is said. */
void case_run(struct sweep *w, case_function *run, const struct place *at, const char *what,
              struct verdict *v);

#endif
