/* SPDX-License-Identifier: Apache-2.0 */
/* How one event looks as a line of text or JSON; log.c decides where it goes. */
#ifndef P11KMS_LOG_LINE_H
#define P11KMS_LOG_LINE_H

#include "bytes.h"
#include "log.h"

/* The word for a priority, such as "warning". Never NULL. */
const char *log_priority_name(enum log_priority priority);

/* "2026-11-22T10:00:00.123Z": UTC, from milliseconds of Unix time. */
void log_put_time(struct writer *w, int64_t wall_ms);

/* Appends "message name=value ...": for the text style and the journal's MESSAGE. Values that are
 * not plain words are quoted; control bytes and invalid UTF-8 are escaped. */
void log_put_text(struct writer *w, const char *message, const struct log_field *fields);

/* Appends one JSON object without a line end. Invalid UTF-8 becomes U+FFFD. */
void log_put_json(struct writer *w, int64_t wall_ms, enum log_priority priority,
                  const char *component, const char *message, const struct log_field *fields);

#endif
