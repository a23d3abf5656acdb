/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_objects.h"

#include "attributes.h"
#include "cleanup.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    TOOL_MS = 20000,
    OUTPUT_MAX = 65536,
    ARGUMENTS_MAX = 16,
    TRIES = 3,
    LISTINGS = 10,
    DAY_SECONDS = 86400
};

static char *plain(const char *text)
{
    return (char *)(uintptr_t)text;
}

enum scheme ring_objects_scheme(void)
{
    const char *named = getenv("P11KMS_TEST_SCHEME");
    return named ? scheme_from_name(bytes_of_string(named)) : SCHEME_AES_GCM;
}

static const char *type_of_ring(void)
{
    return key_role_class(ring_objects_scheme(), 0) == KEY_CLASS_PRIVATE ? "privkey" : "secrkey";
}

/* Runs pkcs11-tool on objects of a type, with these arguments besides what finds the token and logs
 * in. */
static void run_tool(const struct harness *h, const char *type, char *const arguments[], char *ret,
                     size_t size)
{
    char out[HARNESS_PATH_MAX], pin_path[HARNESS_PATH_MAX], pin[64], module_path[HARNESS_PATH_MAX];
    char module[HARNESS_PATH_MAX];
    harness_path(h, "tool", out);
    harness_path(h, "pin", pin_path);
    harness_path(h, "module", module_path);
    (void)harness_read(pin_path, pin, sizeof pin);
    pin[strcspn(pin, "\n")] = '\0';
    (void)harness_read(module_path, module, sizeof module);
    module[strcspn(module, "\n")] = '\0';
    char *argv[ARGUMENTS_MAX] = {plain("pkcs11-tool"), plain("--module"), module,
                                 plain("--login"),     plain("--pin"),    pin,
                                 plain("--type"),      plain(type)};
    for (size_t i = 8, j = 0; arguments[j]; i++, j++)
        argv[i] = arguments[j];
    int code = 1;
    /* SoftHSM fails calls while another process is changing the token. */
    for (int tries = 0; tries < TRIES && code != 0; tries++) {
        (void)unlink(out);
        code = process_run(argv, out, TOOL_MS);
    }
    (void)harness_read(out, ret, size);
    if (code != 0)
        fail_msg("pkcs11-tool %s: exit code %d: %s", arguments[0], code, ret);
}

/* The rest of a line "  NAME: VALUE", or NULL. */
static const char *value_of(char *line, const char *name)
{
    line += strspn(line, " ");
    if (strncmp(line, name, strlen(name)) != 0)
        return NULL;
    line += strlen(name);
    return line + strspn(line, " ");
}

static void take_id(const char *hex, struct ring_object *object)
{
    uint8_t raw[OBJECT_ID_MAX];
    struct object_id id;
    size_t len = strlen(hex) / 2;
    assert_in_range(len, 1, sizeof raw);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(sscanf(hex + 2 * i, "%2hhx", &raw[i]), 1);
    assert_false(err_is(object_id_from(bytes_of(raw, len), &id)));
    assert_false(err_is(key_id_make(object->label.ring, &id, &object->key_id)));
}

/* The line that begins an object. */
static bool begins_object(const char *line)
{
    return line[0] != ' ' && strstr(line, " Object;") != NULL;
}

/* False: an object has no CKA_ID, or no label such as each KEK has. */
static bool take_objects(char *output, struct ring_objects *ret)
{
    size_t labels = 0, ids = 0;
    char *rest = output;
    ret->n = 0;
    for (char *line = strtok_r(output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *label = value_of(line, "label:"), *id = value_of(line, "ID:");
        if (begins_object(line)) {
            if (labels != ret->n || ids != ret->n)
                return false;
            assert_true(ret->n < RING_OBJECTS_MAX);
            ret->n++;
        }
        if (label && ++labels == ret->n &&
            err_is(key_label_parse(bytes_of_string(label), &ret->objects[ret->n - 1].label)))
            return false;
        if (id && labels == ret->n && ++ids == ret->n)
            take_id(id, &ret->objects[ret->n - 1]);
    }
    return labels == ret->n && ids == ret->n;
}

/* Of a KEK of several objects the first is the KEK. */
static void keep_first_roles(struct ring_objects *list)
{
    size_t kept = 0;
    for (size_t i = 0; i < list->n; i++)
        if (list->objects[i].label.role == 0)
            list->objects[kept++] = list->objects[i];
    list->n = kept;
}

void ring_objects_list(const struct harness *h, struct ring_objects *ret)
{
    char output[OUTPUT_MAX], seen[OUTPUT_MAX];
    char *const arguments[] = {plain("--list-objects"), NULL};
    /* SoftHSM shows a key that another process is just relabelling without its attributes. */
    for (int tries = 0; tries < LISTINGS; tries++) {
        run_tool(h, type_of_ring(), arguments, output, sizeof output);
        memcpy(seen, output, sizeof seen);
        if (take_objects(output, ret)) {
            keep_first_roles(ret);
            return;
        }
    }
    fail_msg("an object without CKA_ID, or with no label of ours: %s", seen);
}

size_t ring_objects_count(const struct ring_objects *list, enum key_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++)
        n += list->objects[i].label.state == state;
    return n;
}

size_t ring_objects_labelled(const struct harness *h, const char *label)
{
    char output[OUTPUT_MAX], *rest = output;
    char *const arguments[] = {plain("--list-objects"), NULL};
    size_t n = 0;
    run_tool(h, "secrkey", arguments, output, sizeof output);
    for (char *line = strtok_r(output, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        const char *value = value_of(line, "label:");
        n += value && strncmp(value, label, strlen(label)) == 0;
    }
    return n;
}

static void to_hex(struct bytes raw, char *ret)
{
    for (size_t i = 0; i < raw.len; i++)
        (void)sprintf(ret + 2 * i, "%02x", raw.data[i]);
}

static void change_id(const struct harness *h, const char *type, const struct object_id *from,
                      const struct object_id *to)
{
    char before[2 * OBJECT_ID_MAX + 1] = "", after[2 * OBJECT_ID_MAX + 1] = "", output[OUTPUT_MAX];
    to_hex(object_id_bytes(from), before);
    to_hex(object_id_bytes(to), after);
    char *const arguments[] = {plain("--id"), before, plain("--set-id"), after, NULL};
    run_tool(h, type, arguments, output, sizeof output);
}

/* All that is of one role, the public half of a pair too. */
static void change_role(const struct harness *h, const struct object_id *from,
                        const struct object_id *to, size_t role)
{
    enum scheme scheme = ring_objects_scheme();
    struct object_id before, after;
    assert_false(err_is(object_id_of_role(from, scheme, role, &before)));
    assert_false(err_is(object_id_of_role(to, scheme, role, &after)));
    change_id(h, type_of_ring(), &before, &after);
    if (key_role_class(scheme, role) == KEY_CLASS_PRIVATE)
        change_id(h, "pubkey", &before, &after);
}

void ring_objects_make_old(const struct harness *h, int days)
{
    struct ring_objects list;
    struct object_id id, old;
    char ring[RING_NAME_MAX + 1], state[HARNESS_PATH_MAX];
    ring_objects_list(h, &list);
    assert_int_equal(list.n, 1);
    struct bytes text = bytes_of_string(list.objects[0].key_id.text);
    assert_false(err_is(key_id_parse(text, ring, &id)));
    uint64_t made_ms = (uint64_t)(time(NULL) - (time_t)days * DAY_SECONDS) * 1000;
    old = id;
    for (int i = 0; i < 6; i++) /* a UUID of version 7 begins so */
        old.data[i] = (uint8_t)(made_ms >> (40 - 8 * i));
    for (size_t role = 0; role < scheme_roles(ring_objects_scheme()); role++)
        change_role(h, &id, &old, role);
    harness_path(h, "state", state);
    char *const forget[] = {plain("rm"), plain("-r"), state, NULL};
    assert_int_equal(process_run(forget, h->log, TOOL_MS), 0);
}
