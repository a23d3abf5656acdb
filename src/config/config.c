/* SPDX-License-Identifier: Apache-2.0 */
#include "config.h"

#include "cleanup.h"
#include "document.h"
#include "io.h"
#include "keys.h"
#include "raw.h"

#include <stdio.h>
#include <string.h>

/* One load: what the parts of it share. */
struct load {
    struct document document;
    struct raw_config *raw;
    struct config config;
    struct config_error *error;
};

static struct err parse_at(struct load *load, const struct config_key *key, const char *text,
                           void *to, size_t size, unsigned line)
{
    struct complaint complaint = {""};
    if (key->parse(text, &key->rule, to, size, &complaint))
        return ERR_OK;
    return document_fail(load->error, line, key->path, "%s", complaint.text);
}

static struct err fill_scalar(struct load *load, const struct config_key *key)
{
    char *text;
    memcpy(&text, (const char *)load->raw + key->raw, sizeof text);
    unsigned line = document_line(&load->document, key->path);
    if (!text && key->required)
        return document_fail(load->error, line, key->path, "is missing and has no default");
    if (!text && !key->fallback)
        return ERR_OK;
    return parse_at(load, key, text ? text : key->fallback, (char *)&load->config + key->at,
                    key->size, line);
}

static struct err fill_list(struct load *load, const struct config_key *key)
{
    struct raw_list list;
    memcpy(&list, (const char *)load->raw + key->raw, sizeof list);
    uint32_t *ids = (uint32_t *)(void *)((char *)&load->config + key->at);
    size_t n = 0;
    unsigned line = 0;
    /* An empty list stands for itself, an absent one for the default. */
    if (key->fallback && !document_has(&load->document, key->path))
        TRY(parse_at(load, key, key->fallback, &ids[n++], sizeof *ids, line));
    for (size_t i = 0; i < list.n; i++) {
        line = document_item_line(&load->document, key->path, i);
        TRY(parse_at(load, key, list.item[i], &ids[n++], sizeof *ids, line));
    }
    memcpy((char *)&load->config + key->count, &n, sizeof n);
    return ERR_OK;
}

static struct err fail_at(struct load *load, const char *path, const char *message)
{
    return document_fail(load->error, document_line(&load->document, path), path, "%s", message);
}

/* No setting is silently without effect: what the other mode alone knows is an error. */
static struct err check_mode(struct load *load)
{
    static const char *const of_external[] = {"ring.select", "ring.active", "ring.waive"};
    static const char *const of_managed[] = {"ring.rotateEvery", "ring.activationDelay",
                                             "ring.maxSeals", "ring.scheme"};
    const struct config *c = &load->config;
    bool external = c->ring.mode == RING_EXTERNAL;
    char ring[RING_NAME_MAX + 1];
    struct object_id id;
    struct key_id canonical;
    for (size_t i = 0; i < 3 && !external; i++)
        if (document_has(&load->document, of_external[i]))
            return fail_at(load, of_external[i], "needs ring.mode: external");
    if (!external)
        return ERR_OK;
    for (size_t i = 0; i < sizeof of_managed / sizeof *of_managed; i++)
        if (document_has(&load->document, of_managed[i]))
            return fail_at(load, of_managed[i],
                           "is for ring.mode: managed; here you make the keys, whose type says "
                           "their scheme, and `p11-kms keys adopt` activates them");
    if (!c->ring.select[0])
        return fail_at(load, "ring.select", "is missing: ring.mode external needs it");
    if (c->ring.active.text[0] &&
        (err_is(key_id_parse(bytes_of_string(c->ring.active.text), ring, &id)) ||
         err_is(key_id_make_external(c->ring.name, &id, &canonical)) ||
         strcmp(canonical.text, c->ring.active.text) != 0))
        return fail_at(load, "ring.active",
                       "must be a key_id of this ring: its name, a dot, and the CKA_ID in "
                       "lower-case hex");
    return ERR_OK;
}

/* What no key can tell by itself. */
static struct err check_together(struct load *load)
{
    const struct config *c = &load->config;
    if (c->n_allow_uids == 0 && c->n_allow_gids == 0)
        return document_fail(load->error, document_line(&load->document, "allowUids"), "allowUids",
                             "nobody could connect: allowUids and allowGids are both empty");
    if (c->ring.mode == RING_MANAGED && c->ring.activation_delay_ms > 0 &&
        c->ring.activation_delay_ms < c->ring.rescan_every_ms)
        return document_fail(load->error, document_line(&load->document, "ring.activationDelay"),
                             "ring.activationDelay",
                             "must be ring.rescanEvery or more, so that every replica has seen a "
                             "new KEK before it seals; 0s where one daemon alone uses the token");
    if (c->http.kind == HTTP_UNIX && (strcmp(c->http.path, c->socket_path) == 0 ||
                                      strcmp(c->http.path, c->admin_socket_path) == 0))
        return fail_at(load, "http", "must be another path than socket and adminSocket");
    if (strcmp(c->admin_socket_path, c->socket_path) == 0)
        return document_fail(load->error, document_line(&load->document, "adminSocket"),
                             "adminSocket", "must be another path than socket");
    return ERR_OK;
}

static struct err fill(struct load *load)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->shape == KEY_SCALAR)
            TRY(fill_scalar(load, key));
        if (key->shape == KEY_LIST)
            TRY(fill_list(load, key));
    }
    TRY(check_together(load));
    return check_mode(load);
}

static struct err load_all(struct load *load, struct bytes yaml)
{
    TRY(document_load(&load->document, yaml, load->error));
    TRY(document_check(&load->document, load->error));
    TRY(raw_config_load(yaml, &load->raw));
    return fill(load);
}

struct err config_load(struct bytes yaml, struct config *ret, struct config_error *ret_error)
{
    struct config_error error = {.line = 0};
    struct load load;
    memset(&load, 0, sizeof load);
    load.error = &error;
    struct err e = load_all(&load, yaml);
    document_free(&load.document);
    raw_config_free(load.raw);
    if (!err_is(e)) {
        *ret = load.config;
        return ERR_OK;
    }
    if (!error.message[0]) /* not the file's fault: memory, or libcyaml disagrees with us */
        (void)err_format(e, error.message, sizeof error.message);
    *ret_error = error;
    return err_make(ERR_CONFIG, "configuration");
}

struct err config_load_file(const char *path, struct config *ret, struct config_error *ret_error)
{
    size_t len;
    AUTO_FREE uint8_t *text = malloc(CONFIG_SIZE_MAX);
    if (!text)
        return document_fail(ret_error, 0, "", "out of memory");
    struct err e = file_read(path, text, CONFIG_SIZE_MAX, &len);
    if (e.code == ERR_INVALID)
        return document_fail(ret_error, 1, "", "the file is larger than %d bytes", CONFIG_SIZE_MAX);
    if (err_is(e))
        return document_fail(ret_error, 0, "", "cannot be read: %s",
                             e.kind == ERR_KIND_ERRNO ? strerror((int)e.native) : e.where);
    return config_load(bytes_of(text, len), ret, ret_error);
}

_Static_assert(WAIVE_LOCAL == 1 << 0 && WAIVE_USAGE == 1 << 1, "the words of ring.waive, in order");

uint32_t config_waivers(const struct config *config)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < config->ring.n_waive; i++)
        bits |= 1U << config->ring.waive[i];
    return bits;
}

const char *config_error_format(const char *file, const struct config_error *error, char *text,
                                size_t size)
{
    char line[16] = "";
    if (error->line > 0)
        (void)snprintf(line, sizeof line, ":%u", error->line);
    (void)snprintf(text, size, "%s%s: %s%s%s", file, line, error->field,
                   error->field[0] ? ": " : "", error->message);
    return text;
}

static void add_name(char *text, size_t size, const char *name)
{
    size_t used = strlen(text);
    (void)snprintf(text + used, size - used, "%s%s", used > 0 ? ", " : "", name);
}

void config_reload(struct config *current, const struct config *loaded, char *ret_restart,
                   size_t size)
{
    if (size > 0)
        ret_restart[0] = '\0';
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        char *to = (char *)current + key->at;
        const char *from = (const char *)loaded + key->at;
        bool differs = memcmp(to, from, key->size) != 0;
        if (key->reload) {
            memcpy(to, from, key->size);
            if (key->shape == KEY_LIST)
                memcpy((char *)current + key->count, (const char *)loaded + key->count,
                       sizeof(size_t));
        } else if (differs && size > 0) {
            add_name(ret_restart, size, key->path);
        }
    }
}
