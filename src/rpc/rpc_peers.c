/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_peers.h"

#include "text.h"

#include <limits.h>
#include <string.h>

void rpc_peers_init(struct rpc_peers *peers)
{
    (void)pthread_mutex_init(&peers->lock, NULL);
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
    peers->entries[slot_of(fd)].fd = fd;
    peers->entries[slot_of(fd)].peer = *peer;
    (void)pthread_mutex_unlock(&peers->lock);
}

struct rpc_peer rpc_peers_find(struct rpc_peers *peers, const char *name)
{
    struct rpc_peer found = {0};
    uint64_t number = 0;
    if (strncmp(name, "fd:", 3) != 0 || err_is(parse_u64(name + 3, 0, INT_MAX, &number)))
        return found;
    (void)pthread_mutex_lock(&peers->lock);
    if (peers->entries[slot_of((int)number)].fd == (int)number)
        found = peers->entries[slot_of((int)number)].peer;
    (void)pthread_mutex_unlock(&peers->lock);
    return found;
}
