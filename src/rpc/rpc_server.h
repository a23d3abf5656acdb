/* SPDX-License-Identifier: Apache-2.0 */
/* A unary gRPC server on gRPC core. It knows methods, not KMS. */
#ifndef P11KMS_RPC_SERVER_H
#define P11KMS_RPC_SERVER_H

#include "rpc_call.h"
#include "rpc_poller.h"

#include <stddef.h>

struct rpc_server;

struct rpc_method {
    const char *path; /* "/package.Service/Method" */
    rpc_handler *handler;
    const void *context;
    bool at_once; /* answered before the handler returns: never refused, nor counted as waiting */
};

enum {
    RPC_RECEIVE_MAX = 65536, /* bytes of a request; more is RESOURCE_EXHAUSTED */
    /* Calls in flight on one connection. More than the 600 requests that kube-apiserver takes at a
     * time by default: what exceeds this waits in the client in the order in which it came, an
     * Encrypt behind all Decrypts, where nobody can let it pass. */
    RPC_STREAMS_MAX = 640,
    /* Calls that wait for their answer, of all connections; more are RESOURCE_EXHAUSTED. Each holds
     * its request's place in the service: equal Decrypts, which are joined, have no other limit.
     * Answered calls do not count, or a client that does not read would keep everybody out;
     * RPC_GUARD_OPEN_MAX bounds those. A connection may have as many as are left then: one alone
     * 1024, more than its streams, four greedy ones about 600, 600, 424 and 212, and so on. */
    RPC_CALLS_MAX = 2048,
    RPC_CALLS_ALWAYS = 8 /* and each connection so many, whatever the others have */
};

/* Before its poller runs, which serves it from then on. methods is borrowed until rpc_server_stop
 * has returned; every other method is UNIMPLEMENTED. ERR_EXHAUSTED. */
MUST_CHECK struct err rpc_server_start(struct rpc_poller *poller, const struct rpc_method *methods,
                                       size_t n_methods, struct rpc_server **ret);

/* Serves a connected, non-blocking AF_UNIX socket and takes it, whatever happens. Any thread but
 * after rpc_server_stop began. */
void rpc_server_add_peer(struct rpc_server *server, int fd, const struct rpc_peer *peer);

/* Takes no new calls, waits up to grace_ms for those in flight, cancels the rest and frees the
 * server. Not on the polling thread, which must run. Accepts NULL. ERR_DEADLINE: a handler has
 * still not replied a second after its call was cancelled; nothing is freed then, and the process
 * should end. */
MUST_CHECK struct err rpc_server_stop(struct rpc_server *server, int grace_ms);

#endif
