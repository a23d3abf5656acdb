/* SPDX-License-Identifier: Apache-2.0 */
/* Messages in wiped heap memory: what each API version's file does with protobuf-c. */
#ifndef P11KMS_CLIENT_MESSAGE_H
#define P11KMS_CLIENT_MESSAGE_H

#include "client_versions.h"

#include <protobuf-c/protobuf-c.h>

/* Packs the request, calls, and unpacks the response, which the caller frees with
 * client_message_free. */
MUST_CHECK struct err client_exchange(const struct client_target *target, const char *method,
                                      const ProtobufCMessage *request,
                                      const ProtobufCMessageDescriptor *response,
                                      ProtobufCMessage **ret, struct kms_failure *ret_failure);

/* Frees and wipes a response of client_exchange. Accepts NULL. */
void client_message_free(ProtobufCMessage *message);
DEFINE_CLEANUP(ProtobufCMessage, client_message_free);
#define AUTO_MESSAGE CLEANUP(client_message_free_p)

/* For packing, which only reads: protobuf-c has no const bytes. */
ProtobufCBinaryData client_field(struct bytes value);

/* Copies text that is shown to people: cut to size, other than printable UTF-8 replaced. */
void client_text(const ProtobufCBinaryData *field, char *ret, size_t size);

/* A copy on the heap. */
MUST_CHECK struct err client_copy(struct bytes from, struct bytes *ret,
                                  struct kms_failure *ret_failure);

#endif
