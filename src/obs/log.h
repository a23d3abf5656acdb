/* SPDX-License-Identifier: Apache-2.0 */
/* The log of daemon and CLI: one line an event to stderr, text or JSON, or one entry with fields
 * to the journal. Only the top logs (monitor, front end, CLI); below, errors return. */
#ifndef P11KMS_LOG_H
#define P11KMS_LOG_H

#include <stdbool.h>
#include <stdint.h>

/* Syslog's numbers, so that journald sorts them. */
enum log_priority { LOG_PRI_ERROR = 3, LOG_PRI_WARNING = 4, LOG_PRI_INFO = 6, LOG_PRI_DEBUG = 7 };

enum log_style { LOG_STYLE_TEXT, LOG_STYLE_JSON, LOG_STYLE_JOURNAL };

/* The longest line; no more than PIPE_BUF, so that processes that share a pipe never mix lines. */
enum { LOG_LINE_MAX = 4096 };

/* The journal when stderr is connected to it ($JOURNAL_STREAM names its device and inode),
 * text otherwise. */
enum log_style log_style_auto(void);

/* Sets what the process's log looks like, and its component: "monitor" or "front-end". Threads
 * may log at once after it. component must outlive the process's last line. Before it is called,
 * lines are text of priority info and up. */
void log_setup(const char *component, enum log_style style, enum log_priority least);

/* One field of a line: a name and a terminated string, or a number when text is NULL. */
struct log_field {
    const char *name;
    const char *text;
    int64_t number;
};

#define LOG_S(n, t) ((struct log_field){.name = (n), .text = (t)})
#define LOG_N(n, v) ((struct log_field){.name = (n), .number = (int64_t)(v)})

/* Writes one line: time, priority, component, message, fields. Control bytes and quotes in values
 * are escaped, so that nobody can forge a line. Ended by a field without a name. The journal gets
 * MESSAGE, PRIORITY, P11KMS_COMPONENT and a P11KMS_NAME for each field. A field that does not fit
 * in LOG_LINE_MAX is left out and the line says truncated. Where log or journal takes no more, the
 * line is lost and a later one says so: nobody waits (log_output.c). Thread-safe; never allocates.
 */
void log_write(enum log_priority priority, const char *message, const struct log_field *fields);

/* The array is longer than any line's fields, and so ends with one without a name. */
enum { LOG_FIELDS_MAX = 12 };

#define log_event(priority, message, ...)                                                          \
    log_write((priority), (message), (const struct log_field[LOG_FIELDS_MAX + 1]){__VA_ARGS__})

#endif
