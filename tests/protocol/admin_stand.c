/* SPDX-License-Identifier: Apache-2.0 */
#include "admin_stand.h"

#include <stdio.h>
#include <string.h>

/* --- the fake rotation ------------------------------------------------------------------- */

void rotation_order(struct rotation *rotation, const struct ring_order *order)
{
    (void)pthread_mutex_lock(&rotation->lock);
    rotation->last = *order;
    rotation->orders++;
    bool hold = rotation->hold;
    struct ring_report report = rotation->report;
    (void)pthread_cond_broadcast(&rotation->changed);
    (void)pthread_mutex_unlock(&rotation->lock);
    if (!hold)
        order->done(order->context, &report);
}

void rotation_status(struct rotation *rotation, struct rotation_status *ret)
{
    (void)pthread_mutex_lock(&rotation->lock);
    *ret = rotation->status;
    (void)pthread_mutex_unlock(&rotation->lock);
}

void admin_hold_orders(struct admin_stand *stand)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    stand->rotation.hold = true;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
}

void admin_wait_orders(struct admin_stand *stand, unsigned n)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    while (stand->rotation.orders < n)
        (void)pthread_cond_wait(&stand->rotation.changed, &stand->rotation.lock);
    (void)pthread_mutex_unlock(&stand->rotation.lock);
}

void admin_let_go(struct admin_stand *stand)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    struct ring_order order = stand->rotation.last;
    struct ring_report report = stand->rotation.report;
    stand->rotation.hold = false;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
    order.done(order.context, &report);
}

void admin_set_report(struct admin_stand *stand, const struct ring_report *report)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    stand->rotation.report = *report;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
}

void admin_set_life(struct admin_stand *stand, const struct rotation_status *status)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    stand->rotation.status = *status;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
}

struct ring_order admin_last_order(struct admin_stand *stand)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    struct ring_order order = stand->rotation.last;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
    return order;
}

unsigned admin_orders(struct admin_stand *stand)
{
    (void)pthread_mutex_lock(&stand->rotation.lock);
    unsigned orders = stand->rotation.orders;
    (void)pthread_mutex_unlock(&stand->rotation.lock);
    return orders;
}

/* --- the ring ---------------------------------------------------------------------------- */

struct kek admin_kek(uint32_t number, enum key_state state)
{
    uint64_t made = ADMIN_MADE_MS + number;
    struct kek kek = {
        .id.len = UUID_BYTES,
        .label = {"k8s", number, SCHEME_AES_GCM, 0, state},
        .attributes = {.known = ATTR_BIT(ATTR_SIGN_RECOVER) - 1, /* a secret key has no more */
                       .value = ATTR_BIT(ATTR_SIGN_RECOVER) - 1,
                       .length = 32,
                       .type = KEY_TYPE_AES}};
    for (int i = 0; i < 6; i++)
        kek.id.data[i] = (uint8_t)(made >> (40 - 8 * i));
    kek.id.data[6] = 0x70;
    kek.id.data[8] = 0x80;
    kek.attributes.value ^= key_attributes_wrong(SCHEME_AES_GCM, 0, &kek.attributes);
    assert_false(err_is(key_id_make("k8s", &kek.id, &kek.key_id)));
    assert_false(err_is(key_label_format(&kek.label, kek.name)));
    return kek;
}

void admin_publish(struct admin_stand *stand, const struct kek *keys, size_t n, size_t active,
                   const struct key_id *missing, const struct health *health)
{
    struct ring_view *view = NULL;
    struct ring_content content = {.keys = keys, .n = n, .active = active};
    content.missing = missing;
    content.n_missing = missing ? 1 : 0;
    if (active < n)
        content.current = keys[active].key_id;
    assert_false(err_is(ring_view_new(&content, &view)));
    keyring_publish(stand->keyring, view, health);
}

/* --- the stand --------------------------------------------------------------------------- */

static void note_ordered(void *context, const char *method, const char *key_id,
                         const struct rpc_peer *peer)
{
    struct admin_stand *stand = (struct admin_stand *)context;
    (void)snprintf(stand->last_ordered, sizeof stand->last_ordered, "%s %s %u", method, key_id,
                   (unsigned)peer->uid);
    atomic_fetch_add(&stand->ordered, 1);
}

int admin_stand_up(void **state)
{
    stand_start_runtime();
    struct admin_stand *stand = (struct admin_stand *)calloc(1, sizeof *stand);
    assert_non_null(stand);
    const struct kek first = admin_kek(1, KEY_ACTIVE);
    const struct health health = {.ok = true, .text = "ok"};
    const struct rpc_access access = admin_api_access();
    size_t n = 0;
    (void)pthread_mutex_init(&stand->rotation.lock, NULL);
    (void)pthread_cond_init(&stand->rotation.changed, NULL);
    assert_false(err_is(keyring_new("k8s", &stand->keyring)));
    admin_publish(stand, &first, 1, 0, NULL, &health);
    const struct admin_options options = {.keyring = stand->keyring,
                                          .rotation = &stand->rotation,
                                          .mode = "managed",
                                          .token = "pkcs11:token=t",
                                          .ordered = note_ordered,
                                          .context = stand};
    assert_false(err_is(admin_api_new(&options, &stand->api)));
    const struct rpc_method *methods = admin_api_methods(stand->api, &n);
    stand_serve(&stand->base, methods, n, &access);
    *state = stand;
    return 0;
}

int admin_stand_down(void **state)
{
    struct admin_stand *stand = (struct admin_stand *)*state;
    stand_close(&stand->base);
    admin_api_free(stand->api);
    keyring_free(stand->keyring);
    (void)pthread_cond_destroy(&stand->rotation.changed);
    (void)pthread_mutex_destroy(&stand->rotation.lock);
    free(stand);
    return 0;
}

struct admin_client *admin_stand_client(const struct admin_stand *stand)
{
    struct admin_client *client = NULL;
    assert_false(err_is(admin_client_open(stand->base.path, &client)));
    return client;
}
