/* SPDX-License-Identifier: Apache-2.0 */
/* Who is behind a descriptor, and how many of its calls wait for their answer. gRPC names the peer
 * of a call only as "fd:N". */
#ifndef P11KMS_RPC_PEERS_H
#define P11KMS_RPC_PEERS_H

#include "rpc_call.h"

#include <pthread.h>

/* A power of two, and more than any number that a connection gets, so that no two that live share
 * an entry: those of rpc_accept.c begin below 64 + 512, and run on from there by as many as are
 * open. */
enum { RPC_PEERS = 2048 };

struct rpc_peers {
    pthread_mutex_t lock; /* guards the rest */
    struct rpc_peer_entry {
        int fd;
        struct rpc_peer peer;
        unsigned waiting; /* calls of it that are not answered yet */
    } entries[RPC_PEERS];
    unsigned waiting; /* of all, and of connections that have gone since */
};

/* A call's place among those that wait. */
struct rpc_place {
    size_t entry; /* RPC_PEERS: of nobody known */
    uint64_t connection;
    bool taken;
};

void rpc_peers_init(struct rpc_peers *peers);
void rpc_peers_destroy(struct rpc_peers *peers);

/* Remembers, in place of any earlier owner of this number. */
void rpc_peers_put(struct rpc_peers *peers, int fd, const struct rpc_peer *peer);

/* The peer gRPC calls name ("fd:N"); all zero when it is not known. */
struct rpc_peer rpc_peers_find(struct rpc_peers *peers, const char *name);

/* Takes a place for a call of this peer. False: it has had its share. A connection may have as many
 * as it leaves to others, so that one alone gets RPC_CALLS_MAX / 2, and RPC_CALLS_ALWAYS whatever
 * others have; nobody known gets what is left. */
bool rpc_peers_take(struct rpc_peers *peers, const char *name, struct rpc_place *ret);

/* The call is answered. Any thread; nothing where no place was taken. */
void rpc_peers_give_back(struct rpc_peers *peers, const struct rpc_place *place);

#endif
