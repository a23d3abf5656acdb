/* SPDX-License-Identifier: Apache-2.0 */
/* The front end over HTTP: /livez, /readyz, /healthz and /metrics. */
#ifndef P11KMS_FRONT_HTTP_H
#define P11KMS_FRONT_HTTP_H

#include "http_server.h"
#include "vitals.h"

/* Serves them on the socket, which becomes the server's; end it with http_server_stop, before what
 * the vitals point to ends. */
MUST_CHECK struct err front_http_start(int fd, struct vitals *vitals, struct http_server **ret);

#endif
