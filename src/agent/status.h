/* SPDX-License-Identifier: Apache-2.0 */
/* From an error of ours to what the front end and an operator are told. */
#ifndef P11KMS_STATUS_H
#define P11KMS_STATUS_H

#include "lane.h"

/* What brings the token back after this error; advice where somebody gave one. */
enum remedy status_remedy(struct err e, const struct advice *advice);

/* The status of a reply. */
void status_make(struct err e, const struct advice *advice, struct lane_status *ret);

#endif
