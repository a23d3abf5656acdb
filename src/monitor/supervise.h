/* SPDX-License-Identifier: Apache-2.0 */
/* The monitor's loop: signals, what the front end says, and systemd. */
#ifndef P11KMS_SUPERVISE_H
#define P11KMS_SUPERVISE_H

#include "children.h"
#include "options.h"

/* From here on SIGTERM, SIGINT, SIGHUP and SIGCHLD wait until supervise looks. */
MUST_CHECK struct err supervise_hold_signals(void);

/* After supervise_hold_signals. Serves until SIGTERM or SIGINT, and until what ran has ended.
 * config changes with each reload. An error only when the loop cannot begin. */
MUST_CHECK struct err supervise(const struct options *options, struct config *config,
                                const struct listeners *listeners, struct children *children);

#endif
