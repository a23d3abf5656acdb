/* SPDX-License-Identifier: Apache-2.0 */
/* The accept step of a listening AF_UNIX socket, for somebody else's event loop. gRPC's own
 * listener gives no peer credentials and stops for good at one EMFILE. */
#ifndef P11KMS_RPC_ACCEPT_H
#define P11KMS_RPC_ACCEPT_H

#include "rpc_access.h"
#include "rpc_server.h"

/* Where one of these is reached, the connection that has been idle longest gives way to a new one,
 * if it has had no call for RPC_IDLE_MS. */
enum { RPC_CONNECTIONS_MAX = 256, RPC_CONNECTIONS_PER_UID = 64, RPC_IDLE_MS = 5000 };

/* How often all connections are looked at (rpc_guard_look). Not once a second, so that who waits
 * for a second without events gets it. */
enum { RPC_LOOK_MS = 2500 };

enum rpc_refusal {
    RPC_REFUSED_ACCESS,     /* neither its uid nor a group of it is allowed */
    RPC_REFUSED_PER_UID,    /* its uid has RPC_CONNECTIONS_PER_UID connections, none of them idle */
    RPC_REFUSED_TOTAL,      /* RPC_CONNECTIONS_MAX are open */
    RPC_REFUSED_LIMIT,      /* it was connected, and broke a limit of rpc_guard.h: the detail */
    RPC_REFUSED_AGAIN,      /* another connection of its process did so in the last second */
    RPC_REFUSED_DESCRIPTORS /* out of descriptors or memory: nobody is accepted for a moment; peer
                               is all zero when nobody was */
};

/* Told of each refused peer, on the caller's thread, with a static text where there is more to say.
 * To be logged at a limited rate. */
typedef void rpc_refused(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                         const char *detail);

struct rpc_listener;

/* listen_fd (listening, made non-blocking here) and server are borrowed until
 * rpc_listener_free. One thread uses a listener. */
MUST_CHECK struct err rpc_listener_new(int listen_fd, struct rpc_server *server,
                                       const struct rpc_access *access, rpc_refused *refused,
                                       void *context, struct rpc_listener **ret);

/* Becomes readable when there is something to do: then call rpc_listener_ready. */
int rpc_listener_fd(const struct rpc_listener *listener);

/* Accepts whoever waits and may connect, and notices who is gone. Never blocks. */
void rpc_listener_ready(struct rpc_listener *listener);

/* Replaces who may connect. Connections that may not stay are ended. */
void rpc_listener_set_access(struct rpc_listener *listener, const struct rpc_access *access);

/* Open connections. */
size_t rpc_listener_connections(const struct rpc_listener *listener);

/* Stops accepting; connections stay open. Accepts NULL. Before rpc_server_stop. */
void rpc_listener_free(struct rpc_listener *listener);

#endif
