/* SPDX-License-Identifier: Apache-2.0 */
/* The file as libyaml reads it: its shape checked against the table of keys, and the line of each
 * path, which libcyaml does not know. */
#ifndef P11KMS_CONFIG_DOCUMENT_H
#define P11KMS_CONFIG_DOCUMENT_H

#include "config.h"

#include <yaml.h>

struct document {
    yaml_document_t yaml;
    bool loaded;
};

/* Reads one document. ERR_CONFIG, said in *ret_error, for text that is no plain YAML: too large,
 * not UTF-8, tabs, syntax, aliases, tags, several documents, nothing at all. document_free is for
 * the caller in any case. */
MUST_CHECK struct err document_load(struct document *document, struct bytes text,
                                    struct config_error *ret_error);
void document_free(struct document *document);

/* Every key is known, built, there once and of the shape its row says. */
MUST_CHECK struct err document_check(struct document *document, struct config_error *ret_error);

/* Whether the file has the key. */
bool document_has(struct document *document, const char *path);

/* The line of a key, from 1; of its section where it is absent; 1 where that is absent too. */
unsigned document_line(struct document *document, const char *path);

/* The line of the index-th item of a list; of the list where it has no such item. */
unsigned document_item_line(struct document *document, const char *path, size_t index);

/* Fills *ret_error and makes the error to return. field may be empty. */
MUST_CHECK struct err document_fail(struct config_error *ret_error, unsigned line,
                                    const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
