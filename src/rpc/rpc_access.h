/* SPDX-License-Identifier: Apache-2.0 */
/* Who may connect. The kernel says who connected. */
#ifndef P11KMS_RPC_ACCESS_H
#define P11KMS_RPC_ACCESS_H

#include "rpc_call.h"

#include <stddef.h>

enum { RPC_ACCESS_MAX = 16 };

/* A peer may connect whose uid or one of whose groups is listed. */
struct rpc_access {
    uint32_t uids[RPC_ACCESS_MAX];
    size_t n_uids;
    uint32_t gids[RPC_ACCESS_MAX];
    size_t n_gids;
};

/* SO_PEERCRED of a connected AF_UNIX socket; connection is set to 0. */
MUST_CHECK struct err rpc_peer_of(int fd, struct rpc_peer *ret);

/* Whether the peer of fd may connect. Its groups are the primary one of SO_PEERCRED and the
 * others of SO_PEERGROUPS, as they were when it connected. */
bool rpc_access_allows(const struct rpc_access *access, int fd, const struct rpc_peer *peer);

#endif
