/* SPDX-License-Identifier: Apache-2.0 */
/* Covers every handler of the KMS APIs: protobuf-c into the arena, checks, packing of answers. The
 * first byte of an input is the method's number, the rest its request. */
#include "kms_api.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Stands in for the server: a call only counts its replies. */
struct rpc_call {
    unsigned replies;
    atomic_bool cancelled;
};

void rpc_call_reply(struct rpc_call *call, enum err_code code, const char *message,
                    struct bytes response)
{
    call->replies++;
    if (code != ERR_NONE && (message[0] == '\0' || response.len > 0))
        abort();
}

int64_t rpc_call_deadline_ns(const struct rpc_call *call)
{
    (void)call;
    return INT64_MAX;
}

struct rpc_peer rpc_call_peer(const struct rpc_call *call)
{
    (void)call;
    return (struct rpc_peer){.uid = 0};
}

const atomic_bool *rpc_call_cancelled(const struct rpc_call *call)
{
    return &call->cancelled;
}

struct kms_service {
    uint8_t output[ENVELOPE_MAX];
};

/* Answers with as many bytes as it got, so that answers of every length are packed. */
void kms_submit(struct kms_service *service, const struct kms_request *request)
{
    struct key_id key_id = {"k8s.01890000-0000-7000-8000-000000000000"};
    struct kms_result result = {.message = "refused", .key_id = &key_id};
    if (request->has_key_id &&
        (request->key_id.len == 0 || request->key_id.len > 1024 || !bytes_is_utf8(request->key_id)))
        abort();
    if (request->input.len > sizeof service->output)
        result.code = ERR_INVALID;
    else
        result.output = bytes_of(service->output, request->input.len);
    if (result.code == ERR_NONE && request->input.len > 0)
        memcpy(service->output, request->input.data, request->input.len);
    request->done(request->context, &result);
}

void kms_status(struct kms_service *service, struct kms_status *ret)
{
    (void)service;
    *ret = (struct kms_status){.healthz = "ok", .key_id = "k8s.none"};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kms_service service;
    static struct kms_api *api;
    struct rpc_call call = {.replies = 0};
    size_t n = 0;
    if (size == 0 || (!api && err_is(kms_api_new(&service, "v2beta1", &api))))
        return 0;
    const struct rpc_method *methods = kms_api_methods(api, &n);
    const struct rpc_method *method = &methods[data[0] % n];
    method->handler(&call, bytes_of(data + 1, size - 1), method->context);
    if (call.replies != 1)
        abort();
    return 0;
}
