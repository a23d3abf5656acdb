/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_plan.h"

#include "text.h"

int64_t kek_made_ms(const struct kek *kek)
{
    return !kek->external && kek->id.len == UUID_BYTES ? uuid_time_ms(kek->id.data) : 0;
}

uint32_t ring_plan_generation(const struct kek *keys, size_t n, uint32_t known)
{
    uint32_t highest = known;
    for (size_t i = 0; i < n; i++)
        if (keys[i].label.generation > highest)
            highest = keys[i].label.generation;
    return highest + 1;
}

static size_t newest_pending(const struct ring_facts *f)
{
    const struct kek *active = &f->keys[f->active];
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < f->n; i++) {
        const struct kek *key = &f->keys[i];
        if (key->label.state == KEY_PRE_ACTIVE && kek_newer(key, active) &&
            (best == SIZE_MAX || kek_newer(key, &f->keys[best])))
            best = i;
    }
    return best;
}

static size_t first_superseded(const struct ring_facts *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->keys[i].label.state <= KEY_ACTIVE && kek_newer(&f->keys[f->active], &f->keys[i]))
            return i;
    return SIZE_MAX;
}

static void plan_pending(const struct ring_facts *f, struct ring_plan *plan)
{
    const struct kek *pending = &f->keys[plan->pending];
    int64_t made = kek_made_ms(pending);
    plan->ahead = made > f->now_ms + RING_AHEAD_MS;
    if (!plan->ahead && kek_usable(pending))
        plan->activate_due_ms = made + f->activation_delay_ms;
    if (plan->activate_due_ms <= f->now_ms) {
        plan->step = RING_STEP_ACTIVATE;
        plan->key = plan->pending;
    }
}

bool kek_spent(const struct kek *kek, bool spent)
{
    return spent && scheme_wears_out(kek->label.scheme);
}

static void plan_rotation(const struct ring_facts *f, struct ring_plan *plan)
{
    const struct kek *active = &f->keys[f->active];
    const int64_t made = kek_made_ms(active);
    if (f->rotate_every_ms > 0)
        plan->rotate_due_ms = made + f->rotate_every_ms + f->jitter_ms;
    if (kek_spent(active, f->spent) || plan->rotate_due_ms <= f->now_ms)
        plan->step = RING_STEP_MAKE;
    else
        plan->active_ahead = f->rotate_every_ms > 0 && made > f->now_ms + RING_AHEAD_MS;
}

struct ring_plan ring_plan_make(const struct ring_facts *f)
{
    struct ring_plan plan = {.step = RING_STEP_NONE,
                             .key = SIZE_MAX,
                             .pending = SIZE_MAX,
                             .activate_due_ms = INT64_MAX,
                             .rotate_due_ms = INT64_MAX};
    if (f->active >= f->n)
        return plan;
    plan.pending = newest_pending(f);
    if (plan.pending != SIZE_MAX)
        plan_pending(f, &plan);
    else
        plan_rotation(f, &plan);
    if (plan.step == RING_STEP_NONE && f->settled) {
        plan.key = first_superseded(f);
        plan.step = plan.key == SIZE_MAX ? RING_STEP_NONE : RING_STEP_RETIRE;
    }
    if (f->missing) {
        plan.step = RING_STEP_NONE;
        plan.key = SIZE_MAX;
    }
    return plan;
}
