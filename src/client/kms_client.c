/* SPDX-License-Identifier: Apache-2.0 */
#include "kms_client.h"

#include "client_versions.h"

#include <string.h>

static const struct version_row {
    const char *name;
    const char *service;
    const struct client_version *version;
} versions[KMS_API_VERSIONS] = {
    [KMS_API_V1BETA1] = {"v1beta1", "v1beta1.KeyManagementService", &client_v1beta1},
    [KMS_API_V2ALPHA1] = {"v2alpha1", "v2alpha1.KeyManagementService", &client_v2},
    [KMS_API_V2] = {"v2", "v2.KeyManagementService", &client_v2},
};

const char *kms_api_version_name(enum kms_api_version version)
{
    return (unsigned)version < KMS_API_VERSIONS ? versions[version].name : "unknown";
}

const char *kms_api_service_name(enum kms_api_version version)
{
    return versions[version].service;
}

struct err kms_api_version_parse(const char *name, enum kms_api_version *ret)
{
    for (int i = 0; i < KMS_API_VERSIONS; i++) {
        if (strcmp(name, versions[i].name) != 0)
            continue;
        *ret = (enum kms_api_version)i;
        return ERR_OK;
    }
    return err_make(ERR_USAGE, "API version");
}

struct err kms_client_open(const struct kms_client_options *options, struct kms_client **ret)
{
    const char *authority = options->authority ? options->authority : "localhost";
    return client_open(options->socket_path, authority, CLIENT_RECEIVE_MAX, ret);
}

void kms_client_close(struct kms_client *client)
{
    if (!client)
        return;
    if (client->queue) {
        grpc_completion_queue_shutdown(client->queue);
        grpc_completion_queue_destroy(client->queue);
    }
    if (client->channel)
        grpc_channel_destroy(client->channel);
    free(client);
}

void kms_sealed_release(struct kms_sealed *sealed)
{
    /* The range is const for its readers; what Encrypt put there is ours. */
    union {
        const uint8_t *constant;
        void *plain;
    } memory = {.constant = sealed->ciphertext.data};
    free(memory.plain);
    for (size_t i = 0; i < sealed->n_annotations; i++) {
        memory.constant = sealed->annotations[i].value.data;
        free(memory.plain);
        free(sealed->annotations[i].name);
    }
    free(sealed->annotations);
    *sealed = (struct kms_sealed){.n_annotations = 0};
}

static struct client_target target_of(struct kms_client *client, enum kms_api_version version,
                                      int timeout_ms)
{
    return (struct client_target){client, versions[version].service, timeout_ms};
}

struct err kms_client_status(struct kms_client *client, enum kms_api_version version,
                             int timeout_ms, struct kms_client_status *ret,
                             struct kms_failure *ret_failure)
{
    struct client_target target = target_of(client, version, timeout_ms);
    return versions[version].version->status(&target, ret, ret_failure);
}

struct err kms_client_encrypt(struct kms_client *client, enum kms_api_version version,
                              struct bytes plaintext, int timeout_ms, struct kms_sealed *ret,
                              struct kms_failure *ret_failure)
{
    struct client_target target = target_of(client, version, timeout_ms);
    return versions[version].version->encrypt(&target, plaintext, ret, ret_failure);
}

struct err kms_client_decrypt(struct kms_client *client, enum kms_api_version version,
                              const struct kms_sealed *sealed, int timeout_ms,
                              struct secret *ret_plaintext, struct kms_failure *ret_failure)
{
    struct client_target target = target_of(client, version, timeout_ms);
    return versions[version].version->decrypt(&target, sealed, ret_plaintext, ret_failure);
}
