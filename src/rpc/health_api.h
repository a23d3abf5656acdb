/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.health.v1 on the KMS socket: SERVING while the provider is ready. */
#ifndef P11KMS_HEALTH_API_H
#define P11KMS_HEALTH_API_H

#include "rpc_server.h"

/* What answers Check. */
struct health_api {
    bool (*ready)(void *context); /* from memory: it must not block */
    void *context;
};

/* The method for rpc_server_start; api is borrowed as long as that is. */
struct rpc_method health_api_method(const struct health_api *api);

#endif
