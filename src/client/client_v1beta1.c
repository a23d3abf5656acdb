/* SPDX-License-Identifier: Apache-2.0 */
#include "client_message.h"
#include "v1beta1.pb-c.h"

#include <stdio.h>

static struct err status(const struct client_target *target, struct kms_client_status *ret,
                         struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    V1beta1__VersionRequest request = V1BETA1__VERSION_REQUEST__INIT;
    char name[KMS_CLIENT_TEXT_MAX / 2], version[KMS_CLIENT_TEXT_MAX / 2];
    request.version = client_field(bytes_of_string("v1beta1"));
    TRY(client_exchange(target, "Version", &request.base, &v1beta1__version_response__descriptor,
                        &message, ret_failure));
    const V1beta1__VersionResponse *response = (const V1beta1__VersionResponse *)message;
    *ret = (struct kms_client_status){.healthz = ""};
    client_text(&response->version, ret->version, sizeof ret->version);
    client_text(&response->runtime_name, name, sizeof name);
    client_text(&response->runtime_version, version, sizeof version);
    (void)snprintf(ret->runtime, sizeof ret->runtime, "%s %s", name, version);
    return ERR_OK;
}

static struct err encrypt(const struct client_target *target, struct bytes plaintext,
                          struct kms_sealed *ret, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    V1beta1__EncryptRequest request = V1BETA1__ENCRYPT_REQUEST__INIT;
    request.version = client_field(bytes_of_string("v1beta1"));
    request.plain = client_field(plaintext);
    TRY(client_exchange(target, "Encrypt", &request.base, &v1beta1__encrypt_response__descriptor,
                        &message, ret_failure));
    const V1beta1__EncryptResponse *response = (const V1beta1__EncryptResponse *)message;
    struct bytes copy;
    TRY(client_copy(bytes_of(response->cipher.data, response->cipher.len), &copy, ret_failure));
    *ret = (struct kms_sealed){.ciphertext = copy};
    return ERR_OK;
}

static struct err decrypt(const struct client_target *target, const struct kms_sealed *sealed,
                          struct secret *ret_plaintext, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    V1beta1__DecryptRequest request = V1BETA1__DECRYPT_REQUEST__INIT;
    request.version = client_field(bytes_of_string("v1beta1"));
    request.cipher = client_field(sealed->ciphertext);
    TRY(client_exchange(target, "Decrypt", &request.base, &v1beta1__decrypt_response__descriptor,
                        &message, ret_failure));
    const V1beta1__DecryptResponse *response = (const V1beta1__DecryptResponse *)message;
    if (err_is(secret_assign(ret_plaintext, bytes_of(response->plain.data, response->plain.len))))
        return client_fail(ret_failure, ERR_EXHAUSTED, "the plaintext is longer than expected");
    return ERR_OK;
}

const struct client_version client_v1beta1 = {status, encrypt, decrypt};
