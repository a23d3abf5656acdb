/* SPDX-License-Identifier: Apache-2.0 */
#include "exposition.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

enum { LINE_SIZE = 512 };

static void put_line(struct writer *w, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void put_line(struct writer *w, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    va_start(arguments, format);
    int len = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (len < 0 || len >= (int)sizeof line)
        w->full = true;
    else
        put_bytes(w, bytes_of(line, (size_t)len));
}

void expose_family(struct writer *w, const char *name, const char *type, const char *help)
{
    put_line(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static const char *open_brace(const char *labels)
{
    return labels[0] ? "{" : "";
}

static const char *close_brace(const char *labels)
{
    return labels[0] ? "}" : "";
}

void expose_number(struct writer *w, const char *name, const char *labels, uint64_t value)
{
    put_line(w, "%s%s%s%s %" PRIu64 "\n", name, open_brace(labels), labels, close_brace(labels),
             value);
}

void expose_signed(struct writer *w, const char *name, const char *labels, int64_t value)
{
    put_line(w, "%s%s%s%s %" PRId64 "\n", name, open_brace(labels), labels, close_brace(labels),
             value);
}

void expose_milliseconds(struct writer *w, const char *name, const char *labels, int64_t ms)
{
    const char *sign = ms < 0 ? "-" : "";
    uint64_t absolute = ms < 0 ? -(uint64_t)ms : (uint64_t)ms;
    put_line(w, "%s%s%s%s %s%" PRIu64 ".%03" PRIu64 "\n", name, open_brace(labels), labels,
             close_brace(labels), sign, absolute / 1000, absolute % 1000);
}

void expose_histogram(struct writer *w, const char *name, const char *labels,
                      const struct timed_count *count)
{
    const char *comma = labels[0] ? "," : "";
    uint64_t up_to = 0;
    for (size_t i = 0; i < TIMED_BOUNDS; i++) {
        up_to += count->bucket[i];
        put_line(w, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma,
                 timed_bounds[i].seconds, up_to);
    }
    put_line(w, "%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", name, labels, comma, count->count);
    put_line(w, "%s_sum%s%s%s %" PRIu64 ".%09" PRIu64 "\n", name, open_brace(labels), labels,
             close_brace(labels), count->sum_ns / 1000000000, count->sum_ns % 1000000000);
    put_line(w, "%s_count%s%s%s %" PRIu64 "\n", name, open_brace(labels), labels,
             close_brace(labels), count->count);
}
