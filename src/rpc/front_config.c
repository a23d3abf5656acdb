/* SPDX-License-Identifier: Apache-2.0 */
#include "front_config.h"

#include "log.h"

#include <string.h>

struct rpc_access front_config_access(const struct config *config)
{
    struct rpc_access access = {.n_uids = config->n_allow_uids, .n_gids = config->n_allow_gids};
    memcpy(access.uids, config->allow_uids, sizeof access.uids);
    memcpy(access.gids, config->allow_gids, sizeof access.gids);
    return access;
}

_Static_assert((int)RPC_ACCESS_MAX == (int)CONFIG_IDS_MAX, "access lists are copied whole");

void front_config_log(const struct config *config)
{
    static const enum log_priority least[] = {[LOG_LEVEL_ERROR] = LOG_PRI_ERROR,
                                              [LOG_LEVEL_WARNING] = LOG_PRI_WARNING,
                                              [LOG_LEVEL_INFO] = LOG_PRI_INFO,
                                              [LOG_LEVEL_DEBUG] = LOG_PRI_DEBUG};
    enum log_style style = log_style_auto();
    if (config->log.format != LOG_FORMAT_AUTO)
        style = config->log.format == LOG_FORMAT_JSON ? LOG_STYLE_JSON : LOG_STYLE_TEXT;
    log_setup("front-end", style, least[config->log.level]);
}

struct rotation_tuning front_config_tuning(const struct config *config)
{
    return (struct rotation_tuning){.rotate_every_ms = config->ring.rotate_every_ms,
                                    .activation_delay_ms = config->ring.activation_delay_ms,
                                    .max_seals = config->ring.max_seals,
                                    .rescan_every_ms = config->ring.rescan_every_ms};
}
