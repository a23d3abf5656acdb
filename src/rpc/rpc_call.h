/* SPDX-License-Identifier: Apache-2.0 */
/* One unary call, as its handler sees it. */
#ifndef P11KMS_RPC_CALL_H
#define P11KMS_RPC_CALL_H

#include "bytes.h"
#include "error.h"

#include <stdatomic.h>

struct rpc_call;

/* Who is on the other side of a connection, by SO_PEERCRED. */
struct rpc_peer {
    uint32_t uid;
    uint32_t gid;
    int32_t pid;
    uint64_t connection; /* counts up from 1; 0: nothing is known of this peer */
};

/* Answers a call, now or later, by exactly one rpc_call_reply. Runs on the polling thread and must
 * not block: while it runs nothing else is read, written or cancelled. request is borrowed until
 * it returns and is wiped then. context is the method's. */
typedef void rpc_handler(struct rpc_call *call, struct bytes request, const void *context);

enum { RPC_MESSAGE_MAX = 1023 };

/* Ends the call, on any thread, once; call is the server's again after it. With ERR_NONE the
 * response is sent, else the gRPC status of the code and the message, cut to RPC_MESSAGE_MAX
 * bytes and made printable. Both are copied; the copy of the response is wiped when it was sent. */
void rpc_call_reply(struct rpc_call *call, enum err_code code, const char *message,
                    struct bytes response);

/* The gRPC status code that a client gets for an error. */
int rpc_status_code(enum err_code code);

/* clock_monotonic_ns() at which the client stops waiting; INT64_MAX: never. */
int64_t rpc_call_deadline_ns(const struct rpc_call *call);

/* Becomes true when the client is gone, its deadline included. Valid until the reply. */
const atomic_bool *rpc_call_cancelled(const struct rpc_call *call);

/* Who called. For handlers: only on the polling thread. */
struct rpc_peer rpc_call_peer(const struct rpc_call *call);

#endif
