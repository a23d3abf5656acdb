/* SPDX-License-Identifier: Apache-2.0 */
#include "rotation_private.h"

#include <string.h>

/* Why nothing rotates. */
static void say_blocked(const struct ring_view *view, const struct health *health,
                        const struct ring_plan *plan, char *text, size_t size)
{
    size_t n_keys = 0, n = 0;
    const struct kek *keys = ring_view_keys(view, &n_keys);
    const struct key_id *missing = ring_view_missing(view, &n);
    char names[256];
    text[0] = '\0';
    if (n > 0)
        (void)snprintf(text, size,
                       "KEK %s%s is not on the token any more: restore the token, or give the KEK "
                       "up with `p11-kms keys rotate --acknowledge-loss`",
                       missing[0].text, n > 1 ? " (and more)" : "");
    else if (!health->ok)
        (void)snprintf(text, size, "%s", health->text);
    else if (plan->ahead)
        (void)snprintf(text, size,
                       "KEK %s is dated more than an hour ahead of this host's clock: check the "
                       "clocks, then `p11-kms keys activate` it",
                       keys[plan->pending].key_id.text);
    else if (plan->pending != SIZE_MAX && !kek_usable(&keys[plan->pending]))
        (void)snprintf(text, size, "KEK %s cannot be used (%s): `p11-kms keys deactivate` it",
                       keys[plan->pending].key_id.text,
                       keys[plan->pending].wrong == 0
                           ? "its CKA_ID or its material is not its own"
                           : key_attributes_list(keys[plan->pending].wrong, names, sizeof names));
    else if (plan->active_ahead)
        (void)snprintf(text, size,
                       "KEK %s, which is active, is dated more than an hour ahead of this host's "
                       "clock: once the clocks are right, rotate by hand: `p11-kms keys rotate`",
                       ring_view_active(view)->key_id.text);
}

static int64_t or_none(int64_t ms)
{
    return ms == INT64_MAX ? 0 : ms;
}

void rotation_tell_status(struct rotation *r, const struct ring_view *view,
                          const struct health *health, const struct ring_plan *plan,
                          const struct rotation_tuning *tuning)
{
    size_t n = 0;
    const struct kek *keys = ring_view_keys(view, &n);
    struct rotation_status status = {
        .rotate_due_ms = or_none(plan->rotate_due_ms),
        .activate_due_ms = or_none(plan->activate_due_ms),
        .seals = atomic_load(&r->count.seals),
        .max_seals = tuning->max_seals,
    };
    if (plan->pending != SIZE_MAX)
        status.pending = keys[plan->pending].key_id;
    if (!r->maker.rules->external)
        say_blocked(view, health, plan, status.blocked, sizeof status.blocked);
    memcpy(status.failed, r->failed, sizeof status.failed);
    pthread_mutex_lock(&r->lock);
    r->status = status;
    pthread_mutex_unlock(&r->lock);
}
