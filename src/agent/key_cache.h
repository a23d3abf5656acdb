/* SPDX-License-Identifier: Apache-2.0 */
/* KEKs whose objects this agent has found and checked, by CKA_ID. Safe for threads. */
#ifndef P11KMS_KEY_CACHE_H
#define P11KMS_KEY_CACHE_H

#include "key_set.h"

struct key_cache;

MUST_CHECK struct err key_cache_new(struct key_cache **ret);

/* Accepts NULL. Nobody may be using it. */
void key_cache_free(struct key_cache *cache);

/* Copies what is known of the KEK. */
bool key_cache_find(struct key_cache *cache, const struct object_id *id, struct key_set *ret);

/* Counts key_cache_clear: take it before looking a key up. */
unsigned long key_cache_epoch(struct key_cache *cache);

/* Adds the KEK, or replaces what was known of it. Not done when the cache was cleared since epoch
 * was taken, or without memory: the next use looks it up again. */
void key_cache_add(struct key_cache *cache, unsigned long epoch, const struct key_set *keys);

/* Forgets one KEK; returns whether it was there. */
bool key_cache_drop(struct key_cache *cache, const struct object_id *id);

/* Forgets all, as after a login: a token may give an old handle to another key. */
void key_cache_clear(struct key_cache *cache);

#endif
