/* SPDX-License-Identifier: Apache-2.0 */
#include "requests.h"

#include "kms_client.h"
#include "text.h"
#include "v1beta1.pb-c.h"
#include "v2.pb-c.h"

#include <stdio.h>
#include <string.h>

enum { DEK_LEN = 32, WAIT_MS = 10000 };

static const struct {
    const char *name, *path;
} kinds[LOAD_KINDS] = {
    [LOAD_ECHO] = {"echo", "/bench.Echo/Echo"},
    [LOAD_ENCRYPT] = {"encrypt", "/v2.KeyManagementService/Encrypt"},
    [LOAD_DECRYPT] = {"decrypt", "/v2.KeyManagementService/Decrypt"},
    [LOAD_ENCRYPT_V1] = {"encrypt-v1", "/v1beta1.KeyManagementService/Encrypt"},
    [LOAD_STATUS] = {"status", "/v2.KeyManagementService/Status"},
};

struct err load_kind_parse(const char *name, enum load_kind *ret)
{
    for (int i = 0; i < LOAD_KINDS; i++) {
        if (strcmp(name, kinds[i].name) != 0)
            continue;
        *ret = (enum load_kind)i;
        return ERR_OK;
    }
    return err_make(ERR_USAGE, "kind");
}

const char *load_kind_name(enum load_kind kind)
{
    return kinds[kind].name;
}

static struct err pack(const ProtobufCMessage *message, struct bytes *ret)
{
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = (uint8_t *)malloc(len + 1);
    if (!packed)
        return err_make(ERR_EXHAUSTED, "pack");
    (void)protobuf_c_message_pack(message, packed);
    *ret = bytes_of(packed, len);
    return ERR_OK;
}

static struct err make_encrypt(uint8_t *dek, struct bytes *ret)
{
    char uid[] = "3d9c2c5f-6b0e-4a53-9d0e-6d4a0c7a9f10";
    V2__EncryptRequest request = V2__ENCRYPT_REQUEST__INIT;
    request.plaintext = (ProtobufCBinaryData){DEK_LEN, dek};
    request.uid = (ProtobufCBinaryData){strlen(uid), (uint8_t *)uid};
    return pack(&request.base, ret);
}

static struct err make_encrypt_v1(uint8_t *dek, struct bytes *ret)
{
    char version[] = "v1beta1";
    V1beta1__EncryptRequest request = V1BETA1__ENCRYPT_REQUEST__INIT;
    request.version = (ProtobufCBinaryData){strlen(version), (uint8_t *)version};
    request.plain = (ProtobufCBinaryData){DEK_LEN, dek};
    return pack(&request.base, ret);
}

static ProtobufCBinaryData field_of(struct bytes value)
{
    union {
        const uint8_t *constant;
        uint8_t *plain;
    } data = {.constant = value.data};
    return (ProtobufCBinaryData){value.len, data.plain};
}

/* As an envelope of the daemon: its ciphertext, key_id and uid. For the echo, of the same size. */
static struct err pack_decrypt(struct bytes ciphertext, const char *key_id, struct bytes *ret)
{
    V2__DecryptRequest request = V2__DECRYPT_REQUEST__INIT;
    request.ciphertext = field_of(ciphertext);
    request.key_id = field_of(bytes_of_string(key_id));
    request.uid = field_of(bytes_of_string("3d9c2c5f-6b0e-4a53-9d0e-6d4a0c7a9f10"));
    return pack(&request.base, ret);
}

static struct err make_decrypt(struct kms_client *client, struct bytes dek, struct bytes *ret)
{
    struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure;
    struct err e = kms_client_encrypt(client, KMS_API_V2, dek, WAIT_MS, &sealed, &failure);
    if (err_is(e)) {
        (void)fprintf(stderr, "Encrypt: %s: %s\n", failure.name, failure.message);
        return e;
    }
    e = pack_decrypt(sealed.ciphertext, sealed.key_id, ret);
    kms_sealed_release(&sealed);
    return e;
}

static struct err make_one(enum load_kind kind, struct kms_client *client, struct bytes *ret)
{
    /* What aes-gcm makes of a DEK: header, IV, ciphertext and tag. */
    static const uint8_t envelope_sized[4 + 40 + 12 + DEK_LEN + 16];
    uint8_t dek[DEK_LEN];
    TRY(random_fill(dek, sizeof dek));
    switch (kind) {
    case LOAD_ENCRYPT:
        return make_encrypt(dek, ret);
    case LOAD_ENCRYPT_V1:
        return make_encrypt_v1(dek, ret);
    case LOAD_DECRYPT:
        return make_decrypt(client, bytes_of(dek, sizeof dek), ret);
    case LOAD_ECHO:
        return pack_decrypt(bytes_of(envelope_sized, sizeof envelope_sized),
                            "k8s.01890000-0000-7000-8000-000000000000", ret);
    default:
        *ret = bytes_of(NULL, 0);
        return ERR_OK;
    }
}

struct err requests_make(enum load_kind kind, const char *socket_path, size_t n,
                         struct requests *ret)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    struct kms_client_options options = {.socket_path = socket_path};
    struct requests made = {.path = kinds[kind].path, .n = n};
    made.packed = (struct bytes *)calloc(n, sizeof *made.packed);
    if (!made.packed)
        return err_make(ERR_EXHAUSTED, "requests_make");
    TRY(kms_client_open(&options, &client));
    for (size_t i = 0; i < n; i++)
        TRY(make_one(kind, client, &made.packed[i]));
    *ret = made;
    return ERR_OK;
}
