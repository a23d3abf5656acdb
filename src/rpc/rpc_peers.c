/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_peers.h"

#include "rpc_server.h"
#include "text.h"

#include <limits.h>
#include <string.h>

void rpc_peers_init(struct rpc_peers *peers)
{
    (void)pthread_mutex_init(&peers->lock, NULL);
    peers->waiting = 0;
    for (size_t i = 0; i < RPC_PEERS; i++)
        peers->entries[i].fd = -1;
}

void rpc_peers_destroy(struct rpc_peers *peers)
{
    (void)pthread_mutex_destroy(&peers->lock);
}

static size_t slot_of(int fd)
{
    return (unsigned)fd % RPC_PEERS;
}

void rpc_peers_put(struct rpc_peers *peers, int fd, const struct rpc_peer *peer)
{
    (void)pthread_mutex_lock(&peers->lock);
    peers->entries[slot_of(fd)] = (struct rpc_peer_entry){.fd = fd, .peer = *peer};
    (void)pthread_mutex_unlock(&peers->lock);
}

/* Its number as gRPC writes it, or -1. */
static int fd_of(const char *name)
{
    uint64_t number = 0;
    if (strncmp(name, "fd:", 3) != 0 || err_is(parse_u64(name + 3, 0, INT_MAX, &number)))
        return -1;
    return (int)number;
}

static struct rpc_peer_entry *find_locked(struct rpc_peers *peers, const char *name)
{
    int fd = fd_of(name);
    struct rpc_peer_entry *entry = fd < 0 ? NULL : &peers->entries[slot_of(fd)];
    return entry && entry->fd == fd ? entry : NULL;
}

struct rpc_peer rpc_peers_find(struct rpc_peers *peers, const char *name)
{
    struct rpc_peer found = {0};
    (void)pthread_mutex_lock(&peers->lock);
    const struct rpc_peer_entry *entry = find_locked(peers, name);
    if (entry)
        found = entry->peer;
    (void)pthread_mutex_unlock(&peers->lock);
    return found;
}

/* entry NULL: a late call of a connection whose entry is another's by now. */
static bool has_share_locked(const struct rpc_peers *peers, const struct rpc_peer_entry *entry)
{
    unsigned left = peers->waiting < RPC_CALLS_MAX ? RPC_CALLS_MAX - peers->waiting : 0;
    return entry ? entry->waiting < RPC_CALLS_ALWAYS || entry->waiting < left : left > 0;
}

bool rpc_peers_take(struct rpc_peers *peers, const char *name, struct rpc_place *ret)
{
    (void)pthread_mutex_lock(&peers->lock);
    struct rpc_peer_entry *entry = find_locked(peers, name);
    bool taken = has_share_locked(peers, entry);
    if (taken) {
        *ret = (struct rpc_place){.entry = RPC_PEERS, .taken = true};
        peers->waiting++;
    }
    if (taken && entry) {
        entry->waiting++;
        ret->entry = (size_t)(entry - peers->entries);
        ret->connection = entry->peer.connection;
    }
    (void)pthread_mutex_unlock(&peers->lock);
    return taken;
}

void rpc_peers_give_back(struct rpc_peers *peers, const struct rpc_place *place)
{
    if (!place->taken)
        return;
    (void)pthread_mutex_lock(&peers->lock);
    if (place->entry < RPC_PEERS &&
        peers->entries[place->entry].peer.connection == place->connection)
        peers->entries[place->entry].waiting--;
    peers->waiting--;
    (void)pthread_mutex_unlock(&peers->lock);
}
