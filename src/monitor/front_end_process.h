/* SPDX-License-Identifier: Apache-2.0 */
/* Starting the front end. */
#ifndef P11KMS_FRONT_END_PROCESS_H
#define P11KMS_FRONT_END_PROCESS_H

#include "listeners.h"

#include <sys/types.h>

/* fork + exec of `path` as p11-kmsd --front-end, with the descriptors that control.h names,
 * fd 0 from /dev/null, our stdout and stderr, and nothing else. It dies with us. ret_control is
 * our end: non-blocking, so that a wedged front end cannot wedge the monitor. */
MUST_CHECK struct err front_end_start(const char *path, const struct config *config,
                                      const struct listeners *listeners, pid_t *ret_pid,
                                      int *ret_control);

#endif
