/* SPDX-License-Identifier: Apache-2.0 */
/* What `status` prints of the daemon's own account. */
#ifndef P11KMS_STATUS_SHOW_H
#define P11KMS_STATUS_SHOW_H

#include "admin_client.h"

#include <stdio.h>

/* For people, seen from now_ms. socket: the path that was asked. */
void status_show_text(FILE *to, const struct admin_status *status, const char *socket,
                      int64_t now_ms);

/* One object; its names are documented in docs/operations.md and stay. */
void status_show_json(FILE *to, const struct admin_status *status, const char *socket);

#endif
