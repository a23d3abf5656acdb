/* SPDX-License-Identifier: Apache-2.0 */
#include "log_line.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Kept free behind the fields, so that a full line can still say so and be closed. */
static const char text_truncated[] = " truncated=true";
static const char json_truncated[] = ",\"truncated\":true}";

const char *log_priority_name(enum log_priority priority)
{
    switch (priority) {
    case LOG_PRI_ERROR:
        return "error";
    case LOG_PRI_WARNING:
        return "warning";
    case LOG_PRI_INFO:
        return "info";
    case LOG_PRI_DEBUG:
        return "debug";
    }
    return "error";
}

static void put_text(struct writer *w, const char *text)
{
    put_bytes(w, bytes_of_string(text));
}

void log_put_time(struct writer *w, int64_t wall_ms)
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm utc;
    char text[32], whole[48];
    if (!gmtime_r(&seconds, &utc) || strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &utc) == 0)
        return;
    (void)snprintf(whole, sizeof whole, "%s.%03dZ", text, (int)(wall_ms % 1000));
    put_text(w, whole);
}

/* The length of the valid UTF-8 sequence that text begins with; 0 when there is none. */
static size_t sequence_length(const char *text)
{
    size_t available = strnlen(text, 4);
    for (size_t len = 1; len <= available; len++)
        if (bytes_is_utf8(bytes_of(text, len)))
            return len;
    return 0;
}

/* C0, DEL and C1 (U+0080 to U+009F): a terminal may obey any of them. */
static bool is_control(const char *at, size_t len)
{
    unsigned char first = (unsigned char)at[0];
    if (len == 1)
        return first < 0x20 || first == 0x7f;
    return len == 2 && first == 0xc2 && (unsigned char)at[1] < 0xa0;
}

static void put_escape(struct writer *w, bool json, const char *at, size_t len)
{
    char escape[8];
    unsigned code = len == 2 ? (unsigned char)at[1] : (unsigned char)at[0];
    if (json && len == 0)
        code = 0xfffd;
    (void)snprintf(escape, sizeof escape, json ? "\\u%04x" : "\\x%02x", code);
    put_text(w, escape);
}

static void put_escaped(struct writer *w, bool json, bool quoted, const char *text)
{
    for (const char *at = text; *at;) {
        size_t len = sequence_length(at);
        if (len == 0 || is_control(at, len))
            put_escape(w, json, at, len);
        else if (quoted && (*at == '"' || *at == '\\'))
            put_bytes(w, bytes_of((char[]){'\\', *at}, 2));
        else
            put_bytes(w, bytes_of(at, len));
        at += len ? len : 1;
    }
}

static void put_quoted(struct writer *w, bool json, const char *text)
{
    put_u8(w, '"');
    put_escaped(w, json, true, text);
    put_u8(w, '"');
}

static void put_number(struct writer *w, int64_t number)
{
    char text[24];
    (void)snprintf(text, sizeof text, "%" PRId64, number);
    put_text(w, text);
}

static bool plain_word(const char *text)
{
    return *text && strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                 "._:/@%+,-") == strlen(text);
}

static void put_field(struct writer *w, bool json, const struct log_field *field)
{
    put_text(w, json ? ",\"" : " ");
    put_text(w, field->name);
    put_text(w, json ? "\":" : "=");
    if (!field->text)
        put_number(w, field->number);
    else if (!json && plain_word(field->text))
        put_text(w, field->text);
    else
        put_quoted(w, json, field->text);
}

/* Each field is there whole or not at all. */
static void put_fields(struct writer *w, bool json, const struct log_field *fields,
                       const char *truncated)
{
    bool all = true;
    size_t reserve = strlen(truncated);
    w->capacity -= reserve;
    for (const struct log_field *field = fields; field->name; field++) {
        size_t before = w->len;
        put_field(w, json, field);
        if (w->full) {
            *w = (struct writer){.data = w->data, .capacity = w->capacity, .len = before};
            all = false;
        }
    }
    w->capacity += reserve;
    if (!all)
        put_text(w, truncated);
    else if (json)
        put_u8(w, '}');
}

/* A message may use half of what is free; a longer one is left out like a field. */
static void put_message(struct writer *w, bool json, const char *message)
{
    size_t before = w->len, capacity = w->capacity;
    w->capacity = before + (capacity - before) / 2;
    if (json)
        put_quoted(w, true, message);
    else
        put_escaped(w, false, false, message);
    bool fits = !w->full;
    *w = (struct writer){.data = w->data, .capacity = capacity, .len = fits ? w->len : before};
    if (!fits)
        put_text(w, json ? "\"message too long\"" : "message too long");
}

void log_put_text(struct writer *w, const char *message, const struct log_field *fields)
{
    put_message(w, false, message);
    put_fields(w, false, fields, text_truncated);
}

void log_put_json(struct writer *w, int64_t wall_ms, enum log_priority priority,
                  const char *component, const char *message, const struct log_field *fields)
{
    put_text(w, "{\"time\":\"");
    log_put_time(w, wall_ms);
    put_text(w, "\",\"priority\":\"");
    put_text(w, log_priority_name(priority));
    put_text(w, "\",\"component\":");
    put_quoted(w, true, component);
    put_text(w, ",\"message\":");
    put_message(w, true, message);
    put_fields(w, true, fields, json_truncated);
}
