/* SPDX-License-Identifier: Apache-2.0 */
#include "client_message.h"
#include "v2.pb-c.h"

#include <string.h>

static struct err status(const struct client_target *target, struct kms_client_status *ret,
                         struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    V2__StatusRequest request = V2__STATUS_REQUEST__INIT;
    TRY(client_exchange(target, "Status", &request.base, &v2__status_response__descriptor, &message,
                        ret_failure));
    const V2__StatusResponse *response = (const V2__StatusResponse *)message;
    *ret = (struct kms_client_status){.runtime = ""};
    client_text(&response->version, ret->version, sizeof ret->version);
    client_text(&response->healthz, ret->healthz, sizeof ret->healthz);
    client_text(&response->key_id, ret->key_id, sizeof ret->key_id);
    return ERR_OK;
}

static struct err copy_annotation(const V2__EncryptResponse__AnnotationsEntry *from,
                                  struct kms_annotation *ret, struct kms_failure *ret_failure)
{
    TRY(client_copy(bytes_of(from->value.data, from->value.len), &ret->value, ret_failure));
    ret->name = strdup(from->key);
    return ret->name ? ERR_OK : client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
}

/* What was copied before a failure is in *sealed, for its owner to release. */
static struct err copy_sealed(const V2__EncryptResponse *response, struct kms_sealed *sealed,
                              struct kms_failure *ret_failure)
{
    struct bytes key_id = bytes_of(response->key_id.data, response->key_id.len);
    if (!bytes_to_string(key_id, sealed->key_id, sizeof sealed->key_id))
        return client_fail(ret_failure, ERR_INTERNAL, "the server's key_id is longer than allowed");
    TRY(client_copy(bytes_of(response->ciphertext.data, response->ciphertext.len),
                    &sealed->ciphertext, ret_failure));
    size_t n = response->n_annotations;
    sealed->annotations = (struct kms_annotation *)calloc(n + 1, sizeof *sealed->annotations);
    if (!sealed->annotations)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    sealed->n_annotations = n; /* those not copied stay empty, and are released as such */
    for (size_t i = 0; i < n; i++)
        TRY(copy_annotation(response->annotations[i], &sealed->annotations[i], ret_failure));
    return ERR_OK;
}

static struct err encrypt(const struct client_target *target, struct bytes plaintext,
                          struct kms_sealed *ret, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    V2__EncryptRequest request = V2__ENCRYPT_REQUEST__INIT;
    request.plaintext = client_field(plaintext);
    request.uid = client_field(bytes_of_string("p11-kms-client"));
    TRY(client_exchange(target, "Encrypt", &request.base, &v2__encrypt_response__descriptor,
                        &message, ret_failure));
    struct kms_sealed sealed = {.n_annotations = 0};
    struct err e = copy_sealed((const V2__EncryptResponse *)message, &sealed, ret_failure);
    if (err_is(e))
        kms_sealed_release(&sealed);
    else
        *ret = sealed;
    return e;
}

static void fill_entries(const struct kms_sealed *sealed, V2__DecryptRequest__AnnotationsEntry *to,
                         V2__DecryptRequest__AnnotationsEntry **pointers)
{
    for (size_t i = 0; i < sealed->n_annotations; i++) {
        v2__decrypt_request__annotations_entry__init(&to[i]);
        to[i].key = sealed->annotations[i].name;
        to[i].value = client_field(sealed->annotations[i].value);
        pointers[i] = &to[i];
    }
}

static struct err decrypt(const struct client_target *target, const struct kms_sealed *sealed,
                          struct secret *ret_plaintext, struct kms_failure *ret_failure)
{
    AUTO_MESSAGE ProtobufCMessage *message = NULL;
    size_t n = sealed->n_annotations;
    AUTO_FREE V2__DecryptRequest__AnnotationsEntry *entries =
        (V2__DecryptRequest__AnnotationsEntry *)calloc(n + 1, sizeof *entries);
    AUTO_FREE V2__DecryptRequest__AnnotationsEntry **pointers =
        (V2__DecryptRequest__AnnotationsEntry **)calloc(n + 1, sizeof(void *));
    V2__DecryptRequest request = V2__DECRYPT_REQUEST__INIT;
    if (!entries || !pointers)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    fill_entries(sealed, entries, pointers);
    request.ciphertext = client_field(sealed->ciphertext);
    request.uid = client_field(bytes_of_string("p11-kms-client"));
    request.key_id = client_field(bytes_of_string(sealed->key_id));
    request.annotations = pointers;
    request.n_annotations = n;
    TRY(client_exchange(target, "Decrypt", &request.base, &v2__decrypt_response__descriptor,
                        &message, ret_failure));
    const V2__DecryptResponse *response = (const V2__DecryptResponse *)message;
    struct bytes plaintext = bytes_of(response->plaintext.data, response->plaintext.len);
    if (err_is(secret_assign(ret_plaintext, plaintext)))
        return client_fail(ret_failure, ERR_EXHAUSTED, "the plaintext is longer than expected");
    return ERR_OK;
}

const struct client_version client_v2 = {status, encrypt, decrypt};
