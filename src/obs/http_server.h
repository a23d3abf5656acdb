/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 server for health and metrics, on a thread of its own. GET and HEAD, no request
 * bodies, one request a connection. What a client can take is bounded: connections, how long one
 * lasts, and memory. */
#ifndef P11KMS_HTTP_SERVER_H
#define P11KMS_HTTP_SERVER_H

#include "error.h"

#include <stddef.h>

enum {
    HTTP_CONNECTIONS_MAX = 64,
    HTTP_LASTS_MS = 5000,   /* from accept to close, whatever the client does */
    HTTP_GIVES_WAY_MS = 250 /* the same while all are taken */
};

/* What is answered. text is malloc'ed and becomes the server's. */
struct http_answer {
    unsigned status;
    const char *type; /* Content-Type; a static string */
    char *text;
    size_t len;
};

/* Fills *ret; called on the server's thread. verbose: the query has that word. ERR_EXHAUSTED is
 * answered 500. */
typedef MUST_CHECK struct err http_handler(void *context, bool verbose, struct http_answer *ret);

struct http_route {
    const char *path;
    http_handler *handler;
};

struct http_server;

/* Serves a listening, non-blocking socket, which becomes the server's. routes and context are
 * borrowed until http_server_stop; every other path is 404. */
MUST_CHECK struct err http_server_start(int fd, const struct http_route *routes, size_t n,
                                        void *context, struct http_server **ret);

/* Ends the thread; what is being answered is cut off. Accepts NULL. */
void http_server_stop(struct http_server *server);

#endif
