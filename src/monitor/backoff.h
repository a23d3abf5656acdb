/* SPDX-License-Identifier: Apache-2.0 */
/* When to start a dead process again, and how often to say why it died. */
#ifndef P11KMS_BACKOFF_H
#define P11KMS_BACKOFF_H

#include <stdbool.h>
#include <stdint.h>

enum {
    BACKOFF_FIRST_MS = 100,
    BACKOFF_MOST_MS = 3000,
    BACKOFF_WELL_MS = 2000, /* what fails at its start fails sooner */
    CAUSE_EVERY_MS = 60000
};

/* Zero is a fresh one. */
struct backoff {
    unsigned deaths; /* since the last time all was well */
};

/* Milliseconds to wait after one more death: 0, 100, 200, 400 and so on up to 3000. */
int64_t backoff_next_ms(struct backoff *backoff);

/* When to start again what was started at started_ns and has died now: the wait is counted from its
 * start, so that one that lived for longer is not waited for on top of that. A process that lived
 * for longer than BACKOFF_WELL_MS begins a new series. */
int64_t backoff_due_ns(struct backoff *backoff, int64_t started_ns, int64_t now_ns);

/* All is well. */
void backoff_reset(struct backoff *backoff);

/* A token can be away for days. Zero is a fresh one. */
struct cause_log {
    char last[512];
    uint64_t unsaid; /* repeats since the last line */
    int64_t said_ns;
};

/* Whether this cause is to be logged now: one that differs from the last at once, the same one
 * once a minute. *ret_times is how often it came since the last line, this time included. */
bool cause_log_due(struct cause_log *log, const char *cause, int64_t now_ns, uint64_t *ret_times);

#endif
