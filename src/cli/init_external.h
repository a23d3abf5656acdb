/* SPDX-License-Identifier: Apache-2.0 */
/* `p11-kms init` where the ring is external: shows which keys there are, and what to do next. */
#ifndef P11KMS_INIT_EXTERNAL_H
#define P11KMS_INIT_EXTERNAL_H

#include "cli.h"
#include "ring_init.h"

/* Prints its own errors. ERR_REFUSED: no key is usable. */
MUST_CHECK struct err init_external(struct cli *cli, const struct config *config,
                                    const char *agent_path, ring_init_progress *progress);

#endif
