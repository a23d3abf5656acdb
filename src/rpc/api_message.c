/* SPDX-License-Identifier: Apache-2.0 */
#include "api_message.h"

#include "cleanup.h"
#include "secret.h"

void api_arena_wipe(struct api_arena *arena)
{
    wipe(arena->memory, arena->used);
}

static void *arena_alloc(void *context, size_t size)
{
    struct api_arena *arena = (struct api_arena *)context;
    const size_t align = _Alignof(max_align_t);
    if (size > API_ARENA_SIZE ||
        (size + align - 1) / align * align > API_ARENA_SIZE - arena->used) {
        arena->full = true;
        return NULL;
    }
    void *taken = arena->memory + arena->used;
    arena->used += (size + align - 1) / align * align;
    return taken;
}

/* The arena is wiped as a whole. */
static void arena_free(void *context, void *pointer)
{
    (void)context;
    (void)pointer;
}

void *api_unpack(struct rpc_call *call, const ProtobufCMessageDescriptor *descriptor,
                 struct bytes request, struct api_arena *arena)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_free, arena};
    void *message = protobuf_c_message_unpack(descriptor, &allocator, request.len, request.data);
    if (!message)
        api_refuse(call, ERR_INVALID,
                   arena->full ? "the request has too many or too long fields"
                               : "the request is no message of this method");
    return message;
}

bool api_text_ok(struct rpc_call *call, const ProtobufCBinaryData *field, const char *message)
{
    if (bytes_is_utf8(api_bytes(field)))
        return true;
    api_refuse(call, ERR_INVALID, message);
    return false;
}

void api_reply(struct rpc_call *call, const ProtobufCMessage *message)
{
    uint8_t packed[API_RESPONSE_MAX];
    size_t len = protobuf_c_message_get_packed_size(message);
    if (len > sizeof packed) {
        api_refuse(call, ERR_INTERNAL, "the response is too long");
        return;
    }
    (void)protobuf_c_message_pack(message, packed);
    rpc_call_reply(call, ERR_NONE, "", bytes_of(packed, len));
    wipe(packed, len);
}

void api_refuse(struct rpc_call *call, enum err_code code, const char *message)
{
    rpc_call_reply(call, code, message, bytes_of(NULL, 0));
}

ProtobufCBinaryData api_field(struct bytes value)
{
    union {
        const uint8_t *constant;
        uint8_t *plain;
    } data = {.constant = value.data};
    return (ProtobufCBinaryData){value.len, data.plain};
}
