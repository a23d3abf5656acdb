/* SPDX-License-Identifier: Apache-2.0 */
/* Who is behind a descriptor. gRPC names the peer of a call only as "fd:N". */
#ifndef P11KMS_RPC_PEERS_H
#define P11KMS_RPC_PEERS_H

#include "rpc_call.h"

#include <pthread.h>

/* A power of two, and more than there are connections: see rpc_accept.c. */
enum { RPC_PEERS = 512 };

struct rpc_peers {
    pthread_mutex_t lock; /* guards the entries */
    struct {
        int fd;
        struct rpc_peer peer;
    } entries[RPC_PEERS];
};

void rpc_peers_init(struct rpc_peers *peers);
void rpc_peers_destroy(struct rpc_peers *peers);

/* Remembers, in place of any earlier owner of this number. */
void rpc_peers_put(struct rpc_peers *peers, int fd, const struct rpc_peer *peer);

/* The peer gRPC calls name ("fd:N"); all zero when it is not known. */
struct rpc_peer rpc_peers_find(struct rpc_peers *peers, const char *name);

#endif
