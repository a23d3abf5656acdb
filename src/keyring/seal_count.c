/* SPDX-License-Identifier: Apache-2.0 */
#include "seal_count.h"

#include "ring_state.h"

#include <string.h>

void seal_count_init(struct seal_count *c, const char *state_dir, const char *ring)
{
    struct ring_memory memory = {.generation = 0};
    memset(c, 0, sizeof *c);
    c->forgot = err_is(ring_state_current(state_dir, ring, &memory));
    c->state_dir = state_dir;
    c->ring = ring;
    c->before = memory.key_id;
    c->limit = UINT64_MAX;
    atomic_init(&c->seals, 0);
    atomic_init(&c->attention, 1);
}

bool seal_count_add(struct seal_count *c)
{
    uint64_t seals = atomic_fetch_add_explicit(&c->seals, 1, memory_order_relaxed) + 1;
    return seals >= atomic_load_explicit(&c->attention, memory_order_relaxed);
}

/* The first seal of a run reserves, so that starts alone use up nothing. A disk that takes nothing
 * does not leave us with the count of the KEK before: it would seem spent, KEK after KEK. */
static struct err follow(struct seal_count *c, const struct key_id *active)
{
    uint64_t seals = 0;
    struct err e = ring_state_seals(c->state_dir, c->ring, active, &seals);
    c->lost = err_is(e) && (c->forgot || strcmp(c->before.text, active->text) == 0);
    c->key_id = *active;
    c->before.text[0] = '\0'; /* its successors begin here */
    c->forgot = false;
    atomic_store(&c->seals, seals);
    atomic_store(&c->attention, c->lost ? UINT64_MAX : seals + 1);
    return err_is(e) && !c->lost ? ring_state_set_seals(c->state_dir, c->ring, active, 0) : ERR_OK;
}

static struct err reserve(struct seal_count *c)
{
    uint64_t seals = atomic_load(&c->seals), next = atomic_load(&c->attention);
    struct err e = ERR_OK;
    if (c->lost)
        return e;
    if (seals >= next) {
        e = ring_state_set_seals(c->state_dir, c->ring, &c->key_id, seals + SEAL_BLOCK);
        next = seals + SEAL_BLOCK / 2;
    }
    if (seals < c->limit && c->limit < next)
        next = c->limit;
    atomic_store(&c->attention, next);
    return e;
}

struct err seal_count_tend(struct seal_count *c, const struct key_id *active, uint64_t limit)
{
    c->limit = limit;
    if (active->text[0] && strcmp(active->text, c->key_id.text) != 0)
        TRY(follow(c, active));
    return c->key_id.text[0] ? reserve(c) : ERR_OK;
}

bool seal_count_spent(const struct seal_count *c)
{
    return c->lost || atomic_load(&c->seals) >= c->limit;
}

/* The keeper may have begun the count of a KEK that we were not told of any more. */
static bool is_still_active(const struct seal_count *c)
{
    struct ring_memory memory;
    return err_is(ring_state_current(c->state_dir, c->ring, &memory)) || !memory.key_id.text[0] ||
           strcmp(memory.key_id.text, c->key_id.text) == 0;
}

struct err seal_count_close(struct seal_count *c)
{
    if (!c->key_id.text[0] || c->lost || !is_still_active(c))
        return ERR_OK;
    return ring_state_set_seals(c->state_dir, c->ring, &c->key_id, atomic_load(&c->seals));
}
