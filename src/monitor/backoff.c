/* SPDX-License-Identifier: Apache-2.0 */
#include "backoff.h"

#include <stdio.h>
#include <string.h>

int64_t backoff_next_ms(struct backoff *backoff)
{
    unsigned before = backoff->deaths;
    if (before < 16)
        backoff->deaths++;
    if (before == 0)
        return 0;
    int64_t wait = (int64_t)BACKOFF_FIRST_MS << (before - 1);
    return wait < BACKOFF_MOST_MS ? wait : BACKOFF_MOST_MS;
}

int64_t backoff_due_ns(struct backoff *backoff, int64_t started_ns, int64_t now_ns)
{
    if (now_ns - started_ns > BACKOFF_WELL_MS * INT64_C(1000000))
        backoff_reset(backoff);
    int64_t due_ns = started_ns + backoff_next_ms(backoff) * 1000000;
    return due_ns > now_ns ? due_ns : now_ns;
}

void backoff_reset(struct backoff *backoff)
{
    backoff->deaths = 0;
}

bool cause_log_due(struct cause_log *log, const char *cause, int64_t now_ns, uint64_t *ret_times)
{
    bool same = strncmp(log->last, cause, sizeof log->last - 1) == 0;
    if (same && now_ns - log->said_ns < (int64_t)CAUSE_EVERY_MS * 1000000) {
        log->unsaid++;
        return false;
    }
    *ret_times = same ? log->unsaid + 1 : 1;
    (void)snprintf(log->last, sizeof log->last, "%s", cause);
    log->unsaid = 0;
    log->said_ns = now_ns;
    return true;
}
