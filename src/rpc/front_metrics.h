/* SPDX-License-Identifier: Apache-2.0 */
/* The metrics of docs/monitoring.md: read where they are counted, at each scrape. */
#ifndef P11KMS_FRONT_METRICS_H
#define P11KMS_FRONT_METRICS_H

#include "vitals.h"

/* Writes all of them; check w->full. */
void front_metrics_write(struct vitals *vitals, struct writer *w);

#endif
