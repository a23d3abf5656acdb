/* SPDX-License-Identifier: Apache-2.0 */
#include "drill_load.h"

#include <string.h>

static const int64_t span_ns = SPAN_MS * INT64_C(1000000);

void timeline_start(struct timeline *line, int64_t now_ns)
{
    memset(line, 0, sizeof *line);
    line->printed = now_ns / span_ns;
    line->last_answer_ns = now_ns;
}

static struct span *span_of(struct timeline *line, int64_t ns)
{
    int64_t at = ns / span_ns;
    struct span *span = &line->spans[at % SPANS];
    if (span->at != at) {
        memset(span, 0, sizeof *span);
        span->at = at;
    }
    return span;
}

/* gRPC gives its own failures UNAVAILABLE, too, and these words. */
bool is_daemons(const struct async_answer *answer)
{
    static const char *const ours[] = {
        "failed to connect", "Socket closed",    "recvmsg",           "sendmsg",
        "Broken pipe",       "Connection re",    "Endpoint",          "GOAWAY",
        "FD shutdown",       "Transport closed", "connection attempt"};
    if (answer->code == GRPC_STATUS_DEADLINE_EXCEEDED || answer->code == GRPC_STATUS_CANCELLED)
        return false;
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (answer->code != GRPC_STATUS_OK && strstr(answer->text, ours[i]))
            return false;
    return true;
}

void timeline_note(struct timeline *line, enum drill_call call, const struct async_answer *answer)
{
    unsigned code =
        (unsigned)answer->code < LATE_OK ? (unsigned)answer->code : (unsigned)GRPC_STATUS_UNKNOWN;
    struct span *ended = span_of(line, answer->ended_ns);
    double ms = (double)(answer->ended_ns - answer->started_ns) / 1e6;
    if (code == GRPC_STATUS_OK && ms > LATE_CALL_MS)
        code = LATE_OK;
    ended->failed += answer->code != GRPC_STATUS_OK;
    ended->slowest_ms = ms > ended->slowest_ms ? ms : ended->slowest_ms;
    if (is_daemons(answer)) {
        double gap = (double)(answer->ended_ns - line->last_answer_ns) / 1e6;
        ended->gap_ms = gap > ended->gap_ms ? gap : ended->gap_ms;
        ended->answers++;
        line->last_answer_ns = answer->ended_ns;
    }
    span_of(line, answer->started_ns)->codes[call][code]++;
}

static void print_span(const struct span *span, FILE *to)
{
    static const char letters[CALLS] = {[CALL_ENCRYPT] = 'E', [CALL_DECRYPT] = 'D'};
    (void)fprintf(to, "span %lld %u %u %.1f %.1f", (long long)span->at * SPAN_MS, span->failed,
                  span->answers, span->gap_ms, span->slowest_ms);
    for (unsigned call = 0; call < CALLS; call++)
        for (unsigned code = 0; code < CODES; code++)
            if (span->codes[call][code] > 0)
                (void)fprintf(to, " %c%u=%u", letters[call], code, span->codes[call][code]);
    (void)fprintf(to, "\n");
}

void timeline_print(struct timeline *line, int64_t until_ns, FILE *to)
{
    for (; line->printed < until_ns / span_ns; line->printed++) {
        const struct span *span = &line->spans[line->printed % SPANS];
        if (span->at == line->printed)
            print_span(span, to);
    }
}
