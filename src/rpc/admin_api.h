/* SPDX-License-Identifier: Apache-2.0 */
/* The admin API (proto/admin.proto) as methods of an rpc_server of its own: gRPC methods are per
 * server, and who may ask for a Secret may not order a rotation. */
#ifndef P11KMS_ADMIN_API_H
#define P11KMS_ADMIN_API_H

#include "rotation.h"
#include "rpc_access.h"
#include "rpc_server.h"

struct admin_api;

struct admin_options {
    struct keyring *keyring;   /* borrowed until admin_api_free */
    struct rotation *rotation; /* likewise */
    const char *mode;          /* ring.mode; copied */
    const char *token;         /* token.uri; copied */
    /* Somebody orders a change: for the log. On the polling thread, before it is carried out.
     * key_id is "" where the order names none. */
    void (*ordered)(void *context, const char *method, const char *key_id,
                    const struct rpc_peer *peer);
    void *context;
};

/* ERR_EXHAUSTED. */
MUST_CHECK struct err admin_api_new(const struct admin_options *options, struct admin_api **ret);

/* The method table for rpc_server_start; lives as long as api. */
const struct rpc_method *admin_api_methods(const struct admin_api *api, size_t *ret_n);

/* Accepts NULL. After the server has stopped, and after the rotation has: it answers orders. */
void admin_api_free(struct admin_api *api);

/* Who may connect: root, and our own user. */
struct rpc_access admin_api_access(void);

#endif
