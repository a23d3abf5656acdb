/* SPDX-License-Identifier: Apache-2.0 */
#include "key_cache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Thousands of KEKs make short chains. */
enum { BUCKETS = 1024 };

/* The public halves of a KEK of key pairs, which most KEKs have none of. */
struct publics {
    struct public_half of[KEY_ROLES_MAX];
};

struct entry {
    struct entry *next;
    enum scheme scheme;
    unsigned long handles[KEY_ROLES_MAX];
    struct object_id ids[KEY_ROLES_MAX];
    enum key_type types[KEY_ROLES_MAX];
    uint8_t choice;
    struct publics *publics; /* may be NULL */
};

struct key_cache {
    pthread_rwlock_t lock; /* guards everything below and every entry */
    unsigned long epoch;
    struct entry *buckets[BUCKETS];
};

/* FNV-1a. CKA_IDs come from the token, not from an attacker who could make them collide. */
static struct entry **bucket_of(struct key_cache *cache, const struct object_id *id)
{
    uint32_t hash = 2166136261U;
    for (size_t i = 0; i < id->len; i++)
        hash = (hash ^ id->data[i]) * 16777619U;
    return &cache->buckets[hash % BUCKETS];
}

struct err key_cache_new(struct key_cache **ret)
{
    struct key_cache *cache = calloc(1, sizeof *cache);
    if (!cache || pthread_rwlock_init(&cache->lock, NULL) != 0) {
        free(cache);
        return err_make(ERR_EXHAUSTED, "key_cache_new");
    }
    *ret = cache;
    return ERR_OK;
}

/* Where the entry hangs, or the empty end of its chain. */
static struct entry **find_locked(struct key_cache *cache, const struct object_id *id)
{
    struct entry **at = bucket_of(cache, id);
    while (*at && !object_id_equal(&(*at)->ids[0], id))
        at = &(*at)->next;
    return at;
}

static void copy_out(const struct entry *entry, struct key_set *ret)
{
    ret->scheme = entry->scheme;
    ret->choice = entry->choice;
    memcpy(ret->handles, entry->handles, sizeof ret->handles);
    memcpy(ret->ids, entry->ids, sizeof ret->ids);
    memcpy(ret->types, entry->types, sizeof ret->types);
    for (size_t i = 0; i < KEY_ROLES_MAX; i++) {
        if (entry->publics)
            ret->publics[i] = entry->publics->of[i];
        else
            ret->publics[i].len = 0;
    }
}

bool key_cache_find(struct key_cache *cache, const struct object_id *id, struct key_set *ret)
{
    (void)pthread_rwlock_rdlock(&cache->lock);
    const struct entry *entry = *find_locked(cache, id);
    if (entry)
        copy_out(entry, ret);
    (void)pthread_rwlock_unlock(&cache->lock);
    return entry != NULL;
}

unsigned long key_cache_epoch(struct key_cache *cache)
{
    (void)pthread_rwlock_rdlock(&cache->lock);
    unsigned long epoch = cache->epoch;
    (void)pthread_rwlock_unlock(&cache->lock);
    return epoch;
}

static void free_entry(struct entry *entry)
{
    if (entry)
        free(entry->publics);
    free(entry);
}

/* NULL without memory. */
static struct entry *new_entry(const struct key_set *keys)
{
    bool pairs = keys->publics[0].len > 0;
    struct entry *entry = calloc(1, sizeof *entry);
    if (entry && pairs)
        entry->publics = malloc(sizeof *entry->publics);
    if (!entry || (pairs && !entry->publics)) {
        free_entry(entry);
        return NULL;
    }
    entry->scheme = keys->scheme;
    entry->choice = keys->choice;
    memcpy(entry->handles, keys->handles, sizeof entry->handles);
    memcpy(entry->ids, keys->ids, sizeof entry->ids);
    memcpy(entry->types, keys->types, sizeof entry->types);
    if (pairs)
        memcpy(entry->publics->of, keys->publics, sizeof entry->publics->of);
    return entry;
}

void key_cache_add(struct key_cache *cache, unsigned long epoch, const struct key_set *keys)
{
    struct entry *entry = new_entry(keys);
    (void)pthread_rwlock_wrlock(&cache->lock);
    if (cache->epoch == epoch) { /* without memory the old one must go as well */
        struct entry **at = find_locked(cache, &keys->ids[0]), *old = *at;
        if (entry)
            entry->next = old ? old->next : NULL;
        if (entry || old)
            *at = entry ? entry : old->next;
        entry = old;
    }
    (void)pthread_rwlock_unlock(&cache->lock);
    free_entry(entry);
}

bool key_cache_drop(struct key_cache *cache, const struct object_id *id)
{
    (void)pthread_rwlock_wrlock(&cache->lock);
    struct entry **at = find_locked(cache, id), *gone = *at;
    if (gone)
        *at = gone->next;
    (void)pthread_rwlock_unlock(&cache->lock);
    free_entry(gone);
    return gone != NULL;
}

void key_cache_clear(struct key_cache *cache)
{
    (void)pthread_rwlock_wrlock(&cache->lock);
    cache->epoch++;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (cache->buckets[i]) {
            struct entry *gone = cache->buckets[i];
            cache->buckets[i] = gone->next;
            free_entry(gone);
        }
    }
    (void)pthread_rwlock_unlock(&cache->lock);
}

void key_cache_free(struct key_cache *cache)
{
    if (!cache)
        return;
    key_cache_clear(cache);
    (void)pthread_rwlock_destroy(&cache->lock);
    free(cache);
}
