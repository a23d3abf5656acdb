/* SPDX-License-Identifier: Apache-2.0 */
/* Translates messages, decides nothing. Nothing here waits for the token: what is asked is answered
 * from memory, and orders are the rotation's. */
#include "admin_api.h"

#include "admin.pb-c.h"
#include "api_message.h"
#include "cleanup.h"
#include "ring_plan.h"

#include <stdio.h>
#include <string.h>

typedef P11kms__Admin__V1__Key key_message;

static const char service[] = "/p11kms.admin.v1.Admin/";

struct admin_binding {
    const struct admin_api *api;
    const char *method;
    enum ring_command command; /* of an order */
};

static void status(struct rpc_call *call, struct bytes request, const void *context);
static void list_keys(struct rpc_call *call, struct bytes request, const void *context);
static void get_key(struct rpc_call *call, struct bytes request, const void *context);
static void rotate(struct rpc_call *call, struct bytes request, const void *context);
static void change(struct rpc_call *call, struct bytes request, const void *context);

static const struct {
    const char *name;
    rpc_handler *handler;
    enum ring_command command;
} rows[] = {
    {"Status", status, 0},
    {"ListKeys", list_keys, 0},
    {"GetKey", get_key, 0},
    {"Rotate", rotate, RING_ROTATE},
    {"Activate", change, RING_ACTIVATE},
    {"Deactivate", change, RING_DEACTIVATE},
    {"Compromise", change, RING_COMPROMISE},
    {"Adopt", change, RING_ADOPT},
};

enum { METHODS = sizeof rows / sizeof rows[0], PATH_SIZE = sizeof service + 16 };

struct admin_api {
    struct admin_options options; /* mode and token point to the copies */
    char mode[16];
    char token[1024];
    struct admin_binding bindings[METHODS];
    char paths[METHODS][PATH_SIZE];
    struct rpc_method methods[METHODS];
};

static const struct admin_options *options_of(const void *context)
{
    return &((const struct admin_binding *)context)->api->options;
}

static void release_view(struct ring_view **view)
{
    ring_view_unref(*view);
}

/* --- keys -------------------------------------------------------------------------------- */

/* A key's message and what it points to. Not to be moved. */
struct key_translation {
    key_message message;
    ProtobufCBinaryData names[4 * ATTR_BITS];
    size_t n_names;
};

static size_t add_names(struct key_translation *to, uint32_t bits, ProtobufCBinaryData **ret)
{
    size_t before = to->n_names;
    *ret = &to->names[before];
    for (unsigned i = 0; i < ATTR_BITS; i++)
        if ((bits & ATTR_BIT(i)) != 0)
            to->names[to->n_names++] =
                api_field(bytes_of_string(key_attribute_name((enum key_attribute)i)));
    return to->n_names - before;
}

static void translate(const struct ring_view *view, const struct kek *kek,
                      struct key_translation *to)
{
    const struct key_attributes *attributes = &kek->attributes;
    const char *scheme = scheme_name(kek->label.scheme);
    key_message *m = &to->message;
    p11kms__admin__v1__key__init(m);
    to->n_names = 0;
    m->key_id = api_field(bytes_of_string(kek->key_id.text));
    m->generation = kek->label.generation;
    m->scheme = api_field(bytes_of_string(scheme ? scheme : ""));
    m->state = api_field(bytes_of_string(key_state_name(kek->label.state)));
    m->label = api_field(bytes_of_string(kek->name));
    m->made_ms = kek_made_ms(kek);
    m->seals = kek == ring_view_active(view);
    m->n_attributes_true =
        add_names(to, attributes->known & attributes->value, &m->attributes_true);
    m->n_attributes_false =
        add_names(to, attributes->known & ~attributes->value, &m->attributes_false);
    m->n_wrong = add_names(to, kek->wrong, &m->wrong);
    m->n_waived = add_names(to, kek->waived, &m->waived);
    m->ambiguous = kek->ambiguous;
    m->quarantined = kek->quarantined;
}

/* Memory for a response of any length. NULL, and the call answered, when there is none. */
static uint8_t *response_memory(struct rpc_call *call, size_t len)
{
    uint8_t *memory = (uint8_t *)malloc(len + 1);
    if (!memory)
        api_refuse(call, ERR_EXHAUSTED, "out of memory");
    return memory;
}

static void reply(struct rpc_call *call, const ProtobufCMessage *message)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    AUTO_FREE uint8_t *packed = response_memory(call, len);
    if (!packed)
        return;
    (void)protobuf_c_message_pack(message, packed);
    rpc_call_reply(call, ERR_NONE, "", bytes_of(packed, len));
}

/* Messages one after the other are one message with all their repeated fields: so a list needs
 * room for one translated key only. packed NULL: yields the length. */
static size_t pack_list(const struct ring_view *view, uint8_t *packed)
{
    size_t n = 0, len = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    for (size_t i = 0; i < n; i++) {
        struct key_translation one;
        P11kms__Admin__V1__ListKeysResponse out = P11KMS__ADMIN__V1__LIST_KEYS_RESPONSE__INIT;
        key_message *pointer = &one.message;
        translate(view, &keys[i], &one);
        out.keys = &pointer;
        out.n_keys = 1;
        len += packed ? protobuf_c_message_pack(&out.base, packed + len)
                      : protobuf_c_message_get_packed_size(&out.base);
    }
    return len;
}

static void list_keys(struct rpc_call *call, struct bytes request, const void *context)
{
    AUTO_ARENA(arena);
    if (!api_unpack(call, &p11kms__admin__v1__list_keys_request__descriptor, request, &arena))
        return;
    CLEANUP(release_view) struct ring_view *view = keyring_view(options_of(context)->keyring);
    size_t len = pack_list(view, NULL);
    AUTO_FREE uint8_t *packed = response_memory(call, len);
    if (!packed)
        return;
    (void)pack_list(view, packed);
    rpc_call_reply(call, ERR_NONE, "", bytes_of(packed, len));
}

/* False, and the call answered, when the text names no KEK of this ring. */
static bool parse_key_id(struct rpc_call *call, const struct admin_options *options,
                         const ProtobufCBinaryData *field, struct object_id *ret)
{
    char ring[RING_NAME_MAX + 1], text[64 + RING_NAME_MAX];
    if (err_is(key_id_parse(api_bytes(field), ring, ret))) {
        api_refuse(call, ERR_INVALID, "key_id: not one of this provider's");
        return false;
    }
    if (strcmp(ring, keyring_name(options->keyring)) == 0)
        return true;
    (void)snprintf(text, sizeof text, "key_id: of another ring; this daemon serves %s",
                   keyring_name(options->keyring));
    api_refuse(call, ERR_NOT_FOUND, text);
    return false;
}

static bool is_missing(const struct ring_view *view, const ProtobufCBinaryData *key_id)
{
    size_t n = 0;
    const struct key_id *missing = ring_view_missing(view, &n);
    for (size_t i = 0; i < n; i++)
        if (bytes_equal(bytes_of_string(missing[i].text), api_bytes(key_id)))
            return true;
    return false;
}

static void get_key(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct admin_options *options = options_of(context);
    struct object_id id;
    AUTO_ARENA(arena);
    const P11kms__Admin__V1__GetKeyRequest *in =
        (const P11kms__Admin__V1__GetKeyRequest *)api_unpack(
            call, &p11kms__admin__v1__get_key_request__descriptor, request, &arena);
    if (!in || !parse_key_id(call, options, &in->key_id, &id))
        return;
    CLEANUP(release_view) struct ring_view *view = keyring_view(options->keyring);
    const struct kek *kek = ring_view_find(view, &id);
    if (!kek) {
        api_refuse(call, ERR_NOT_FOUND,
                   is_missing(view, &in->key_id)
                       ? "this KEK is missing: this host knows it and the token does not show it"
                       : "the ring has no such KEK on this token");
        return;
    }
    struct key_translation key;
    P11kms__Admin__V1__GetKeyResponse out = P11KMS__ADMIN__V1__GET_KEY_RESPONSE__INIT;
    translate(view, kek, &key);
    out.key = &key.message;
    reply(call, &out.base);
}

/* --- status ------------------------------------------------------------------------------ */

static void count(const struct ring_view *view, P11kms__Admin__V1__Counts *counts)
{
    size_t n = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    for (size_t i = 0; i < n; i++) {
        uint32_t *const by_state[] = {[KEY_PRE_ACTIVE] = &counts->pre_active,
                                      [KEY_ACTIVE] = &counts->active,
                                      [KEY_DEACTIVATED] = &counts->deactivated,
                                      [KEY_COMPROMISED] = &counts->compromised};
        ++*by_state[keys[i].label.state];
        counts->unusable += !kek_usable(&keys[i]);
    }
}

static size_t fill_missing(const struct ring_view *view, ProtobufCBinaryData *to)
{
    size_t n = 0;
    const struct key_id *missing = ring_view_missing(view, &n);
    for (size_t i = 0; to && i < n; i++)
        to[i] = api_field(bytes_of_string(missing[i].text));
    return n;
}

static size_t fill_quarantined(const struct ring_view *view, ProtobufCBinaryData *to)
{
    size_t n = 0, found = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    for (size_t i = 0; i < n; i++) {
        if (!keys[i].quarantined)
            continue;
        if (to)
            to[found] = api_field(bytes_of_string(keys[i].key_id.text));
        found++;
    }
    return found;
}

static void fill_rotation(const struct rotation_status *from, P11kms__Admin__V1__Rotation *to)
{
    to->rotate_due_ms = from->rotate_due_ms;
    to->activate_due_ms = from->activate_due_ms;
    to->pending = api_field(bytes_of_string(from->pending.text));
    to->seals = from->seals;
    to->max_seals = from->max_seals;
    to->blocked = api_field(bytes_of_string(from->blocked));
    to->failed = api_field(bytes_of_string(from->failed));
}

/* All but the lists. What out points to is the caller's, and stays until the reply. */
struct status_translation {
    struct health health;
    struct key_id current;
    struct rotation_status life;
    struct key_translation active;
    P11kms__Admin__V1__Counts counts;
    P11kms__Admin__V1__Rotation rotation;
    P11kms__Admin__V1__StatusResponse out;
};

static void translate_status(const struct admin_options *options, const struct ring_view *view,
                             struct status_translation *to)
{
    const struct kek *active = ring_view_active(view);
    P11kms__Admin__V1__StatusResponse *out = &to->out;
    p11kms__admin__v1__status_response__init(out);
    p11kms__admin__v1__counts__init(&to->counts);
    p11kms__admin__v1__rotation__init(&to->rotation);
    keyring_status(options->keyring, &to->health, &to->current);
    rotation_status(options->rotation, &to->life);
    count(view, &to->counts);
    fill_rotation(&to->life, &to->rotation);
    if (active) {
        translate(view, active, &to->active);
        out->active = &to->active.message;
    }
    out->version = api_field(bytes_of_string(P11KMS_VERSION));
    out->ring = api_field(bytes_of_string(keyring_name(options->keyring)));
    out->mode = api_field(bytes_of_string(options->mode));
    out->token = api_field(bytes_of_string(options->token));
    out->ok = to->health.ok;
    out->healthz = api_field(bytes_of_string(to->health.text));
    out->failed = to->health.failed;
    out->key_id = api_field(bytes_of_string(to->current.text));
    out->keys = &to->counts;
    out->rotation = &to->rotation;
}

static void status(struct rpc_call *call, struct bytes request, const void *context)
{
    AUTO_ARENA(arena);
    if (!api_unpack(call, &p11kms__admin__v1__status_request__descriptor, request, &arena))
        return;
    CLEANUP(release_view)
    struct ring_view *view = keyring_view(options_of(context)->keyring);
    struct status_translation translation;
    P11kms__Admin__V1__StatusResponse *out = &translation.out;
    translate_status(options_of(context), view, &translation);
    out->n_missing = fill_missing(view, NULL);
    out->n_quarantined = fill_quarantined(view, NULL);
    AUTO_FREE ProtobufCBinaryData *lists =
        (ProtobufCBinaryData *)calloc(out->n_missing + out->n_quarantined + 1, sizeof *lists);
    if (!lists) {
        api_refuse(call, ERR_EXHAUSTED, "out of memory");
        return;
    }
    out->missing = lists;
    out->quarantined = lists + out->n_missing;
    (void)fill_missing(view, out->missing);
    (void)fill_quarantined(view, out->quarantined);
    reply(call, &out->base);
}

/* --- orders ------------------------------------------------------------------------------ */

/* FAILED_PRECONDITION is for what was refused; where somebody must act on the token, trying again
 * after that is right, and UNAVAILABLE says so. */
static void carried_out(void *context, const struct ring_report *report)
{
    struct rpc_call *call = (struct rpc_call *)context;
    if (report->code != ERR_NONE) {
        bool of_token = report->code == ERR_TOKEN || report->code == ERR_UNSUPPORTED;
        api_refuse(call, of_token ? ERR_UNAVAILABLE : report->code, report->text);
        return;
    }
    P11kms__Admin__V1__OrderResponse out = P11KMS__ADMIN__V1__ORDER_RESPONSE__INIT;
    out.key_id = api_field(bytes_of_string(report->key_id.text));
    out.active_ms = report->active_ms;
    out.text = api_field(bytes_of_string(report->text));
    api_reply(call, &out.base);
}

/* key_id may be empty where the order needs none. */
static void give_order(struct rpc_call *call, const struct admin_binding *binding,
                       const ProtobufCBinaryData *key_id, bool may_be_empty)
{
    const struct admin_options *options = options_of(binding);
    struct ring_order order = {
        .command = binding->command, .id.len = 0, .done = carried_out, .context = call};
    char text[KEY_ID_MAX + 1] = "";
    if ((key_id->len > 0 || !may_be_empty) && !parse_key_id(call, options, key_id, &order.id))
        return;
    (void)bytes_to_string(api_bytes(key_id), text, sizeof text);
    const struct rpc_peer peer = rpc_call_peer(call);
    options->ordered(options->context, binding->method, text, &peer);
    rotation_order(options->rotation, &order);
}

static void rotate(struct rpc_call *call, struct bytes request, const void *context)
{
    AUTO_ARENA(arena);
    const P11kms__Admin__V1__RotateRequest *in =
        (const P11kms__Admin__V1__RotateRequest *)api_unpack(
            call, &p11kms__admin__v1__rotate_request__descriptor, request, &arena);
    if (in)
        give_order(call, (const struct admin_binding *)context, &in->acknowledge_loss, true);
}

static void change(struct rpc_call *call, struct bytes request, const void *context)
{
    AUTO_ARENA(arena);
    const P11kms__Admin__V1__KeyRequest *in = (const P11kms__Admin__V1__KeyRequest *)api_unpack(
        call, &p11kms__admin__v1__key_request__descriptor, request, &arena);
    if (in)
        give_order(call, (const struct admin_binding *)context, &in->key_id, false);
}

/* --- the table --------------------------------------------------------------------------- */

struct err admin_api_new(const struct admin_options *options, struct admin_api **ret)
{
    struct admin_api *api = (struct admin_api *)calloc(1, sizeof *api);
    if (!api)
        return err_make(ERR_EXHAUSTED, "admin_api_new");
    api->options = *options;
    (void)snprintf(api->mode, sizeof api->mode, "%s", options->mode);
    (void)snprintf(api->token, sizeof api->token, "%s", options->token);
    api->options.mode = api->mode;
    api->options.token = api->token;
    for (size_t i = 0; i < METHODS; i++) {
        api->bindings[i] = (struct admin_binding){api, rows[i].name, rows[i].command};
        (void)snprintf(api->paths[i], sizeof api->paths[i], "%s%s", service, rows[i].name);
        api->methods[i] =
            (struct rpc_method){api->paths[i], rows[i].handler, &api->bindings[i], false};
    }
    *ret = api;
    return ERR_OK;
}

const struct rpc_method *admin_api_methods(const struct admin_api *api, size_t *ret_n)
{
    *ret_n = METHODS;
    return api->methods;
}

void admin_api_free(struct admin_api *api)
{
    free(api);
}

struct rpc_access admin_api_access(void)
{
    return (struct rpc_access){.uids = {0, (uint32_t)geteuid()}, .n_uids = 2};
}
