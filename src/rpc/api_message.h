/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in wiped memory: what every API version's file does with protobuf-c. */
#ifndef P11KMS_API_MESSAGE_H
#define P11KMS_API_MESSAGE_H

#include "kms.h"
#include "rpc_call.h"

#include <protobuf-c/protobuf-c.h>

enum { API_ARENA_SIZE = 16384, API_RESPONSE_MAX = 2048 };

/* Memory that one message is unpacked into, wiped when it goes out of scope. */
struct api_arena {
    size_t used; /* nothing past it was ever handed out */
    bool full;
    _Alignas(max_align_t) uint8_t memory[API_ARENA_SIZE];
};

void api_arena_wipe(struct api_arena *arena);

/* Declares an arena; not zeroed, because only `used` bytes of it are ever read. */
#define AUTO_ARENA(name)                                                                           \
    CLEANUP(api_arena_wipe) struct api_arena name;                                                 \
    name.used = 0;                                                                                 \
    name.full = false

/* Unpacks a request into the arena. NULL, and the call answered INVALID_ARGUMENT, when it is
 * malformed or has more fields than the arena holds. Nothing is to be freed. */
void *api_unpack(struct rpc_call *call, const ProtobufCMessageDescriptor *descriptor,
                 struct bytes request, struct api_arena *arena);

/* Whether a string field is UTF-8 without NUL; if not, answers the call INVALID_ARGUMENT with the
 * message. */
bool api_text_ok(struct rpc_call *call, const ProtobufCBinaryData *field, const char *message);

/* Answers the call with a packed message; packed and wiped here. */
void api_reply(struct rpc_call *call, const ProtobufCMessage *message);

/* Answers the call with an error and its message. */
void api_refuse(struct rpc_call *call, enum err_code code, const char *message);

static inline struct bytes api_bytes(const ProtobufCBinaryData *field)
{
    return bytes_of(field->data, field->len);
}

/* For packing, which only reads: protobuf-c has no const bytes. */
ProtobufCBinaryData api_field(struct bytes value);

#endif
