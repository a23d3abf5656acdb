/* SPDX-License-Identifier: Apache-2.0 */
#include "ring_keys.h"

#include <string.h>

bool ring_selects(const struct agent *agent, const struct p11_key *key)
{
    char prefix[KEY_LABEL_MAX];
    if (agent->config.external)
        return key_select_matches(&agent->select, &key->id, key->label);
    return !err_is(key_label_prefix(agent->config.ring, prefix, sizeof prefix)) &&
           strncmp(key->label, prefix, strlen(prefix)) == 0 && strlen(key->label) <= KEY_LABEL_MAX;
}

const char *ring_show_label(const char *label, char ret[static KEY_LABEL_MAX + 1])
{
    size_t len = 0;
    for (; len < KEY_LABEL_MAX && label[len]; len++)
        ret[len] = (char)(label[len] >= 0x20 && label[len] < 0x7f ? label[len] : '?');
    ret[len] = '\0';
    return ret;
}
