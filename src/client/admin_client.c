/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_client.h"

#include "admin.pb-c.h"
#include "client_message.h"

#include <string.h>

/* 64 MiB: a ring of more than a hundred thousand KEKs. */
enum { RECEIVE_MAX = 64 << 20 };

struct admin_client {
    struct kms_client *connection;
};

struct err admin_client_open(const char *socket_path, struct admin_client **ret)
{
    CLEANUP(admin_client_close_p)
    struct admin_client *client = (struct admin_client *)calloc(1, sizeof *client);
    if (!client)
        return err_make(ERR_EXHAUSTED, "admin_client_open");
    TRY(client_open(socket_path, "localhost", RECEIVE_MAX, &client->connection));
    *ret = TAKE_PTR(client);
    return ERR_OK;
}

void admin_client_close(struct admin_client *client)
{
    if (!client)
        return;
    kms_client_close(client->connection);
    free(client);
}

/* The daemon answers FAILED_PRECONDITION to what it refuses, and to nothing else. */
static struct err call(const struct admin_client *client, const char *method, int timeout_ms,
                       const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response,
                       ProtobufCMessage **ret, struct kms_failure *ret_failure)
{
    const struct client_target target = {client->connection, "p11kms.admin.v1.Admin", timeout_ms};
    struct err e = client_exchange(&target, method, request, response, ret, ret_failure);
    return e.code == ERR_TOKEN ? err_make(ERR_REFUSED, e.where) : e;
}

/* --- keys -------------------------------------------------------------------------------- */

static void join(const ProtobufCBinaryData *names, size_t n, char *ret, size_t size)
{
    size_t len = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < n && len + 2 < size; i++) {
        if (i > 0)
            ret[len++] = ',';
        client_text(&names[i], ret + len, size - len);
        len += strlen(ret + len);
    }
}

static void copy_key(const P11kms__Admin__V1__Key *from, struct admin_key *ret)
{
    client_text(&from->key_id, ret->key_id, sizeof ret->key_id);
    ret->generation = from->generation;
    client_text(&from->scheme, ret->scheme, sizeof ret->scheme);
    client_text(&from->state, ret->state, sizeof ret->state);
    client_text(&from->label, ret->label, sizeof ret->label);
    ret->made_ms = from->made_ms;
    ret->seals = from->seals;
    join(from->attributes_true, from->n_attributes_true, ret->is_true, sizeof ret->is_true);
    join(from->attributes_false, from->n_attributes_false, ret->is_false, sizeof ret->is_false);
    join(from->wrong, from->n_wrong, ret->wrong, sizeof ret->wrong);
    join(from->waived, from->n_waived, ret->waived, sizeof ret->waived);
    ret->ambiguous = from->ambiguous;
    ret->quarantined = from->quarantined;
}

struct err admin_client_key(struct admin_client *client, const char *key_id, int timeout_ms,
                            struct admin_key *ret, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    P11kms__Admin__V1__GetKeyRequest request = P11KMS__ADMIN__V1__GET_KEY_REQUEST__INIT;
    request.key_id = client_field(bytes_of_string(key_id));
    TRY(call(client, "GetKey", timeout_ms, &request.base,
             &p11kms__admin__v1__get_key_response__descriptor, &message, ret_failure));
    const P11kms__Admin__V1__Key *key = ((const P11kms__Admin__V1__GetKeyResponse *)message)->key;
    if (!key)
        return client_fail(ret_failure, ERR_INTERNAL, "the daemon answered without a key");
    copy_key(key, ret);
    return ERR_OK;
}

struct err admin_client_list(struct admin_client *client, int timeout_ms,
                             struct admin_key_list *ret, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    P11kms__Admin__V1__ListKeysRequest request = P11KMS__ADMIN__V1__LIST_KEYS_REQUEST__INIT;
    TRY(call(client, "ListKeys", timeout_ms, &request.base,
             &p11kms__admin__v1__list_keys_response__descriptor, &message, ret_failure));
    const P11kms__Admin__V1__ListKeysResponse *in =
        (const P11kms__Admin__V1__ListKeysResponse *)message;
    struct admin_key *keys = (struct admin_key *)calloc(in->n_keys + 1, sizeof *keys);
    if (!keys)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < in->n_keys; i++)
        copy_key(in->keys[i], &keys[i]);
    *ret = (struct admin_key_list){keys, in->n_keys};
    return ERR_OK;
}

void admin_key_list_release(struct admin_key_list *list)
{
    free(list->key);
    *list = (struct admin_key_list){NULL, 0};
}

/* --- status ------------------------------------------------------------------------------ */

static struct err copy_ids(const ProtobufCBinaryData *from, size_t n, struct admin_key_ids *ret,
                           struct kms_failure *ret_failure)
{
    struct key_id *ids = (struct key_id *)calloc(n + 1, sizeof *ids);
    if (!ids)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    for (size_t i = 0; i < n; i++)
        client_text(&from[i], ids[i].text, sizeof ids[i].text);
    *ret = (struct admin_key_ids){ids, n};
    return ERR_OK;
}

static void copy_rotation(const P11kms__Admin__V1__Rotation *from, struct admin_status *ret)
{
    ret->rotate_due_ms = from->rotate_due_ms;
    ret->activate_due_ms = from->activate_due_ms;
    client_text(&from->pending, ret->pending.text, sizeof ret->pending.text);
    ret->seals = from->seals;
    ret->max_seals = from->max_seals;
    client_text(&from->blocked, ret->blocked, sizeof ret->blocked);
    client_text(&from->failed, ret->rotation_failed, sizeof ret->rotation_failed);
}

static void copy_status(const P11kms__Admin__V1__StatusResponse *from, struct admin_status *ret)
{
    client_text(&from->version, ret->version, sizeof ret->version);
    client_text(&from->ring, ret->ring, sizeof ret->ring);
    client_text(&from->mode, ret->mode, sizeof ret->mode);
    client_text(&from->token, ret->token, sizeof ret->token);
    ret->ok = from->ok;
    ret->failed = from->failed;
    client_text(&from->healthz, ret->healthz, sizeof ret->healthz);
    client_text(&from->key_id, ret->key_id.text, sizeof ret->key_id.text);
    ret->has_active = from->active != NULL;
    if (from->active)
        copy_key(from->active, &ret->active);
    if (from->keys) {
        ret->keys.pre_active = from->keys->pre_active;
        ret->keys.active = from->keys->active;
        ret->keys.deactivated = from->keys->deactivated;
        ret->keys.compromised = from->keys->compromised;
        ret->keys.unusable = from->keys->unusable;
    }
    if (from->rotation)
        copy_rotation(from->rotation, ret);
}

struct err admin_client_status(struct admin_client *client, int timeout_ms,
                               struct admin_status *ret, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    P11kms__Admin__V1__StatusRequest request = P11KMS__ADMIN__V1__STATUS_REQUEST__INIT;
    TRY(call(client, "Status", timeout_ms, &request.base,
             &p11kms__admin__v1__status_response__descriptor, &message, ret_failure));
    const P11kms__Admin__V1__StatusResponse *in =
        (const P11kms__Admin__V1__StatusResponse *)message;
    copy_status(in, &status);
    TRY(copy_ids(in->missing, in->n_missing, &status.missing, ret_failure));
    TRY(copy_ids(in->quarantined, in->n_quarantined, &status.quarantined, ret_failure));
    *ret = status;
    status.missing.id = status.quarantined.id = NULL; /* the caller's now */
    return ERR_OK;
}

void admin_status_release(struct admin_status *status)
{
    free(status->missing.id);
    free(status->quarantined.id);
    status->missing = status->quarantined = (struct admin_key_ids){NULL, 0};
}

/* --- orders ------------------------------------------------------------------------------ */

struct err admin_client_order(struct admin_client *client, enum admin_order order,
                              const char *key_id, int timeout_ms, struct admin_report *ret,
                              struct kms_failure *ret_failure)
{
    static const char *const methods[] = {[ADMIN_ROTATE] = "Rotate",
                                          [ADMIN_ACTIVATE] = "Activate",
                                          [ADMIN_DEACTIVATE] = "Deactivate",
                                          [ADMIN_COMPROMISE] = "Compromise",
                                          [ADMIN_ADOPT] = "Adopt"};
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    P11kms__Admin__V1__RotateRequest rotate = P11KMS__ADMIN__V1__ROTATE_REQUEST__INIT;
    P11kms__Admin__V1__KeyRequest change = P11KMS__ADMIN__V1__KEY_REQUEST__INIT;
    rotate.acknowledge_loss = change.key_id = client_field(bytes_of_string(key_id));
    TRY(call(client, methods[order], timeout_ms,
             order == ADMIN_ROTATE ? &rotate.base : &change.base,
             &p11kms__admin__v1__order_response__descriptor, &message, ret_failure));
    const P11kms__Admin__V1__OrderResponse *in = (const P11kms__Admin__V1__OrderResponse *)message;
    client_text(&in->key_id, ret->key_id.text, sizeof ret->key_id.text);
    ret->active_ms = in->active_ms;
    client_text(&in->text, ret->text, sizeof ret->text);
    return ERR_OK;
}
