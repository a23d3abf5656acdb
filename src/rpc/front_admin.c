/* SPDX-License-Identifier: Apache-2.0 */
#include "front_admin.h"

#include "log.h"

enum { GRACE_MS = 500 }; /* questions are answered at once; orders may take minutes */

static void log_order(void *context, const char *method, const char *key_id,
                      const struct rpc_peer *peer)
{
    (void)context;
    log_event(LOG_PRI_INFO, "an order was given", LOG_S("order", method), LOG_S("key_id", key_id),
              LOG_N("uid", peer->uid), LOG_N("pid", peer->pid));
}

struct err front_admin_start(struct front_admin *admin, struct rpc_poller *poller, int listen_fd,
                             const struct admin_options *options)
{
    struct admin_options logged = *options;
    const struct rpc_access access = admin_api_access();
    size_t n = 0;
    logged.ordered = log_order;
    admin->refusals = (struct refusals){.socket = "adminSocket",
                                        .stranger = "it is neither root nor the daemon's own user"};
    TRY(admin_api_new(&logged, &admin->api));
    const struct rpc_method *methods = admin_api_methods(admin->api, &n);
    TRY(rpc_server_start(poller, methods, n, &admin->server));
    return rpc_listener_new(listen_fd, admin->server, &access, refusals_log, &admin->refusals,
                            &admin->listener);
}

struct err front_admin_stop(struct front_admin *admin)
{
    rpc_listener_free(admin->listener);
    return rpc_server_stop(admin->server, GRACE_MS);
}
