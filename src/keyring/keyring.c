/* SPDX-License-Identifier: Apache-2.0 */
#include "keyring.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

struct ring_view {
    atomic_size_t references;
    struct key_id current;
    size_t n, active;  /* active: SIZE_MAX for none */
    size_t slots;      /* a power of two; more than n */
    uint32_t *table;   /* index + 1 into keys by hash of CKA_ID; 0: free */
    atomic_bool *used; /* of each key */
    struct key_id *missing;
    size_t n_missing;
    struct kek keys[];
};

struct keyring {
    struct ring_rules rules; /* never changes once threads know the ring */
    atomic_bool attended;    /* as the rules */
    atomic_bool needs_heirs;
    pthread_mutex_t lock; /* guards the rest */
    struct key_id wanted;
    struct ring_view *view;
    struct health health;
};

bool kek_newer(const struct kek *a, const struct kek *b)
{
    if (a->label.generation != b->label.generation)
        return a->label.generation > b->label.generation;
    size_t shorter = a->id.len < b->id.len ? a->id.len : b->id.len;
    int order = memcmp(a->id.data, b->id.data, shorter);
    return order != 0 ? order > 0 : a->id.len > b->id.len;
}

bool kek_usable(const struct kek *kek)
{
    return kek->wrong == 0 && !kek->ambiguous && !kek->quarantined;
}

/* FNV-1a: CKA_IDs are random or an operator's own; nobody else chooses them. */
static size_t hash_id(const struct object_id *id)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < id->len; i++)
        hash = (hash ^ id->data[i]) * UINT64_C(0x100000001b3);
    return (size_t)(hash ^ hash >> 32);
}

static void index_keys(struct ring_view *view)
{
    for (size_t i = 0; i < view->n; i++) {
        size_t at = hash_id(&view->keys[i].id) & (view->slots - 1);
        while (view->table[at] != 0)
            at = (at + 1) & (view->slots - 1);
        view->table[at] = (uint32_t)i + 1;
    }
}

static void release_view(struct ring_view *view)
{
    free(view->table);
    free(view->used);
    free(view->missing);
    free(view);
}

struct err ring_view_new(const struct ring_content *content, struct ring_view **ret)
{
    size_t slots = 4, n = content->n;
    while (slots < 2 * n)
        slots *= 2;
    struct ring_view *view = calloc(1, sizeof *view + n * sizeof *content->keys);
    if (!view)
        return err_make(ERR_EXHAUSTED, "ring_view_new");
    view->table = calloc(slots, sizeof *view->table);
    view->used = calloc(n + 1, sizeof *view->used);
    view->missing = calloc(content->n_missing + 1, sizeof *view->missing);
    if (!view->table || !view->used || !view->missing) {
        release_view(view);
        return err_make(ERR_EXHAUSTED, "ring_view_new");
    }
    atomic_init(&view->references, 1);
    view->current = content->current;
    view->n = n;
    view->active = content->active;
    view->slots = slots;
    view->n_missing = content->n_missing;
    if (n > 0)
        memcpy(view->keys, content->keys, n * sizeof *content->keys);
    if (content->n_missing > 0)
        memcpy(view->missing, content->missing, content->n_missing * sizeof *view->missing);
    index_keys(view);
    *ret = view;
    return ERR_OK;
}

void ring_view_ref(struct ring_view *view)
{
    (void)atomic_fetch_add(&view->references, 1);
}

void ring_view_unref(struct ring_view *view)
{
    if (view && atomic_fetch_sub(&view->references, 1) == 1)
        release_view(view);
}

const struct kek *ring_view_find(const struct ring_view *view, const struct object_id *id)
{
    size_t at = hash_id(id) & (view->slots - 1);
    for (; view->table[at] != 0; at = (at + 1) & (view->slots - 1)) {
        const struct kek *key = &view->keys[view->table[at] - 1];
        if (object_id_equal(&key->id, id))
            return key;
    }
    return NULL;
}

const struct kek *ring_view_active(const struct ring_view *view)
{
    return view->active < view->n ? &view->keys[view->active] : NULL;
}

const struct key_id *ring_view_current(const struct ring_view *view)
{
    return &view->current;
}

const struct kek *ring_view_keys(const struct ring_view *view, size_t *ret_n)
{
    *ret_n = view->n;
    return view->keys;
}

bool ring_view_first_use(const struct ring_view *view, const struct kek *kek)
{
    atomic_bool *used = &view->used[kek - view->keys];
    return !atomic_load_explicit(used, memory_order_relaxed) && !atomic_exchange(used, true);
}

const struct key_id *ring_view_missing(const struct ring_view *view, size_t *ret_n)
{
    *ret_n = view->n_missing;
    return view->missing;
}

bool ring_view_misses(const struct ring_view *view, const struct object_id *id)
{
    char ring[RING_NAME_MAX + 1];
    struct object_id missing;
    for (size_t i = 0; i < view->n_missing; i++)
        if (!err_is(key_id_parse(bytes_of_string(view->missing[i].text), ring, &missing)) &&
            object_id_equal(&missing, id))
            return true;
    return false;
}

struct err keyring_new(const char *ring, struct keyring **ret)
{
    const struct ring_content nothing = {.active = SIZE_MAX};
    struct ring_view *view = NULL;
    TRY(ring_view_new(&nothing, &view));
    struct keyring *keyring = calloc(1, sizeof *keyring);
    if (!keyring ||
        !bytes_to_string(bytes_of_string(ring), keyring->rules.name, sizeof keyring->rules.name)) {
        free(keyring);
        ring_view_unref(view);
        return err_make(ERR_EXHAUSTED, "keyring_new");
    }
    pthread_mutex_init(&keyring->lock, NULL);
    keyring->view = view;
    *ret = keyring;
    return ERR_OK;
}

void keyring_free(struct keyring *keyring)
{
    if (!keyring)
        return;
    ring_view_unref(keyring->view);
    pthread_mutex_destroy(&keyring->lock);
    free(keyring);
}

const char *keyring_name(const struct keyring *keyring)
{
    return keyring->rules.name;
}

void keyring_set_external(struct keyring *keyring, uint32_t waive)
{
    keyring->rules.external = true;
    keyring->rules.waive = waive;
}

const struct ring_rules *keyring_rules(const struct keyring *keyring)
{
    return &keyring->rules;
}

void keyring_set_attended(struct keyring *keyring)
{
    atomic_store(&keyring->attended, true);
}

bool keyring_attended(const struct keyring *keyring)
{
    return atomic_load(&keyring->attended);
}

void keyring_set_needs_heirs(struct keyring *keyring)
{
    atomic_store(&keyring->needs_heirs, true);
}

bool keyring_needs_heirs(const struct keyring *keyring)
{
    return !keyring_attended(keyring) && atomic_load(&keyring->needs_heirs);
}

void keyring_set_wanted(struct keyring *keyring, const struct key_id *wanted)
{
    pthread_mutex_lock(&keyring->lock);
    keyring->wanted = *wanted;
    pthread_mutex_unlock(&keyring->lock);
}

struct key_id keyring_wanted(struct keyring *keyring)
{
    pthread_mutex_lock(&keyring->lock);
    struct key_id wanted = keyring->wanted;
    pthread_mutex_unlock(&keyring->lock);
    return wanted;
}

struct ring_view *keyring_view(struct keyring *keyring)
{
    pthread_mutex_lock(&keyring->lock);
    struct ring_view *view = keyring->view;
    ring_view_ref(view);
    pthread_mutex_unlock(&keyring->lock);
    return view;
}

void keyring_status(struct keyring *keyring, struct health *ret_health, struct key_id *ret_current)
{
    pthread_mutex_lock(&keyring->lock);
    *ret_health = keyring->health;
    *ret_current = keyring->view->current;
    pthread_mutex_unlock(&keyring->lock);
}

void keyring_publish(struct keyring *keyring, struct ring_view *view, const struct health *health)
{
    struct ring_view *old = NULL;
    pthread_mutex_lock(&keyring->lock);
    if (view) {
        old = keyring->view;
        keyring->view = view;
    }
    keyring->health = *health;
    pthread_mutex_unlock(&keyring->lock);
    ring_view_unref(old);
}
