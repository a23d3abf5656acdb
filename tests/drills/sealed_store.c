/* SPDX-License-Identifier: Apache-2.0 */
#include "drill_load.h"

#include <stdlib.h>
#include <string.h>

uint64_t store_random(struct sealed_store *store)
{
    store->random ^= store->random << 13;
    store->random ^= store->random >> 7;
    store->random ^= store->random << 17;
    return store->random;
}

bool store_open(struct sealed_store *store, uint64_t seed)
{
    memset(store, 0, sizeof *store);
    store->random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1; /* never 0 */
    store->fresh = calloc(2 * STORE_MAX, sizeof *store->fresh);
    store->kept = calloc(STORE_MAX, sizeof *store->kept);
    return store->fresh && store->kept;
}

void store_close(struct sealed_store *store)
{
    free(store->fresh);
    free(store->kept);
}

/* splitmix64: neighbours have nothing in common. */
static uint64_t mix(uint64_t x)
{
    x += UINT64_C(0x9e3779b97f4a7c15);
    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

void store_dek(uint64_t number, uint8_t ret[static DEK_LEN])
{
    for (size_t i = 0; i < DEK_LEN / sizeof number; i++) {
        uint64_t word = mix(number * 4 + i);
        memcpy(ret + i * sizeof word, &word, sizeof word);
    }
}

bool store_is_full(const struct sealed_store *store)
{
    return store->n_fresh >= STORE_MAX / 2;
}

void store_return(struct sealed_store *store, const struct sealed_item *item)
{
    if (store->n_fresh == (size_t)(2 * STORE_MAX))
        abort(); /* twice as much as may be sealed and kept */
    store->fresh[store->n_fresh++] = *item;
}

void store_add(struct sealed_store *store, const struct sealed_item *item)
{
    store->sealed++;
    store_return(store, item);
    if (store->n_kept < STORE_MAX) {
        store->kept[store->n_kept++] = *item;
        return;
    }
    uint64_t at = store_random(store) % store->sealed;
    if (at < STORE_MAX)
        store->kept[at] = *item;
}

bool store_take(struct sealed_store *store, struct sealed_item *ret, bool *ret_fresh)
{
    *ret_fresh = store->n_fresh > 0 && (store->n_kept == 0 || store_random(store) % 4 != 0);
    if (*ret_fresh) {
        size_t at = store_random(store) % store->n_fresh;
        *ret = store->fresh[at];
        store->fresh[at] = store->fresh[--store->n_fresh];
    } else if (store->n_kept > 0) {
        *ret = store->kept[store_random(store) % store->n_kept];
    } else {
        return false;
    }
    return true;
}

void store_open_all_again(struct sealed_store *store)
{
    for (size_t i = 0; i < store->n_kept; i++)
        store_return(store, &store->kept[i]);
    store->n_kept = 0;
}
