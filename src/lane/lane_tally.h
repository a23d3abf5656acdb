/* SPDX-License-Identifier: Apache-2.0 */
/* How the operations that this process asked the token for have ended, and how long they took:
 * counted where a request was written to a lane, whoever sent it. Thread-safe, without a lock. */
#ifndef P11KMS_LANE_TALLY_H
#define P11KMS_LANE_TALLY_H

#include "lane.h"
#include "timed.h"

enum { LANE_TALLY_OPS = 7 };

/* ns: from writing the request to its end. code: the agent's answer, or how the lane failed. */
void lane_tally_add(enum lane_op op, enum err_code code, int64_t ns);

/* Counts of one operation with one result. Both are numbered from 0; NULL beyond the last. */
const struct timed *lane_tally(size_t op, size_t result);

/* Words such as "seal" and "unavailable"; NULL beyond the last. */
const char *lane_tally_op(size_t op);
const char *lane_tally_result(size_t result);

#endif
