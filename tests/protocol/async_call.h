/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that a test starts, leaves in flight, cancels and waits for. */
#ifndef P11KMS_ASYNC_CALL_H
#define P11KMS_ASYNC_CALL_H

#include "stand.h"

#include <grpc/grpc.h>

enum async_form {
    ASYNC_PLAIN,
    ASYNC_GZIP,      /* the message compressed */
    ASYNC_NO_MESSAGE /* half-closed without one */
};

struct async_client {
    grpc_channel *channel;
    grpc_completion_queue *queue;
};

struct async_call {
    grpc_call *call;
    grpc_completion_queue *queue;
    grpc_byte_buffer *request, *response;
    grpc_metadata_array initial, trailing;
    grpc_status_code status;
    grpc_slice details;
};

void async_open(const struct stand *stand, struct async_client *client);
void async_close(struct async_client *client);

/* method: "/v2.KeyManagementService/Encrypt". */
void async_start(struct async_client *client, struct async_call *call, const char *method,
                 struct bytes request, int timeout_ms, enum async_form form);

void async_cancel(struct async_call *call);

/* Waits for the end of the call, which is released; only its status stays. At most 20 s. */
grpc_status_code async_wait(struct async_call *call);

/* An Encrypt of "ping". */
#define PING       bytes_of("\x0a\x04ping", 6)
#define V2_ENCRYPT "/v2.KeyManagementService/Encrypt"

#endif
