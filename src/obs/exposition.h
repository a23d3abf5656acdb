/* SPDX-License-Identifier: Apache-2.0 */
/* Prometheus' text format, version 0.0.4. labels are the pairs between the braces, such as
 * `op="seal"`, whose values are words of ours that need no escaping; "" for none. What does not fit
 * sets w->full, and then nothing of it is to be sent. */
#ifndef P11KMS_EXPOSITION_H
#define P11KMS_EXPOSITION_H

#include "bytes.h"
#include "timed.h"

#define EXPOSITION_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* type: counter, gauge or histogram. All samples of a family follow at once. */
void expose_family(struct writer *w, const char *name, const char *type, const char *help);

void expose_number(struct writer *w, const char *name, const char *labels, uint64_t value);
void expose_signed(struct writer *w, const char *name, const char *labels, int64_t value);

/* A value in seconds, from thousandths of them. */
void expose_milliseconds(struct writer *w, const char *name, const char *labels, int64_t ms);

/* Its buckets, sum and count. */
void expose_histogram(struct writer *w, const char *name, const char *labels,
                      const struct timed_count *count);

#endif
