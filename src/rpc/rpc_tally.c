/* SPDX-License-Identifier: Apache-2.0 */
#include "rpc_tally.h"

#include "rpc_internal.h"

static const char *const names[RPC_STATUSES] = {
    [GRPC_STATUS_OK] = "OK",
    [GRPC_STATUS_CANCELLED] = "CANCELLED",
    [GRPC_STATUS_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
    [GRPC_STATUS_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
    [GRPC_STATUS_NOT_FOUND] = "NOT_FOUND",
    [GRPC_STATUS_PERMISSION_DENIED] = "PERMISSION_DENIED",
    [GRPC_STATUS_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
    [GRPC_STATUS_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
    [GRPC_STATUS_UNIMPLEMENTED] = "UNIMPLEMENTED",
    [GRPC_STATUS_INTERNAL] = "INTERNAL",
    [GRPC_STATUS_UNAVAILABLE] = "UNAVAILABLE",
};

const struct timed *rpc_tally(const struct rpc_server *server, size_t i, const char **ret_path)
{
    if (i >= server->n_slots)
        return NULL;
    const struct rpc_method *method = server->slots[i].method;
    *ret_path = method ? method->path : NULL;
    return server->slots[i].ended;
}

const char *rpc_status_name(size_t status)
{
    return status < RPC_STATUSES ? names[status] : NULL;
}
