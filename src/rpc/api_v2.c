/* SPDX-License-Identifier: Apache-2.0 */
/* KMS v2 and v2alpha1: translates messages, decides nothing. */
#include "api_message.h"
#include "api_rows.h"
#include "cleanup.h"
#include "v2.pb-c.h"

#include <stddef.h>

enum { V2_KEY_ID_MAX = 1024 };

/* An error, unlike an unhealthy answer, makes API servers stop writing after three minutes: it is
 * for a KEK proved missing or changed. FAILED_PRECONDITION rather than UNAVAILABLE, because trying
 * again does not help: somebody must act. */
static void status(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    struct kms_status now;
    AUTO_ARENA(arena);
    if (!api_unpack(call, &v2__status_request__descriptor, request, &arena))
        return;
    kms_status(binding->service, &now);
    if (now.failed) {
        api_refuse(call, ERR_TOKEN, now.healthz);
        return;
    }
    V2__StatusResponse out = V2__STATUS_RESPONSE__INIT;
    out.version = api_field(bytes_of_string(binding->version));
    out.healthz = api_field(bytes_of_string(now.healthz));
    out.key_id = api_field(bytes_of_string(now.key_id));
    api_reply(call, &out.base);
}

static void encrypted(void *context, const struct kms_result *result)
{
    struct rpc_call *call = (struct rpc_call *)context;
    if (result->code != ERR_NONE) {
        api_refuse(call, result->code, result->message);
        return;
    }
    V2__EncryptResponse out = V2__ENCRYPT_RESPONSE__INIT;
    out.ciphertext = api_field(result->output);
    out.key_id = api_field(bytes_of_string(result->key_id->text));
    api_reply(call, &out.base);
}

static void encrypt(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    AUTO_ARENA(arena);
    const V2__EncryptRequest *in = (const V2__EncryptRequest *)api_unpack(
        call, &v2__encrypt_request__descriptor, request, &arena);
    if (!in || !api_text_ok(call, &in->uid, "uid: not UTF-8 text"))
        return;
    kms_submit(binding->service, &(struct kms_request){.op = KMS_ENCRYPT,
                                                       .family = FAMILY_V2,
                                                       .input = api_bytes(&in->plaintext),
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
    V2__DecryptResponse out = V2__DECRYPT_RESPONSE__INIT;
    out.plaintext = api_field(result->output);
    api_reply(call, &out.base);
}

static bool decrypt_fields_ok(struct rpc_call *call, const V2__DecryptRequest *in)
{
    if (!api_text_ok(call, &in->uid, "uid: not UTF-8 text") ||
        !api_text_ok(call, &in->key_id, "key_id: not UTF-8 text"))
        return false;
    const char *wrong = NULL;
    if (in->key_id.len == 0)
        wrong = "key_id: missing";
    else if (in->key_id.len > V2_KEY_ID_MAX)
        wrong = "key_id: longer than 1024 bytes";
    else if (in->n_annotations > 0)
        wrong = "annotations: this plugin made none, so these belong to something else";
    if (wrong)
        api_refuse(call, ERR_INVALID, wrong);
    return !wrong;
}

static void decrypt(struct rpc_call *call, struct bytes request, const void *context)
{
    const struct api_binding *binding = (const struct api_binding *)context;
    AUTO_ARENA(arena);
    const V2__DecryptRequest *in = (const V2__DecryptRequest *)api_unpack(
        call, &v2__decrypt_request__descriptor, request, &arena);
    if (!in || !decrypt_fields_ok(call, in))
        return;
    kms_submit(binding->service, &(struct kms_request){.op = KMS_DECRYPT,
                                                       .family = FAMILY_V2,
                                                       .input = api_bytes(&in->ciphertext),
                                                       .has_key_id = true,
                                                       .key_id = api_bytes(&in->key_id),
                                                       .connection = rpc_call_peer(call).connection,
                                                       .deadline_ns = rpc_call_deadline_ns(call),
                                                       .cancelled = rpc_call_cancelled(call),
                                                       .done = decrypted,
                                                       .context = call});
}

const struct api_method api_v2_methods[API_METHODS] = {
    {"Status", status, true},
    {"Encrypt", encrypt, false},
    {"Decrypt", decrypt, false},
};
