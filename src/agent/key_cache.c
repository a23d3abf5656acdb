/* SPDX-License-Identifier: Apache-2.0 */
#include "key_cache.h"

#include <pthread.h>
#include <stdlib.h>

/* Thousands of KEKs make short chains. */
enum { BUCKETS = 1024 };

struct entry {
    struct entry *next;
    struct object_id id;
    struct cached_key key;
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
    while (*at && !object_id_equal(&(*at)->id, id))
        at = &(*at)->next;
    return at;
}

bool key_cache_find(struct key_cache *cache, const struct object_id *id, struct cached_key *ret)
{
    (void)pthread_rwlock_rdlock(&cache->lock);
    const struct entry *entry = *find_locked(cache, id);
    if (entry)
        *ret = entry->key;
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

/* NULL without memory. */
static struct entry *new_entry(const struct object_id *id)
{
    struct entry *entry = malloc(sizeof *entry);
    if (entry)
        *entry = (struct entry){.id = *id};
    return entry;
}

void key_cache_add(struct key_cache *cache, unsigned long epoch, const struct object_id *id,
                   struct cached_key key)
{
    (void)pthread_rwlock_wrlock(&cache->lock);
    struct entry **at = cache->epoch == epoch ? find_locked(cache, id) : NULL;
    if (at && !*at)
        *at = new_entry(id);
    if (at && *at)
        (*at)->key = key;
    (void)pthread_rwlock_unlock(&cache->lock);
}

bool key_cache_drop(struct key_cache *cache, const struct object_id *id)
{
    (void)pthread_rwlock_wrlock(&cache->lock);
    struct entry **at = find_locked(cache, id), *gone = *at;
    if (gone)
        *at = gone->next;
    (void)pthread_rwlock_unlock(&cache->lock);
    free(gone);
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
            free(gone);
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
