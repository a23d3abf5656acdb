/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of `http`: a Unix socket like the others, or a port of the loopback interface. */
#ifndef P11KMS_LISTENER_HTTP_H
#define P11KMS_LISTENER_HTTP_H

#include "listener.h"

/* fd: what systemd passed, or -1: bound here; group as for the KMS socket. A listener with the
 * descriptor -1, which is no error, where the configuration has no http. Errors as of listener_open
 * and listener_inherit; a port that is taken is ERR_IN_USE. */
MUST_CHECK struct err listener_http_open(const struct http_place *place, const char *group, int fd,
                                         struct listener *ret, struct listen_error *ret_error);

#endif
