/* SPDX-License-Identifier: Apache-2.0 */
#include "values.h"

#include "config.h"
#include "key_select.h"
#include "text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool complain(struct complaint *complaint, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(complaint->text, sizeof complaint->text, format, arguments);
    va_end(arguments);
    return false;
}

static bool copy(const char *text, void *to, size_t size, struct complaint *complaint)
{
    if (strlen(text) >= size)
        return complain(complaint, "too long: at most %zu bytes", size - 1);
    memcpy(to, text, strlen(text) + 1);
    return true;
}

bool parse_api_version(const char *text, const struct value_rule *rule, void *to, size_t size,
                       struct complaint *complaint)
{
    (void)rule, (void)to, (void)size;
    if (strcmp(text, "p11-kms/v1") != 0)
        return complain(complaint, "unsupported version; this program reads p11-kms/v1");
    return true;
}

/* Absolute, and no two spellings of one path: what is logged is what is meant. */
static bool path_plain(const char *path)
{
    size_t len = strlen(path);
    return path[0] == '/' && len > 1 && path[len - 1] != '/' && !strstr(path, "//") &&
           !strstr(path, "/./") && !strstr(path, "/../") && strcmp(path + len - 2, "/.") != 0 &&
           (len < 3 || strcmp(path + len - 3, "/..") != 0);
}

bool parse_absolute_path(const char *text, const struct value_rule *rule, void *to, size_t size,
                         struct complaint *complaint)
{
    (void)rule;
    if (!path_plain(text))
        return complain(complaint, "must be an absolute path without '.', '..', '//' or a '/' at "
                                   "its end");
    return copy(text, to, size, complaint);
}

bool parse_socket(const char *text, const struct value_rule *rule, void *to, size_t size,
                  struct complaint *complaint)
{
    static const char scheme[] = "unix://";
    if (strncmp(text, "unix:@", 6) == 0 || strncmp(text, "unix:///@", 9) == 0)
        return complain(complaint, "abstract sockets are refused: they have no file mode; "
                                   "write unix:///absolute/path");
    if (strncmp(text, scheme, sizeof scheme - 1) != 0 || text[sizeof scheme - 1] != '/')
        return complain(complaint, "must be unix:///absolute/path");
    return parse_absolute_path(text + sizeof scheme - 1, rule, to, size, complaint);
}

/* "[::1]:8082" or "127.0.0.1:8082": false when it is no such thing. */
static bool parse_host_port(const char *text, struct http_place *to)
{
    char host[64];
    uint64_t port = 0;
    const char *colon = strrchr(text, ':');
    if (!colon || err_is(parse_u64(colon + 1, 1, UINT16_MAX, &port)))
        return false;
    bool six = text[0] == '[' && colon > text + 1 && colon[-1] == ']';
    size_t len = (size_t)(colon - text) - (six ? 2 : 0);
    if (len >= sizeof host)
        return false;
    memcpy(host, text + six, len);
    host[len] = '\0';
    to->kind = six ? HTTP_IPV6 : HTTP_IPV4;
    to->port = (uint16_t)port;
    return inet_pton(six ? AF_INET6 : AF_INET, host, to->address) == 1;
}

/* No name: what localhost stands for is another file's business, and may change. */
bool parse_http(const char *text, const struct value_rule *rule, void *to, size_t size,
                struct complaint *complaint)
{
    static const uint8_t loopback6[16] = {[15] = 1};
    struct http_place place;
    memset(&place, 0, sizeof place); /* the padding too: a reload compares bytes */
    if (strncmp(text, "unix:", 5) == 0) {
        place.kind = HTTP_UNIX;
        if (!parse_socket(text, rule, place.path, sizeof place.path, complaint))
            return false;
    } else if (!parse_host_port(text, &place)) {
        return complain(complaint, "must be 127.0.0.1:PORT, [::1]:PORT or unix:///absolute/path");
    } else if (place.kind == HTTP_IPV4 ? place.address[0] != 127
                                       : memcmp(place.address, loopback6, sizeof loopback6) != 0) {
        return complain(complaint, "must be an address of the loopback interface, such as "
                                   "127.0.0.1:8082: it is served without any authentication");
    }
    memcpy(to, &place, size);
    return true;
}

bool parse_group(const char *text, const struct value_rule *rule, void *to, size_t size,
                 struct complaint *complaint)
{
    (void)rule;
    for (const char *at = text; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return complain(complaint, "must be the name of a group, or its number");
    return copy(text, to, size, complaint);
}

bool parse_id(const char *text, const struct value_rule *rule, void *to, size_t size,
              struct complaint *complaint)
{
    uint64_t id;
    (void)rule, (void)size;
    /* (uid_t)-1 means "nobody in particular" to chown(2) and its kind. */
    if (err_is(parse_u64(text, 0, UINT32_MAX - 1, &id)))
        return complain(complaint, "must be a number from 0 to %" PRIu32, UINT32_MAX - 1);
    *(uint32_t *)to = (uint32_t)id;
    return true;
}

/* systemd's own rule for a credential's name: a plain file name. */
static bool credential_name_valid(const char *name)
{
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strlen(name) > 255)
        return false;
    for (const char *at = name; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return false;
    return true;
}

bool parse_pin_source(const char *text, const struct value_rule *rule, void *to, size_t size,
                      struct complaint *complaint)
{
    (void)rule;
    bool credential = strncmp(text, "credential:", 11) == 0 && credential_name_valid(text + 11);
    bool file = strncmp(text, "file:", 5) == 0 && path_plain(text + 5);
    if (!credential && !file && strcmp(text, "protected") != 0)
        return complain(complaint, "must be credential:NAME, file:/absolute/path or protected; "
                                   "a PIN itself never stands in this file");
    return copy(text, to, size, complaint);
}

bool parse_ring_name(const char *text, const struct value_rule *rule, void *to, size_t size,
                     struct complaint *complaint)
{
    (void)rule;
    if (!ring_name_valid(text))
        return complain(complaint, "must be 1 to %d of a-z, 0-9 and '-'", RING_NAME_MAX);
    return copy(text, to, size, complaint);
}

bool parse_key_select(const char *text, const struct value_rule *rule, void *to, size_t size,
                      struct complaint *complaint)
{
    struct key_select select;
    const char *wrong = key_select_parse(text, &select);
    (void)rule;
    return wrong ? complain(complaint, "%s", wrong) : copy(text, to, size, complaint);
}

bool parse_key_id(const char *text, const struct value_rule *rule, void *to, size_t size,
                  struct complaint *complaint)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    (void)rule;
    if (err_is(key_id_parse(bytes_of_string(text), ring, &id)))
        return complain(complaint, "must be a key_id, such as `p11-kms init` shows");
    return copy(text, to, size, complaint);
}

bool parse_scheme(const char *text, const struct value_rule *rule, void *to, size_t size,
                  struct complaint *complaint)
{
    enum scheme scheme = scheme_from_name(bytes_of_string(text));
    (void)rule, (void)size;
    if (scheme == SCHEME_NONE && strcmp(text, "auto") != 0)
        return complain(complaint, "must be auto, %s, %s, %s or %s",
                        scheme_name(scheme_by_preference(0)), scheme_name(scheme_by_preference(1)),
                        scheme_name(scheme_by_preference(2)), scheme_name(scheme_by_preference(3)));
    *(enum scheme *)to = scheme;
    return true;
}

static bool complain_words(const struct value_rule *rule, struct complaint *complaint)
{
    size_t used = (size_t)snprintf(complaint->text, sizeof complaint->text, "must be one of");
    for (const char *const *word = rule->words; *word && used < sizeof complaint->text; word++)
        used += (size_t)snprintf(complaint->text + used, sizeof complaint->text - used, "%s %s",
                                 word == rule->words ? "" : ",", *word);
    return false;
}

static int word_index(const char *text, const struct value_rule *rule)
{
    for (int i = 0; rule->words[i]; i++)
        if (strcmp(text, rule->words[i]) == 0)
            return i;
    return -1;
}

bool parse_word_text(const char *text, const struct value_rule *rule, void *to, size_t size,
                     struct complaint *complaint)
{
    if (word_index(text, rule) < 0)
        return complain_words(rule, complaint);
    return copy(text, to, size, complaint);
}

bool parse_word_number(const char *text, const struct value_rule *rule, void *to, size_t size,
                       struct complaint *complaint)
{
    int index = word_index(text, rule);
    (void)size;
    if (index < 0)
        return complain_words(rule, complaint);
    memcpy(to, &index, sizeof index);
    return true;
}

bool parse_bool(const char *text, const struct value_rule *rule, void *to, size_t size,
                struct complaint *complaint)
{
    (void)rule, (void)size;
    if (strcmp(text, "true") != 0 && strcmp(text, "false") != 0)
        return complain(complaint, "must be true or false");
    *(bool *)to = text[0] == 't';
    return true;
}

bool parse_count(const char *text, const struct value_rule *rule, void *to, size_t size,
                 struct complaint *complaint)
{
    uint64_t count;
    (void)size;
    if (err_is(parse_u64(text, 0, UINT64_MAX, &count)))
        return complain(complaint, "must be a whole number from %" PRId64 " to %" PRId64,
                        rule->least, rule->most);
    if (count < (uint64_t)rule->least || count > (uint64_t)rule->most)
        return complain(complaint, "out of range: %" PRId64 " to %" PRId64, rule->least,
                        rule->most);
    *(uint32_t *)to = (uint32_t)count;
    return true;
}

static const struct unit {
    const char *name;
    int64_t ms;
} units[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};

const char *duration_format(int64_t ms, char *text, size_t size)
{
    size_t i = 0;
    while (ms % units[i].ms != 0 || (ms == 0 && units[i].ms != 1000))
        i++;
    (void)snprintf(text, size, "%" PRId64 "%s", ms / units[i].ms, units[i].name);
    return text;
}

bool parse_duration(const char *text, const struct value_rule *rule, void *to, size_t size,
                    struct complaint *complaint)
{
    size_t n_digits = strspn(text, "0123456789");
    char number[24], least[24], most[24];
    uint64_t value = 0;
    int64_t unit = 0;
    (void)size;
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(text + n_digits, units[i].name) == 0)
            unit = units[i].ms;
    if (n_digits == 0 || unit == 0)
        return complain(complaint, "must be a whole number and one unit (ms, s, m, h or d), "
                                   "such as 250ms or 2s");
    (void)snprintf(number, sizeof number, "%.*s", (int)(n_digits < 20 ? n_digits : 20), text);
    if (err_is(parse_u64(number, 0, UINT64_MAX, &value)) || value > (uint64_t)(rule->most / unit) ||
        (int64_t)value * unit < rule->least)
        return complain(complaint, "out of range: %s to %s",
                        duration_format(rule->least, least, sizeof least),
                        duration_format(rule->most, most, sizeof most));
    *(int64_t *)to = (int64_t)value * unit;
    return true;
}

bool parse_period(const char *text, const struct value_rule *rule, void *to, size_t size,
                  struct complaint *complaint)
{
    bool period = isdigit((unsigned char)text[0]);
    if (period)
        return parse_duration(text, rule, to, size, complaint);
    if (strcmp(text, "never") != 0)
        return complain(complaint, "must be a whole number and one unit, such as 30d, or never");
    *(int64_t *)to = 0;
    return true;
}
