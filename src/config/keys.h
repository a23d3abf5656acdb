/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of keys: what the file may say, what it means when it does not, and where it
 * goes. docs/configuration.md is tested against it. A new key is a row here, a member of struct
 * config and of struct raw_config, and a line in raw.c's schema. */
#ifndef P11KMS_CONFIG_KEYS_H
#define P11KMS_CONFIG_KEYS_H

#include "values.h"

enum key_shape {
    KEY_SECTION,  /* a mapping of other keys */
    KEY_SCALAR,   /* one value */
    KEY_LIST,     /* a sequence of values */
    KEY_NOT_BUILT /* a name of the design that this version cannot serve */
};

struct config_key {
    const char *path; /* dotted */
    enum key_shape shape;
    bool required;
    bool reload;          /* SIGHUP applies it */
    const char *fallback; /* the text that stands for an absent key; NULL: nothing is stored */
    value_parser *parse;
    struct value_rule rule;
    size_t raw; /* offset in struct raw_config */
    size_t at;  /* offset and size in struct config */
    size_t size;
    size_t count; /* KEY_LIST: offset of the number of items in struct config */
};

extern const struct config_key config_keys[];
extern const size_t config_n_keys;

/* The row of a path that need not be terminated; NULL when there is none. */
const struct config_key *config_key_find(const char *path, size_t len);

#endif
