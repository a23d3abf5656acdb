/* SPDX-License-Identifier: Apache-2.0 */
#include "client_message.h"

#include <stddef.h>
#include <string.h>

struct block {
    size_t size;
    _Alignas(max_align_t) uint8_t memory[];
};

/* context: a bool that becomes true where memory ran out, which is no fault of the message. */
static void *wiping_alloc(void *context, size_t size)
{
    struct block *block = (struct block *)malloc(sizeof *block + size);
    if (!block) {
        *(bool *)context = true;
        return NULL;
    }
    block->size = size;
    /* cppcheck-suppress memleak ; wiping_free finds the block by its memory */
    return block->memory;
}

static void wiping_free(void *context, void *pointer)
{
    (void)context;
    if (!pointer)
        return;
    struct block *block = (struct block *)(void *)((char *)pointer - sizeof(struct block));
    wipe(block->memory, block->size);
    free(block);
}

void client_message_free(ProtobufCMessage *message)
{
    ProtobufCAllocator allocator = {wiping_alloc, wiping_free, NULL};
    if (message)
        protobuf_c_message_free_unpacked(message, &allocator);
}

static struct err unpack(const ProtobufCMessageDescriptor *descriptor,
                         const struct client_response *raw, ProtobufCMessage **ret,
                         struct kms_failure *ret_failure)
{
    bool full = false;
    ProtobufCAllocator allocator = {wiping_alloc, wiping_free, &full};
    ProtobufCMessage *message =
        protobuf_c_message_unpack(descriptor, &allocator, raw->len, raw->data);
    if (full) {
        client_message_free(message);
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    }
    if (!message)
        return client_fail(ret_failure, ERR_INTERNAL, "the server's answer is not understood");
    *ret = message;
    return ERR_OK;
}

struct err client_exchange(const struct client_target *target, const char *method,
                           const ProtobufCMessage *request,
                           const ProtobufCMessageDescriptor *response, ProtobufCMessage **ret,
                           struct kms_failure *ret_failure)
{
    AUTO_RESPONSE struct client_response raw = {NULL, 0};
    size_t len = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = (uint8_t *)malloc(len + 1);
    if (!packed)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    (void)protobuf_c_message_pack(request, packed);
    struct err e = client_call(target->client, target->service, method, bytes_of(packed, len),
                               target->timeout_ms, &raw, ret_failure);
    wipe(packed, len);
    free(packed);
    TRY(e);
    return unpack(response, &raw, ret, ret_failure);
}

ProtobufCBinaryData client_field(struct bytes value)
{
    union {
        const uint8_t *constant;
        uint8_t *plain;
    } data = {.constant = value.data};
    return (ProtobufCBinaryData){value.len, data.plain};
}

void client_text(const ProtobufCBinaryData *field, char *ret, size_t size)
{
    size_t len = field->len < size ? field->len : size - 1;
    bool utf8 = bytes_is_utf8(bytes_of(field->data, len));
    for (size_t i = 0; i < len; i++) {
        uint8_t c = field->data[i];
        ret[i] = c >= 0x20 && c != 0x7f && (c < 0x80 || utf8) ? (char)c : '?';
    }
    ret[len] = '\0';
}

struct err client_copy(struct bytes from, struct bytes *ret, struct kms_failure *ret_failure)
{
    uint8_t *copy = (uint8_t *)malloc(from.len + 1);
    if (!copy)
        return client_fail(ret_failure, ERR_EXHAUSTED, "out of memory");
    if (from.len > 0)
        memcpy(copy, from.data, from.len);
    *ret = bytes_of(copy, from.len);
    return ERR_OK;
}
