/* SPDX-License-Identifier: Apache-2.0 */
/* Covers every handler of the admin API: protobuf-c into the arena, key_ids, packing of answers.
 * The first byte of an input is the method's number, the rest its request. */
#include "admin_api.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stands in for the server: a call only counts its replies. */
struct rpc_call {
    unsigned replies;
};

void rpc_call_reply(struct rpc_call *call, enum err_code code, const char *message,
                    struct bytes response)
{
    call->replies++;
    if (code != ERR_NONE && (message[0] == '\0' || response.len > 0))
        abort();
}

struct rpc_peer rpc_call_peer(const struct rpc_call *call)
{
    (void)call;
    return (struct rpc_peer){.uid = 0};
}

struct rotation {
    unsigned orders;
};

/* No order but a rotation comes without a KEK. */
void rotation_order(struct rotation *rotation, const struct ring_order *order)
{
    const struct ring_report report = {.code = rotation->orders++ % 2 ? ERR_REFUSED : ERR_NONE,
                                       .text = "told"};
    if (order->id.len == 0 && order->command != RING_ROTATE)
        abort();
    order->done(order->context, &report);
}

void rotation_status(struct rotation *rotation, struct rotation_status *ret)
{
    *ret = (struct rotation_status){.seals = rotation->orders};
}

static void note(void *context, const char *method, const char *key_id, const struct rpc_peer *peer)
{
    (void)context;
    (void)peer;
    if (!method[0] || strlen(key_id) > KEY_ID_MAX)
        abort();
}

static struct admin_api *make_api(void)
{
    static struct rotation rotation;
    struct admin_options options = {
        .rotation = &rotation, .mode = "managed", .token = "pkcs11:token=t", .ordered = note};
    struct kek kek = {.id = {UUID_BYTES, {1, 2, 3, 4, 5, 6, 0x70, 7, 0x80}},
                      .label = {"k8s", 1, SCHEME_AES_GCM, 0, KEY_ACTIVE}};
    struct ring_content content = {.keys = &kek, .n = 1, .active = 0};
    const struct health health = {.ok = true, .text = "ok"};
    struct ring_view *view = NULL;
    struct admin_api *api = NULL;
    if (err_is(key_id_make("k8s", &kek.id, &kek.key_id)) ||
        err_is(keyring_new("k8s", &options.keyring)) || err_is(ring_view_new(&content, &view)))
        abort();
    keyring_publish(options.keyring, view, &health);
    if (err_is(admin_api_new(&options, &api)))
        abort();
    return api;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct admin_api *api;
    struct rpc_call call = {.replies = 0};
    size_t n = 0;
    if (!api)
        api = make_api();
    if (size == 0)
        return 0;
    const struct rpc_method *methods = admin_api_methods(api, &n);
    const struct rpc_method *method = &methods[data[0] % n];
    method->handler(&call, bytes_of(data + 1, size - 1), method->context);
    if (call.replies != 1)
        abort();
    return 0;
}
