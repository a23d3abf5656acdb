/* SPDX-License-Identifier: Apache-2.0 */
/* The body of a LANE_FACTS reply; for lane.c alone. */
#ifndef P11KMS_LANE_FACTS_H
#define P11KMS_LANE_FACTS_H

#include "lane.h"

void lane_put_facts(struct writer *w, const struct facts *facts);

/* False: it is not as lane_put_facts makes it. */
bool lane_get_facts(struct reader *r, struct facts *ret);

#endif
