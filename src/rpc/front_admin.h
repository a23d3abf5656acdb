/* SPDX-License-Identifier: Apache-2.0 */
/* The front end's admin socket: a server, a listener and a log of its own. */
#ifndef P11KMS_FRONT_ADMIN_H
#define P11KMS_FRONT_ADMIN_H

#include "admin_api.h"
#include "refusals.h"

struct front_admin {
    struct admin_api *api;
    struct rpc_server *server;
    struct rpc_listener *listener;
    struct refusals refusals;
};

/* Serves the admin API on listen_fd, once the poller runs. Orders are logged. On an error the
 * process is to end. */
MUST_CHECK struct err front_admin_start(struct front_admin *admin, struct rpc_poller *poller,
                                        int listen_fd, const struct admin_options *options);

/* Takes no more calls; an order under way gets a moment. ERR_DEADLINE: one is still there, and the
 * rotation must not be freed. */
MUST_CHECK struct err front_admin_stop(struct front_admin *admin);

#endif
