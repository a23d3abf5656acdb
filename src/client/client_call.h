/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking unary call of bytes for bytes. */
#ifndef P11KMS_CLIENT_CALL_H
#define P11KMS_CLIENT_CALL_H

#include "client_channel.h"
#include "kms_client.h"

struct kms_client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

/* A response in one piece, wiped by client_response_release. */
struct client_response {
    uint8_t *data;
    size_t len;
};

void client_response_release(struct client_response *response);
#define AUTO_RESPONSE CLEANUP(client_response_release)

/* Calls "/service/method", the service with its package. Errors as kms_client.h says; *ret_failure
 * is written on any. */
MUST_CHECK struct err client_call(struct kms_client *client, const char *service,
                                  const char *method, struct bytes request, int timeout_ms,
                                  struct client_response *ret, struct kms_failure *ret_failure);

/* Connects, as kms_client_open does. receive_max: bytes of a response. */
MUST_CHECK struct err client_open(const char *socket_path, const char *authority, int receive_max,
                                  struct kms_client **ret);

/* A failure that no gRPC status describes. Returns the error of the code. */
MUST_CHECK struct err client_fail(struct kms_failure *ret_failure, enum err_code code,
                                  const char *message);

#endif
