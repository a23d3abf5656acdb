/* SPDX-License-Identifier: Apache-2.0 */
/* What the front end's parts take from the configuration. */
#ifndef P11KMS_FRONT_CONFIG_H
#define P11KMS_FRONT_CONFIG_H

#include "config.h"
#include "rotation.h"
#include "rpc_access.h"

struct rpc_access front_config_access(const struct config *config);
struct rotation_tuning front_config_tuning(const struct config *config);

/* Sets up the log as it says. */
void front_config_log(const struct config *config);

#endif
