/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_access.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/types.h>

/* A process of more groups is judged by its uid and primary group alone. */
enum { PEER_GROUPS_MAX = 1024 };

struct err rpc_peer_of(int fd, struct rpc_peer *ret)
{
    struct ucred credentials;
    socklen_t size = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &size) != 0)
        return err_errno(errno, "SO_PEERCRED");
    *ret = (struct rpc_peer){credentials.uid, credentials.gid, credentials.pid, 0};
    return ERR_OK;
}

static bool listed(const uint32_t *ids, size_t n, uint32_t id)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] == id)
            return true;
    return false;
}

static bool allows_a_group(const struct rpc_access *access, int fd)
{
    gid_t groups[PEER_GROUPS_MAX];
    socklen_t size = sizeof groups;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) != 0)
        return false;
    for (size_t i = 0; i < size / sizeof groups[0]; i++)
        if (listed(access->gids, access->n_gids, groups[i]))
            return true;
    return false;
}

bool rpc_access_allows(const struct rpc_access *access, int fd, const struct rpc_peer *peer)
{
    if (listed(access->uids, access->n_uids, peer->uid))
        return true;
    if (access->n_gids == 0)
        return false;
    return listed(access->gids, access->n_gids, peer->gid) || allows_a_group(access, fd);
}
