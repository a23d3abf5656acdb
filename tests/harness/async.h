/* SPDX-License-Identifier: Apache-2.0 */
/* A KMS client that keeps many calls in flight on connections that are never made anew: a call
 * that is answered at all proves that its connection stayed. */
#ifndef P11KMS_TEST_ASYNC_H
#define P11KMS_TEST_ASYNC_H

#include "wire.h"

#include <grpc/status.h>

struct async;

struct async_answer {
    grpc_status_code code;
    char text[256];        /* what the server said with it, cut */
    struct bytes response; /* with GRPC_STATUS_OK; borrowed until the callback returns */
    int64_t started_ns, ended_ns;
};

enum async_cancel { ASYNC_KEEP, ASYNC_CANCEL_AT_ONCE, ASYNC_CANCEL_LATER };

struct async_request {
    unsigned connection; /* below the number opened */
    enum kms_api_version version;
    enum wire_method method;
    const char *path;     /* instead of these two, for methods that no API has; NULL: those */
    struct bytes message; /* copied */
    int timeout_ms;
    enum async_cancel cancel; /* later: when the next answer to anything comes */
    void (*done)(void *context, const struct async_answer *answer); /* on one thread, once */
    void *context;
};

/* NULL when nobody listens. */
struct async *async_open(const char *socket_path, unsigned connections);

/* The same, but a connection that is lost is made anew, tried every 100 ms. Calls meanwhile fail.
 */
struct async *async_open_lasting(const char *socket_path, unsigned connections);

/* Waits for what is in flight, then closes the connections. Accepts NULL. */
void async_close(struct async *async);

/* Also from within done. */
void async_start(struct async *async, const struct async_request *request);

/* Waits until at most n calls are in flight. */
void async_wait(struct async *async, unsigned n);

/* Such as "INVALID_ARGUMENT". Never NULL. */
const char *async_code_name(grpc_status_code code);

#endif
