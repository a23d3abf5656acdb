/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "log_line.h"
#include "text.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
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
    setup.component = component;
    setup.style = style;
    setup.least = least;
    setup.colours = style == LOG_STYLE_TEXT && isatty(STDERR_FILENO) == 1;
}

/* Lines since the last one that was written. */
static atomic_uint lost;

/* Whoever reads the log may have stopped: a disk is full, a container's runtime hangs. Neither the
 * requests nor the restart of an agent wait for that. A pipe with room has it for a whole line. */
static bool has_room(void)
{
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    int ready;
    do
        ready = poll(&log, 1, 0);
    while (ready < 0 && errno == EINTR);
    return ready > 0;
}

/* One write(2) a line. A log that cannot be written has nobody left to be told. */
static void write_line(struct writer *w)
{
    ssize_t written;
    put_u8(w, '\n');
    if (!has_room()) {
        atomic_fetch_add(&lost, 1);
        return;
    }
    do
        written = write(STDERR_FILENO, w->data, w->len);
    while (written < 0 && errno == EINTR);
}

static const char *colour_of(enum log_priority priority)
{
    if (!setup.colours || priority == LOG_PRI_INFO)
        return "";
    return priority == LOG_PRI_ERROR ? "\033[31m"
                                     : (priority == LOG_PRI_WARNING ? "\033[33m" : "\033[2m");
}

static void write_text(enum log_priority priority, const char *message,
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
    write_line(&w);
}

static void write_json(enum log_priority priority, const char *message,
                       const struct log_field *fields)
{
    char line[LOG_LINE_MAX];
    struct writer w = writer_over(line, sizeof line - 1);
    log_put_json(&w, clock_wall_ms(), priority, setup.component, message, fields);
    w.capacity++;
    write_line(&w);
}

/* The entry's fields are cut out of one buffer, one after the other. */
struct entry {
    struct writer w;
    struct iovec parts[32];
    int n;
};

static void entry_begin(struct entry *entry)
{
    entry->parts[entry->n].iov_base = entry->w.data + entry->w.len;
}

/* A field that did not fit is left out: the MESSAGE says truncated then. */
static void entry_end(struct entry *entry)
{
    struct iovec *part = &entry->parts[entry->n];
    uint8_t *start = part->iov_base;
    if (entry->w.full) {
        entry->w.len = (size_t)(start - entry->w.data);
        entry->w.full = false;
        return;
    }
    part->iov_len = (size_t)(entry->w.data + entry->w.len - start);
    entry->n++;
}

static void entry_add(struct entry *entry, const char *prefix, const char *name, const char *value)
{
    entry_begin(entry);
    put_bytes(&entry->w, bytes_of_string(prefix));
    for (const char *at = name; *at; at++)
        put_u8(&entry->w,
               (uint8_t)(isalnum((unsigned char)*at) ? toupper((unsigned char)*at) : '_'));
    put_u8(&entry->w, '=');
    put_bytes(&entry->w, bytes_of_string(value));
    entry_end(entry);
}

static bool write_journal(enum log_priority priority, const char *message,
                          const struct log_field *fields)
{
    enum { MOST = sizeof((struct entry *)0)->parts / sizeof(struct iovec) };
    char room[2 * LOG_LINE_MAX], number[24];
    struct entry entry = {.w = writer_over(room, LOG_LINE_MAX)};
    entry_begin(&entry);
    put_bytes(&entry.w, bytes_of_string("MESSAGE="));
    log_put_text(&entry.w, message, fields);
    entry_end(&entry);
    entry.w.capacity = sizeof room;
    (void)snprintf(number, sizeof number, "%d", (int)priority);
    entry_add(&entry, "", "PRIORITY", number);
    entry_add(&entry, "P11KMS_", "COMPONENT", setup.component);
    for (const struct log_field *field = fields; field->name && entry.n < MOST; field++) {
        (void)snprintf(number, sizeof number, "%" PRId64, field->number);
        entry_add(&entry, "P11KMS_", field->name, field->text ? field->text : number);
    }
    return sd_journal_sendv(entry.parts, entry.n) == 0;
}

static void write_styled(enum log_priority priority, const char *message,
                         const struct log_field *fields)
{
    if (setup.style == LOG_STYLE_JSON)
        write_json(priority, message, fields);
    else if (setup.style == LOG_STYLE_TEXT || !write_journal(priority, message, fields))
        write_text(priority, message, fields);
}

static void tell_lost(void)
{
    unsigned n = has_room() ? atomic_exchange(&lost, 0) : 0;
    const struct log_field fields[] = {LOG_N("lines", n), {.name = NULL}};
    if (n > 0)
        write_styled(LOG_PRI_WARNING, "the log took no more, and lines were lost", fields);
}

void log_write(enum log_priority priority, const char *message, const struct log_field *fields)
{
    int saved = errno;
    if (priority <= setup.least) {
        if (atomic_load(&lost) > 0)
            tell_lost();
        write_styled(priority, message, fields);
    }
    errno = saved;
}
