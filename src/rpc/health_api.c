/* SPDX-License-Identifier: Apache-2.0 */
#include "health_api.h"

#include "api_message.h"
#include "cleanup.h"
#include "health.pb-c.h"
#include "kms_api.h"

typedef Grpc__Health__V1__HealthCheckRequest request_message;
typedef Grpc__Health__V1__HealthCheckResponse response_message;

/* The server as a whole, and each API that it serves: all stand on one ring. */
static bool is_served(struct bytes service)
{
    return service.len == 0 || kms_api_has(service);
}

static void check(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct health_api *api = (const struct health_api *)context;
    AUTO_ARENA(arena);
    const request_message *in = (const request_message *)api_unpack(
        call, &grpc__health__v1__health_check_request__descriptor, request, &arena);
    if (!in)
        return;
    if (!is_served(api_bytes(&in->service))) {
        api_refuse(call, ERR_NOT_FOUND, "no such service");
        return;
    }
    response_message out = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    out.status = api->ready(api->context)
                     ? GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
                     : GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING;
    api_reply(call, &out.base);
}

struct rpc_method health_api_method(const struct health_api *api)
{
    return (struct rpc_method){"/grpc.health.v1.Health/Check", check, api, true};
}
