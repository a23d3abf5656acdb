/* SPDX-License-Identifier: Apache-2.0 */
/* Stopping a daemon inside a call. */
#ifndef P11KMS_TORTURE_STOPPING_H
#define P11KMS_TORTURE_STOPPING_H

#include "kinds.h"
#include "scenarios.h"

/* The daemon is told to stop while the scenario's call `number` hangs: it ends by itself, with 0,
 * its agent with it; a client hears of an outage at most; and the next daemon is well. The scenario
 * was prepared. False: the call was not made. */
bool stopping_case(struct scene *s, const struct scenario *scenario, size_t number,
                   struct verdict *v);

#endif
