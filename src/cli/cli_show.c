/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_show.h"

#include "cli_data.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

const char *show_time(int64_t ms, char text[static SHOW_TIME_MAX + 1])
{
    struct tm utc;
    time_t seconds = (time_t)(ms / 1000);
    text[0] = '\0';
    if (ms != 0 && gmtime_r(&seconds, &utc))
        (void)strftime(text, SHOW_TIME_MAX + 1, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return text;
}

const char *show_span(int64_t ms, char text[static SHOW_SPAN_MAX + 1])
{
    static const struct {
        int64_t seconds;
        const char *unit;
    } units[] = {{86400, "d"}, {3600, "h"}, {60, "min"}, {1, "s"}};
    enum { UNITS = sizeof units / sizeof units[0] };
    int64_t seconds = ms / 1000;
    size_t i = 0;
    while (i + 1 < UNITS && seconds < units[i].seconds)
        i++;
    int64_t most = seconds / units[i].seconds;
    int64_t rest = i + 1 < UNITS ? seconds % units[i].seconds / units[i + 1].seconds : 0;
    int len = snprintf(text, SHOW_SPAN_MAX + 1, "%" PRId64 " %s", most, units[i].unit);
    if (rest > 0)
        (void)snprintf(text + len, SHOW_SPAN_MAX + 1 - (size_t)len, " %" PRId64 " %s", rest,
                       units[i + 1].unit);
    return text;
}

void show_when(FILE *to, int64_t ms, int64_t now_ms)
{
    char time[SHOW_TIME_MAX + 1], span[SHOW_SPAN_MAX + 1];
    if (ms <= now_ms)
        (void)fprintf(to, "%s (%s ago)", show_time(ms, time), show_span(now_ms - ms, span));
    else
        (void)fprintf(to, "%s (in %s)", show_time(ms, time), show_span(ms - now_ms, span));
}

static bool coloured(FILE *to)
{
    const char *none = getenv("NO_COLOR");
    int fd = fileno(to);
    return fd >= 0 && isatty(fd) && (!none || none[0] == '\0');
}

void show_coloured(FILE *to, enum show_colour colour, const char *text, int width)
{
    static const char *const codes[] = {[SHOW_PLAIN] = "",
                                        [SHOW_GOOD] = "\033[32m",
                                        [SHOW_CARE] = "\033[33m",
                                        [SHOW_BAD] = "\033[31m"};
    bool on = colour != SHOW_PLAIN && coloured(to);
    (void)fprintf(to, "%s%-*s%s", on ? codes[colour] : "", width, text, on ? "\033[0m" : "");
}

enum show_colour show_state_colour(const char *state)
{
    if (strcmp(state, "active") == 0)
        return SHOW_GOOD;
    if (strcmp(state, "compromised") == 0)
        return SHOW_BAD;
    return strcmp(state, "pre-active") == 0 ? SHOW_CARE : SHOW_PLAIN;
}

const char *show_key_note(const struct admin_key *key, char text[static SHOW_NOTE_MAX + 1])
{
    const struct {
        bool on;
        const char *word, *names;
    } notes[] = {
        {key->seals, "seals", ""},
        {key->wrong[0] != '\0', "refused: ", key->wrong},
        {key->waived[0] != '\0', "waived: ", key->waived},
        {key->ambiguous, "two objects of one CKA_ID", ""},
        {key->quarantined, "quarantined", ""},
    };
    size_t len = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof notes / sizeof notes[0] && len <= SHOW_NOTE_MAX; i++) {
        if (!notes[i].on)
            continue;
        int put = snprintf(text + len, SHOW_NOTE_MAX + 1 - len, "%s%s%s", len > 0 ? "; " : "",
                           notes[i].word, notes[i].names);
        len += put > 0 ? (size_t)put : 0;
    }
    return text;
}

/* --- JSON -------------------------------------------------------------------------------- */

void show_json_time(FILE *to, const char *before, const char *name, int64_t ms)
{
    char time[SHOW_TIME_MAX + 1];
    if (ms != 0)
        cli_json_member(to, before, name, show_time(ms, time));
    else
        (void)fprintf(to, "%s\"%s\": null", before, name);
}

/* Calls for each of "A,B". */
static void each_name(const char *names, FILE *to, const char **before, const char *after)
{
    while (*names) {
        char name[ADMIN_NAMES_MAX + 1];
        size_t len = strcspn(names, ",");
        (void)snprintf(name, sizeof name, "%.*s", (int)len, names);
        (void)fputs(*before, to);
        cli_json_string(to, name);
        (void)fputs(after, to);
        *before = ", ";
        names += len + (names[len] == ',');
    }
}

void show_json_names(FILE *to, const char *before, const char *name, const char *names)
{
    const char *separator = "";
    (void)fprintf(to, "%s\"%s\": [", before, name);
    each_name(names, to, &separator, "");
    (void)fputs("]", to);
}

void show_key_json(FILE *to, const struct admin_key *key)
{
    const char *separator = "";
    cli_json_member(to, "{", "key_id", key->key_id);
    (void)fprintf(to, ", \"generation\": %" PRIu32, key->generation);
    cli_json_member(to, ", ", "scheme", key->scheme);
    cli_json_member(to, ", ", "state", key->state);
    cli_json_member(to, ", ", "label", key->label);
    show_json_time(to, ", ", "made", key->made_ms);
    (void)fprintf(to, ", \"seals\": %s, \"attributes\": {", key->seals ? "true" : "false");
    each_name(key->is_true, to, &separator, ": true");
    each_name(key->is_false, to, &separator, ": false");
    (void)fputs("}", to);
    show_json_names(to, ", ", "wrong", key->wrong);
    show_json_names(to, ", ", "waived", key->waived);
    (void)fprintf(to, ", \"ambiguous\": %s, \"quarantined\": %s}",
                  key->ambiguous ? "true" : "false", key->quarantined ? "true" : "false");
}
