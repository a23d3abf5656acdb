/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "journal.h"
#include "log_line.h"
#include "log_output.h"
#include "text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A reload writes them while other threads log: each for itself is always one that was set. */
static struct {
    _Atomic(const char *) component;
    _Atomic enum log_style style;
    _Atomic enum log_priority least;
    atomic_bool colours;
} setup = {.component = "p11-kms", .style = LOG_STYLE_TEXT, .least = LOG_PRI_INFO};

enum log_style log_style_auto(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    char ours[64];
    struct stat st;
    if (!stream || fstat(STDERR_FILENO, &st) != 0)
        return LOG_STYLE_TEXT;
    (void)snprintf(ours, sizeof ours, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, ours) == 0 ? LOG_STYLE_JOURNAL : LOG_STYLE_TEXT;
}

void log_setup(const char *component, enum log_style style, enum log_priority least)
{
    log_output_setup();
    setup.component = component;
    setup.style = style;
    setup.least = least;
    setup.colours = style == LOG_STYLE_TEXT && isatty(STDERR_FILENO) == 1;
}

/* Lines since the last one that was written whole. */
static atomic_uint lost;

static bool write_line(struct writer *w)
{
    put_u8(w, '\n');
    return log_output_write(writer_bytes(w));
}

static const char *colour_of(enum log_priority priority)
{
    if (!setup.colours || priority == LOG_PRI_INFO)
        return "";
    return priority == LOG_PRI_ERROR ? "\033[31m"
                                     : (priority == LOG_PRI_WARNING ? "\033[33m" : "\033[2m");
}

static bool write_text(enum log_priority priority, const char *message,
                       const struct log_field *fields)
{
    char line[LOG_LINE_MAX];
    const char *colour = colour_of(priority);
    struct writer w = writer_over(line, sizeof line - 1);
    log_put_time(&w, clock_wall_ms());
    put_u8(&w, ' ');
    put_bytes(&w, bytes_of_string(colour));
    put_bytes(&w, bytes_of_string(log_priority_name(priority)));
    put_bytes(&w, bytes_of_string(*colour ? "\033[0m " : " "));
    put_bytes(&w, bytes_of_string(setup.component));
    put_bytes(&w, bytes_of_string(": "));
    log_put_text(&w, message, fields);
    w.capacity++;
    return write_line(&w);
}

static bool write_json(enum log_priority priority, const char *message,
                       const struct log_field *fields)
{
    char line[LOG_LINE_MAX];
    struct writer w = writer_over(line, sizeof line - 1);
    log_put_json(&w, clock_wall_ms(), priority, setup.component, message, fields);
    w.capacity++;
    return write_line(&w);
}

/* True: the journal has it, or has no room for it. */
static bool write_journal(enum log_priority priority, const char *message,
                          const struct log_field *fields, bool *ret_written)
{
    uint8_t room[2 * LOG_LINE_MAX];
    char line[LOG_LINE_MAX], number[24];
    struct writer w = writer_over(room, sizeof room), text = writer_over(line, sizeof line);
    log_put_text(&text, message, fields);
    journal_put(&w, "", "MESSAGE", writer_bytes(&text));
    (void)snprintf(number, sizeof number, "%d", (int)priority);
    journal_put(&w, "", "PRIORITY", bytes_of_string(number));
    journal_put(&w, "P11KMS_", "COMPONENT", bytes_of_string(setup.component));
    for (const struct log_field *field = fields; field->name; field++) {
        (void)snprintf(number, sizeof number, "%" PRId64, field->number);
        journal_put(&w, "P11KMS_", field->name,
                    bytes_of_string(field->text ? field->text : number));
    }
    enum journal_end end = journal_send(writer_bytes(&w));
    *ret_written = end == JOURNAL_TAKEN;
    return end != JOURNAL_GONE;
}

/* False: it was lost. */
static bool write_styled(enum log_priority priority, const char *message,
                         const struct log_field *fields)
{
    bool written;
    if (setup.style == LOG_STYLE_JSON)
        return write_json(priority, message, fields);
    if (setup.style == LOG_STYLE_JOURNAL && write_journal(priority, message, fields, &written))
        return written;
    return write_text(priority, message, fields);
}

static void tell_lost(unsigned n)
{
    const struct log_field fields[] = {LOG_N("lines", n), {.name = NULL}};
    if (!write_styled(LOG_PRI_WARNING, "the log took no more, and lines were lost", fields))
        atomic_fetch_add(&lost, n);
}

void log_write(enum log_priority priority, const char *message, const struct log_field *fields)
{
    int saved = errno;
    unsigned n = priority <= setup.least ? atomic_exchange(&lost, 0) : 0;
    if (n > 0)
        tell_lost(n);
    if (priority <= setup.least && !write_styled(priority, message, fields))
        atomic_fetch_add(&lost, 1);
    errno = saved;
}
