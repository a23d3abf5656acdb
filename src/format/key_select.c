/* SPDX-License-Identifier: Apache-2.0 */
#include "key_select.h"

#include <fnmatch.h>
#include <string.h>

static const char *parse_label(const char *glob, struct key_select *ret)
{
    if (!*glob)
        return "label: needs a pattern behind it, such as label:k8s-*";
    ret->by_label = ret->globs = true;
    (void)bytes_to_string(bytes_of_string(glob), ret->label, sizeof ret->label);
    return NULL;
}

static const char *parse_id(const char *glob, struct key_select *ret)
{
    if (!*glob || glob[strspn(glob, "0123456789abcdef*?")] != '\0')
        return "id: needs a pattern of lower-case hex digits, * and ? behind it, such as id:0a*";
    ret->by_id = ret->globs = true;
    (void)bytes_to_string(bytes_of_string(glob), ret->id, sizeof ret->id);
    return NULL;
}

/* RFC 7512, 2.3: what stands for itself in an attribute of the path. */
static bool is_plain(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("-._~:[]@!$'()*+,=&", c));
}

/* Undoes percent-encoding; false when it is malformed or the value does not fit. */
static bool decode(struct bytes from, uint8_t *to, size_t size, size_t *ret_len)
{
    size_t len = 0;
    for (size_t i = 0; i < from.len; i++, len++) {
        char digits[3] = {0};
        size_t n;
        if (len == size)
            return false;
        to[len] = from.data[i];
        if (from.data[i] != '%') {
            if (!is_plain((char)from.data[i]))
                return false;
            continue;
        }
        if (from.len - i < 3)
            return false;
        memcpy(digits, from.data + i + 1, 2);
        if (err_is(hex_decode(digits, to + len, 1, &n)) || n != 1)
            return false;
        i += 2;
    }
    *ret_len = len;
    return len > 0;
}

static const char *uri_object(struct bytes value, struct key_select *ret)
{
    uint8_t label[SELECT_LABEL_MAX];
    size_t len;
    if (ret->by_label)
        return "object is given twice";
    if (!decode(value, label, sizeof label, &len) ||
        !bytes_to_string(bytes_of(label, len), ret->label, sizeof ret->label))
        return "object must be a label of 1 to 255 bytes, with % and two hex digits for what a "
               "URI cannot hold";
    ret->by_label = true;
    return NULL;
}

static const char *uri_id(struct bytes value, struct key_select *ret)
{
    uint8_t id[OBJECT_ID_MAX];
    size_t len;
    if (ret->by_id)
        return "id is given twice";
    if (!decode(value, id, sizeof id, &len) ||
        err_is(hex_encode(bytes_of(id, len), ret->id, sizeof ret->id)))
        return "id must be 1 to 64 bytes, with % and two hex digits for each, such as id=%0A%01";
    ret->by_id = true;
    return NULL;
}

static bool cut(struct bytes *rest, const char *name)
{
    size_t len = strlen(name);
    if (rest->len < len || memcmp(rest->data, name, len) != 0)
        return false;
    *rest = bytes_of(rest->data + len, rest->len - len);
    return true;
}

static const char *uri_attribute(struct bytes attribute, struct key_select *ret)
{
    if (cut(&attribute, "object="))
        return uri_object(attribute, ret);
    if (cut(&attribute, "id="))
        return uri_id(attribute, ret);
    if (bytes_equal(attribute, bytes_of_string("type=secret-key")))
        return NULL;
    return "the URI may have object, id and type=secret-key, with ; between them: the token is "
           "named by token.uri, and nothing else is taken";
}

static const char *parse_uri(const char *path, struct key_select *ret)
{
    for (;;) {
        size_t len = strcspn(path, ";");
        const char *wrong = uri_attribute(bytes_of(path, len), ret);
        if (wrong)
            return wrong;
        if (path[len] == '\0')
            break;
        path += len + 1;
    }
    if (ret->by_label || ret->by_id)
        return NULL;
    return "the URI must name keys: by object, id or both";
}

const char *key_select_parse(const char *text, struct key_select *ret)
{
    struct key_select select = {.by_label = false};
    const char *wrong = "must be label:GLOB, id:HEX-GLOB or pkcs11:object=LABEL;id=%0A%01";
    if (strlen(text) > KEY_SELECT_MAX)
        return "too long: at most 511 bytes";
    if (strncmp(text, "label:", 6) == 0)
        wrong = parse_label(text + 6, &select);
    else if (strncmp(text, "id:", 3) == 0)
        wrong = parse_id(text + 3, &select);
    else if (strncmp(text, "pkcs11:", 7) == 0)
        wrong = parse_uri(text + 7, &select);
    if (!wrong)
        *ret = select;
    return wrong;
}

/* No FNM_PATHNAME: labels are no paths. */
static bool text_matches(const struct key_select *select, const char *wanted, const char *text)
{
    return select->globs ? fnmatch(wanted, text, 0) == 0 : strcmp(wanted, text) == 0;
}

bool key_select_matches(const struct key_select *select, const struct object_id *id,
                        const char *label)
{
    char hex[2 * OBJECT_ID_MAX + 1];
    if (select->by_label && !text_matches(select, select->label, label))
        return false;
    if (select->by_id && (err_is(hex_encode(object_id_bytes(id), hex, sizeof hex)) ||
                          !text_matches(select, select->id, hex)))
        return false;
    return select->by_label || select->by_id;
}
