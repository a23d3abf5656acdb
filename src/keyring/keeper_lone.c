/* SPDX-License-Identifier: Apache-2.0 */
/* Older KEKs whose Decrypts fail so that a new agent may mend it. API servers ask again and again:
 * one KEK that is broken for itself alone may cost all the others one agent, and not one each time.
 * A token that is sick as a whole is found by the active KEK's proof. */
#include "keeper_private.h"

/* Where it stands; n_lone: nowhere. */
static size_t find_locked(struct keeper *k, const struct object_id *id)
{
    size_t n = atomic_load_explicit(&k->n_lone, memory_order_relaxed), i = 0;
    while (i < n && !object_id_equal(&k->lone[i].id, id))
        i++;
    return i;
}

/* False: there are too many, which no new agent has mended. */
static bool add_locked(struct keeper *k, const struct object_id *id, int64_t now)
{
    size_t n = atomic_load_explicit(&k->n_lone, memory_order_relaxed);
    if (n == LONE_MAX)
        return false;
    k->lone[n] = (struct lone_kek){.id = *id, .since_ns = now};
    atomic_store_explicit(&k->n_lone, n + 1, memory_order_relaxed);
    return true;
}

/* Whether an operator should hear of it: not of what failed in the same agent as the first. */
static bool tell_locked(struct keeper *k, size_t at, int64_t now)
{
    bool news = at < atomic_load_explicit(&k->n_lone, memory_order_relaxed) && !k->lone[at].told &&
                now >= k->lone[at].since_ns + ms_ns(LONE_TOLD_MS);
    if (news)
        k->lone[at].told = true;
    return news;
}

void keeper_older_failed(struct keeper *k, const struct kek *kek)
{
    int64_t now = clock_monotonic_ns();
    pthread_mutex_lock(&k->lock);
    size_t at = find_locked(k, &kek->id);
    bool tell = tell_locked(k, at, now);
    bool first = at == atomic_load_explicit(&k->n_lone, memory_order_relaxed) &&
                 add_locked(k, &kek->id, now);
    bool renew = !first && now >= k->lone_renew_ns && !keyring_attended(k->keyring);
    if (first || renew)
        k->lone_renew_ns = now + ms_ns(LONE_RENEW_MS);
    pthread_mutex_unlock(&k->lock);
    if (first) {
        keeper_replace(k, CONDEMN_SICK, "a Decrypt failed as a new agent may mend");
        return;
    }
    keeper_kick(k);
    if (renew)
        keeper_renew(k, "an older KEK fails, and a fresh agent may find it well");
    if (tell)
        k->hooks.warn(k->hooks.context,
                      "Decrypts with an older KEK fail, with a new agent as well: if the token is "
                      "well else, restore this KEK's object",
                      kek->key_id.text);
}

void keeper_older_worked(struct keeper *k, const struct object_id *id)
{
    if (atomic_load_explicit(&k->n_lone, memory_order_relaxed) == 0) /* as nearly always */
        return;
    pthread_mutex_lock(&k->lock);
    size_t n = atomic_load_explicit(&k->n_lone, memory_order_relaxed), at = find_locked(k, id);
    if (at < n) {
        k->lone[at] = k->lone[n - 1];
        atomic_store_explicit(&k->n_lone, n - 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&k->lock);
}
