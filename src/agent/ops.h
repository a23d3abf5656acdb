/* SPDX-License-Identifier: Apache-2.0 */
/* One function per request. Each fills ret->u on success; views in it point into lane->room or
 * lane->listing and hold until the next request. */
#ifndef P11KMS_OPS_H
#define P11KMS_OPS_H

#include "agent.h"

/* What the labels of keys begin with that a self-test or a trial makes; the UUID of it follows. */
#define SELFTEST_LABEL "p11-kms-selftest/"

typedef struct err op_function(struct lane *lane, const struct lane_request *request,
                               struct lane_reply *ret, struct advice *advice);

op_function op_list, op_seal, op_open, op_probe, op_selftest, op_generate, op_relabel, op_facts,
    op_trial;

/* Where the token does not let this user make or change an object, says so; does is such as "makes
 * no key". Yields e, as ERR_TOKEN then. */
MUST_CHECK struct err explain_forbidden(const struct lane *lane, struct err e, const char *does,
                                        struct advice *advice);

/* Frees a lane's listing. Accepts NULL. */
void listing_free(struct listing *listing);

#endif
