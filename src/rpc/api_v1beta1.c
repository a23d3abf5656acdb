/* SPDX-License-Identifier: Apache-2.0 */
/* KMS v1: translates messages, decides nothing. */
#include "api_message.h"
#include "api_rows.h"
#include "cleanup.h"
#include "v1beta1.pb-c.h"

#include <stddef.h>

/* kube-apiserver sends the version with every request; another one may mean other bytes. */
static bool version_ok(struct rpc_call *call, const ProtobufCBinaryData *version)
{
    if (bytes_equal(api_bytes(version), bytes_of_string("v1beta1")))
        return true;
    api_refuse(call, ERR_INVALID, "version: this API speaks v1beta1");
    return false;
}

/* Tells what is spoken, whatever the client speaks: that is what it asks. */
static void version(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    AUTO_ARENA(arena);
    const V1beta1__VersionRequest *in = (const V1beta1__VersionRequest *)api_unpack(
        call, &v1beta1__version_request__descriptor, request, &arena);
    if (!in || !api_text_ok(call, &in->version, "version: not UTF-8 text"))
        return;
    V1beta1__VersionResponse out = V1BETA1__VERSION_RESPONSE__INIT;
    out.version = api_field(bytes_of_string(binding->version));
    out.runtime_name = api_field(bytes_of_string("p11-kms"));
    out.runtime_version = api_field(bytes_of_string(P11KMS_VERSION));
    api_reply(call, &out.base);
}

static void encrypted(void *context, const struct kms_result *result)
{
    struct rpc_call *call = (struct rpc_call *)context;
    if (result->code != ERR_NONE) {
        api_refuse(call, result->code, result->message);
        return;
    }
    V1beta1__EncryptResponse out = V1BETA1__ENCRYPT_RESPONSE__INIT;
    out.cipher = api_field(result->output);
    api_reply(call, &out.base);
}

static void encrypt(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    AUTO_ARENA(arena);
    const V1beta1__EncryptRequest *in = (const V1beta1__EncryptRequest *)api_unpack(
        call, &v1beta1__encrypt_request__descriptor, request, &arena);
    if (!in || !version_ok(call, &in->version))
        return;
    kms_submit(binding->service, &(struct kms_request){.op = KMS_ENCRYPT,
                                                       .family = FAMILY_V1,
                                                       .input = api_bytes(&in->plain),
                                                       .connection = rpc_call_peer(call).connection,
                                                       .deadline_ns = rpc_call_deadline_ns(call),
                                                       .cancelled = rpc_call_cancelled(call),
                                                       .done = encrypted,
                                                       .context = call});
}

static void decrypted(void *context, const struct kms_result *result)
{
    struct rpc_call *call = (struct rpc_call *)context;
    if (result->code != ERR_NONE) {
        api_refuse(call, result->code, result->message);
        return;
    }
    V1beta1__DecryptResponse out = V1BETA1__DECRYPT_RESPONSE__INIT;
    out.plain = api_field(result->output);
    api_reply(call, &out.base);
}

static void decrypt(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    AUTO_ARENA(arena);
    const V1beta1__DecryptRequest *in = (const V1beta1__DecryptRequest *)api_unpack(
        call, &v1beta1__decrypt_request__descriptor, request, &arena);
    if (!in || !version_ok(call, &in->version))
        return;
    kms_submit(binding->service, &(struct kms_request){.op = KMS_DECRYPT,
                                                       .family = FAMILY_V1,
                                                       .input = api_bytes(&in->cipher),
                                                       .connection = rpc_call_peer(call).connection,
                                                       .deadline_ns = rpc_call_deadline_ns(call),
                                                       .cancelled = rpc_call_cancelled(call),
                                                       .done = decrypted,
                                                       .context = call});
}

const struct api_method api_v1beta1_methods[API_METHODS] = {
    {"Version", version, true},
    {"Encrypt", encrypt, false},
    {"Decrypt", decrypt, false},
};
