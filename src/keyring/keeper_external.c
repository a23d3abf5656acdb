/* SPDX-License-Identifier: Apache-2.0 */
/* What the keeper does otherwise for an external ring. */
#include "keeper_private.h"
#include "ring_external.h"

#include <string.h>

enum verdict keeper_judge(struct keeper *k, struct ring_look *look, size_t *ret_active,
                          struct health *ret_health)
{
    const struct ring_rules *rules = keyring_rules(k->keyring);
    const struct ring_memory known = keeper_known(k);
    if (!rules->external)
        return ring_look_judge(look, rules->name, &known, ret_active, ret_health);
    const struct key_id wanted = keyring_wanted(k->keyring);
    return ring_external_look(look, k->state_dir, rules, &wanted, &known.key_id, ret_active,
                              ret_health);
}

/* An operator's key that is refused, or accepted by a waiver, is said once, and again when what is
 * wrong with it changes. Who makes keys by hand must learn of a mistake before it matters. */
static void tell_key(struct keeper *k, const struct kek *kek, const struct kek *before)
{
    char text[HEALTH_TEXT_MAX + 1], waived[200];
    if (before && before->wrong == kek->wrong && before->ambiguous == kek->ambiguous &&
        before->waived == kek->waived)
        return;
    if (!kek_usable(kek))
        (void)ring_external_refusal(kek, text, sizeof text);
    else if (kek->waived != 0)
        (void)snprintf(text, sizeof text, "KEK %s (label \"%s\") is accepted by ring.waive%s",
                       kek->key_id.text, kek->name,
                       ring_external_waived(kek, waived, sizeof waived));
    else
        return;
    k->hooks.warn(k->hooks.context, text, kek->key_id.text);
}

void keeper_tell_external(struct keeper *k, const struct ring_look *look)
{
    if (!keyring_rules(k->keyring)->external)
        return;
    CLEANUP(ring_view_unref_p) struct ring_view *view = keyring_view(k->keyring);
    for (size_t i = 0; i < look->n; i++)
        tell_key(k, &look->keys[i], ring_view_find(view, &look->keys[i].id));
}
