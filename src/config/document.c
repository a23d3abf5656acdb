/* SPDX-License-Identifier: Apache-2.0 */
#include "document.h"

#include "keys.h"
#include "suggest.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct err document_fail(struct config_error *ret_error, unsigned line, const char *field,
                         const char *format, ...)
{
    struct config_error error = {.line = line};
    va_list arguments;
    (void)snprintf(error.field, sizeof error.field, "%s", field);
    va_start(arguments, format);
    (void)vsnprintf(error.message, sizeof error.message, format, arguments);
    va_end(arguments);
    *ret_error = error;
    return err_make(ERR_CONFIG, "configuration");
}

static unsigned mark_line(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static unsigned line_at(struct bytes text, size_t offset)
{
    unsigned line = 1;
    for (size_t i = 0; i < offset && i < text.len; i++)
        line += text.data[i] == '\n';
    return line;
}

/* What must hold before a parser sees it, line by line. */
static struct err check_text(struct bytes text, struct config_error *ret_error)
{
    unsigned line = 1;
    if (text.len > CONFIG_SIZE_MAX)
        return document_fail(ret_error, 1, "", "the file is larger than %d bytes", CONFIG_SIZE_MAX);
    for (size_t start = 0; start < text.len; line++) {
        const uint8_t *end = memchr(text.data + start, '\n', text.len - start);
        size_t len = end ? (size_t)(end - text.data) - start : text.len - start;
        if (!bytes_is_utf8(bytes_of(text.data + start, len)))
            return document_fail(ret_error, line, "", "not valid UTF-8 text");
        if (memchr(text.data + start, '\t', len))
            return document_fail(ret_error, line, "",
                                 "a tab character; indent and separate with spaces");
        start += len + 1;
    }
    return ERR_OK;
}

/* Features of YAML that make a file mean something else than it seems to. */
static const char *refused_token(yaml_token_type_t type)
{
    switch (type) {
    case YAML_ALIAS_TOKEN:
    case YAML_ANCHOR_TOKEN:
        return "anchors and aliases (& and *) are refused; quote the value if it begins so";
    case YAML_TAG_TOKEN:
        return "tags (!) are refused; quote the value if it begins so";
    case YAML_VERSION_DIRECTIVE_TOKEN:
    case YAML_TAG_DIRECTIVE_TOKEN:
        return "directives (%) are refused";
    default:
        return NULL;
    }
}

static struct err yaml_fail(const yaml_parser_t *parser, struct bytes text,
                            struct config_error *ret_error)
{
    unsigned line = parser->error == YAML_READER_ERROR ? line_at(text, parser->problem_offset)
                                                       : mark_line(parser->problem_mark);
    if (parser->error == YAML_MEMORY_ERROR)
        return err_make(ERR_EXHAUSTED, "libyaml");
    return document_fail(ret_error, line, "", "not YAML: %s",
                         parser->problem ? parser->problem : "unknown error");
}

static struct err scan_tokens(yaml_parser_t *parser, struct bytes text,
                              struct config_error *ret_error)
{
    yaml_token_type_t type;
    do {
        yaml_token_t token;
        if (!yaml_parser_scan(parser, &token))
            return yaml_fail(parser, text, ret_error);
        type = token.type;
        unsigned line = mark_line(token.start_mark);
        const char *refused = refused_token(type);
        yaml_token_delete(&token);
        if (refused)
            return document_fail(ret_error, line, "", "%s", refused);
    } while (type != YAML_STREAM_END_TOKEN);
    return ERR_OK;
}

static bool parser_start(yaml_parser_t *parser, struct bytes text)
{
    if (!yaml_parser_initialize(parser))
        return false;
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, text.data, text.len);
    return true;
}

static struct err refuse_second(yaml_parser_t *parser, struct bytes text,
                                struct config_error *ret_error)
{
    yaml_document_t second;
    if (!yaml_parser_load(parser, &second))
        return yaml_fail(parser, text, ret_error);
    bool there = yaml_document_get_root_node(&second) != NULL;
    unsigned line = mark_line(second.start_mark);
    yaml_document_delete(&second);
    if (there)
        return document_fail(ret_error, line, "", "a second document begins here; one is taken");
    return ERR_OK;
}

static struct err load_tree(struct document *document, yaml_parser_t *parser, struct bytes text,
                            struct config_error *ret_error)
{
    if (!yaml_parser_load(parser, &document->yaml))
        return yaml_fail(parser, text, ret_error);
    document->loaded = true;
    yaml_node_t *root = yaml_document_get_root_node(&document->yaml);
    if (!root || (root->type == YAML_SCALAR_NODE && root->data.scalar.length == 0))
        return document_fail(ret_error, 1, "",
                             "the file is empty; it begins with "
                             "apiVersion: p11-kms/v1");
    if (root->type != YAML_MAPPING_NODE)
        return document_fail(ret_error, mark_line(root->start_mark), "",
                             "the file must hold keys, beginning with apiVersion: p11-kms/v1");
    return refuse_second(parser, text, ret_error);
}

struct err document_load(struct document *document, struct bytes text,
                         struct config_error *ret_error)
{
    yaml_parser_t parser;
    memset(document, 0, sizeof *document);
    TRY(check_text(text, ret_error));
    if (!parser_start(&parser, text))
        return err_make(ERR_EXHAUSTED, "libyaml");
    struct err e = scan_tokens(&parser, text, ret_error);
    yaml_parser_delete(&parser);
    TRY(e);
    if (!parser_start(&parser, text))
        return err_make(ERR_EXHAUSTED, "libyaml");
    e = load_tree(document, &parser, text, ret_error);
    yaml_parser_delete(&parser);
    return e;
}

void document_free(struct document *document)
{
    if (document->loaded)
        yaml_document_delete(&document->yaml);
    document->loaded = false;
}

static struct bytes scalar_of(const yaml_node_t *node)
{
    return bytes_of(node->data.scalar.value, node->data.scalar.length);
}

/* The key's node in a mapping, and its value's; NULL when it is absent. */
static yaml_node_t *find_in(yaml_document_t *yaml, yaml_node_t *mapping, struct bytes name,
                            yaml_node_t **ret_value)
{
    yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
    for (; pair < mapping->data.mapping.pairs.top; pair++) {
        yaml_node_t *key = yaml_document_get_node(yaml, pair->key);
        if (key->type != YAML_SCALAR_NODE || !bytes_equal(scalar_of(key), name))
            continue;
        *ret_value = yaml_document_get_node(yaml, pair->value);
        return key;
    }
    return NULL;
}

/* The value at a path, or NULL; *ret_line as document_line says. */
static yaml_node_t *find_path(struct document *document, const char *path, unsigned *ret_line)
{
    yaml_node_t *node = yaml_document_get_root_node(&document->yaml);
    *ret_line = 1;
    for (const char *at = path; node && *at;) {
        size_t len = strcspn(at, ".");
        yaml_node_t *value = NULL, *key = NULL;
        if (node->type == YAML_MAPPING_NODE)
            key = find_in(&document->yaml, node, bytes_of(at, len), &value);
        if (key)
            *ret_line = mark_line(key->start_mark);
        node = value;
        at += len + (at[len] == '.');
    }
    return node;
}

bool document_has(struct document *document, const char *path)
{
    unsigned line;
    return find_path(document, path, &line) != NULL;
}

unsigned document_line(struct document *document, const char *path)
{
    unsigned line;
    (void)find_path(document, path, &line);
    return line;
}

unsigned document_item_line(struct document *document, const char *path, size_t index)
{
    unsigned line;
    yaml_node_t *list = find_path(document, path, &line);
    if (!list || list->type != YAML_SEQUENCE_NODE)
        return line;
    yaml_node_item_t *item = list->data.sequence.items.start + index;
    if (item >= list->data.sequence.items.top)
        return line;
    return mark_line(yaml_document_get_node(&document->yaml, *item)->start_mark);
}

/* "section.name" for messages and look-ups: bytes that no key has become '?', and what is longer
 * than any key is cut. */
static void path_of(const char *section, struct bytes name, char *ret, size_t size)
{
    size_t used = (size_t)snprintf(ret, size, "%s%s", section, *section ? "." : "");
    for (size_t i = 0; i < name.len && used + 1 < size; i++) {
        uint8_t c = name.data[i];
        ret[used++] = c > 0x20 && c < 0x7f ? (char)c : '?';
    }
    ret[used] = '\0';
}

static struct err check_scalar(const yaml_node_t *node, unsigned line, const char *path,
                               struct config_error *ret_error)
{
    if (node->type != YAML_SCALAR_NODE)
        return document_fail(ret_error, line, path, "must be a single value");
    if (node->data.scalar.length == 0)
        return document_fail(ret_error, line, path, "has no value; give one or remove the key");
    for (size_t i = 0; i < node->data.scalar.length; i++)
        if (node->data.scalar.value[i] < 0x20 || node->data.scalar.value[i] == 0x7f)
            return document_fail(ret_error, line, path, "holds a control character or a line end");
    return ERR_OK;
}

static struct err check_list(struct document *document, const yaml_node_t *node, unsigned line,
                             const char *path, struct config_error *ret_error)
{
    if (node->type != YAML_SEQUENCE_NODE)
        return document_fail(ret_error, line, path, "must be a list, such as [0]");
    yaml_node_item_t *item = node->data.sequence.items.start;
    if (node->data.sequence.items.top - item > CONFIG_IDS_MAX)
        return document_fail(ret_error, line, path, "has more than %d items", CONFIG_IDS_MAX);
    for (; item < node->data.sequence.items.top; item++) {
        yaml_node_t *value = yaml_document_get_node(&document->yaml, *item);
        TRY(check_scalar(value, mark_line(value->start_mark), path, ret_error));
    }
    return ERR_OK;
}

static struct err check_mapping(struct document *document, yaml_node_t *mapping,
                                const char *section, struct config_error *ret_error);

static struct err check_value(struct document *document, const struct config_key *key,
                              yaml_node_t *value, unsigned line, struct config_error *ret_error)
{
    switch (key->shape) {
    case KEY_SECTION:
        if (value->type != YAML_MAPPING_NODE)
            return document_fail(ret_error, line, key->path, "must hold keys of its own");
        return check_mapping(document, value, key->path, ret_error);
    case KEY_SCALAR:
        return check_scalar(value, line, key->path, ret_error);
    case KEY_LIST:
        return check_list(document, value, line, key->path, ret_error);
    case KEY_NOT_BUILT:
        break;
    }
    return document_fail(ret_error, line, key->path, "not built in this version; remove the key");
}

static struct err unknown_key(unsigned line, const char *path, struct config_error *ret_error)
{
    const char *meant = suggest_key(path);
    if (meant)
        return document_fail(ret_error, line, path, "unknown key; did you mean %s?", meant);
    return document_fail(ret_error, line, path, "unknown key");
}

static struct err check_mapping(struct document *document, yaml_node_t *mapping,
                                const char *section, struct config_error *ret_error)
{
    yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
    for (; pair < mapping->data.mapping.pairs.top; pair++) {
        yaml_node_t *name = yaml_document_get_node(&document->yaml, pair->key), *value;
        char path[sizeof ret_error->field];
        unsigned line = mark_line(name->start_mark);
        if (name->type != YAML_SCALAR_NODE)
            return document_fail(ret_error, line, section, "a key must be a plain word");
        path_of(section, scalar_of(name), path, sizeof path);
        const struct config_key *key = config_key_find(path, strlen(path));
        /* At the top a dotted name would otherwise reach a section's key. */
        if (!key || memchr(name->data.scalar.value, '.', name->data.scalar.length))
            return unknown_key(line, path, ret_error);
        yaml_node_t *first = find_in(&document->yaml, mapping, scalar_of(name), &value);
        if (first != name)
            return document_fail(ret_error, line, path, "given twice; first in line %u",
                                 mark_line(first->start_mark));
        TRY(check_value(document, key, value, line, ret_error));
    }
    return ERR_OK;
}

struct err document_check(struct document *document, struct config_error *ret_error)
{
    return check_mapping(document, yaml_document_get_root_node(&document->yaml), "", ret_error);
}
