/* SPDX-License-Identifier: Apache-2.0 */
#include "wire.h"

#include <stdio.h>

enum { LENGTH_DELIMITED = 2 };

void wire_path(enum kms_api_version version, enum wire_method method,
               char ret[static WIRE_PATH_MAX + 1])
{
    static const char *const names[] = {
        [WIRE_STATUS] = "Status", [WIRE_ENCRYPT] = "Encrypt", [WIRE_DECRYPT] = "Decrypt"};
    const char *name = names[method];
    if (version == KMS_API_V1BETA1 && method == WIRE_STATUS)
        name = "Version";
    (void)snprintf(ret, WIRE_PATH_MAX + 1, "/%s.KeyManagementService/%s",
                   kms_api_version_name(version), name);
}

static void put_varint(struct writer *w, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_u8(w, (uint8_t)(value | 0x80));
    put_u8(w, (uint8_t)value);
}

void wire_put_field(struct writer *w, unsigned number, struct bytes value)
{
    put_varint(w, (uint64_t)number << 3 | LENGTH_DELIMITED);
    put_varint(w, value.len);
    put_bytes(w, value);
}

void wire_put_status(struct writer *w, enum kms_api_version version)
{
    if (version == KMS_API_V1BETA1)
        wire_put_field(w, 1, bytes_of_string("v1beta1"));
}

void wire_put_encrypt(struct writer *w, enum kms_api_version version, struct bytes plaintext)
{
    if (version == KMS_API_V1BETA1)
        wire_put_field(w, 1, bytes_of_string("v1beta1"));
    wire_put_field(w, version == KMS_API_V1BETA1 ? 2 : 1, plaintext);
    if (version != KMS_API_V1BETA1)
        wire_put_field(w, 2, bytes_of_string("a test"));
}

static void put_annotation(struct writer *w)
{
    uint8_t memory[64];
    struct writer entry = writer_over(memory, sizeof memory);
    wire_put_field(&entry, 1, bytes_of_string("a.example"));
    wire_put_field(&entry, 2, bytes_of_string("1"));
    wire_put_field(w, 4, writer_bytes(&entry));
}

void wire_put_decrypt(struct writer *w, const struct wire_decrypt *decrypt)
{
    if (decrypt->version == KMS_API_V1BETA1) {
        wire_put_field(w, 1, bytes_of_string("v1beta1"));
        wire_put_field(w, 2, decrypt->ciphertext);
        return;
    }
    wire_put_field(w, 1, decrypt->ciphertext);
    wire_put_field(w, 2, bytes_of_string("a test"));
    wire_put_field(w, 3, decrypt->key_id);
    if (decrypt->annotation)
        put_annotation(w);
}

static uint64_t get_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        uint8_t byte = get_u8(r);
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    r->bad = true;
    return 0;
}

struct bytes wire_field(struct bytes message, unsigned number)
{
    struct reader r = reader_over(message);
    struct bytes found = bytes_of(NULL, 0);
    while (!r.bad && r.rest.len > 0) {
        uint64_t key = get_varint(&r);
        struct bytes value = get_bytes(&r, (size_t)get_varint(&r));
        if ((key & 7) != LENGTH_DELIMITED)
            break;
        if (!r.bad && key >> 3 == number)
            found = value;
    }
    return found;
}
