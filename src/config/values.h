/* SPDX-License-Identifier: Apache-2.0 */
/* What the text of one value means. Complaints never quote the value: it may be a PIN that was
 * put in the wrong place. */
#ifndef P11KMS_CONFIG_VALUES_H
#define P11KMS_CONFIG_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a row of the table says about its values: a range, or the only words. */
struct value_rule {
    int64_t least;
    int64_t most;
    const char *const *words; /* ends with NULL; the n-th word means n */
};

/* Where a parser says what is wrong and what would be right. */
struct complaint {
    char text[384];
};

/* Reads text into `to`, which has `size` bytes and the type the parser's comment names. False,
 * with a complaint and `to` as it was, when the text does not say such a value. */
typedef bool value_parser(const char *text, const struct value_rule *rule, void *to, size_t size,
                          struct complaint *complaint);

value_parser parse_api_version;   /* to nothing: it has one value */
value_parser parse_socket;        /* char[]: the path */
value_parser parse_http;          /* struct http_place */
value_parser parse_group;         /* char[]: a group's name or number */
value_parser parse_id;            /* uint32_t: a uid or gid */
value_parser parse_absolute_path; /* char[] */
value_parser parse_pin_source;    /* char[] */
value_parser parse_ring_name;     /* char[] */
value_parser parse_key_select;    /* char[] */
value_parser parse_key_id;        /* char[] */
value_parser parse_scheme;        /* enum scheme */
value_parser parse_word_text;     /* char[]: one of rule->words */
value_parser parse_word_number;   /* an int-sized enum: which of rule->words */
value_parser parse_bool;          /* bool */
value_parser parse_count;         /* uint32_t within the rule */
value_parser parse_duration;      /* int64_t, milliseconds, within the rule */
value_parser parse_period;        /* the same, or "never": 0 */

/* Writes what is wrong; always false, so that parsers can return it. */
bool complain(struct complaint *complaint, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* "2s": in the largest unit that divides it. Returns text. */
const char *duration_format(int64_t ms, char *text, size_t size);

#endif
