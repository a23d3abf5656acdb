/* SPDX-License-Identifier: Apache-2.0 */
/* The one thread that polls gRPC. gRPC core keeps one set of descriptors a process: a second
 * polling thread would take the first one's events and have to wake it for each. */
#ifndef P11KMS_RPC_POLLER_H
#define P11KMS_RPC_POLLER_H

#include "error.h"

#include <stdint.h>

struct rpc_poller;

/* rpc_runtime_start first. ERR_EXHAUSTED. */
MUST_CHECK struct err rpc_poller_new(struct rpc_poller **ret);

/* Begins to poll, once all servers of the poller have been made. ERR_SYSTEM. */
MUST_CHECK struct err rpc_poller_run(struct rpc_poller *poller);

/* When the thread last went round (clock_monotonic_ns(), a few ms coarse): each second at least,
 * unless a handler blocks or gRPC does. Any thread. */
int64_t rpc_poller_beat_ns(const struct rpc_poller *poller);

/* Ends the thread, if it runs. After its servers have been stopped. Accepts NULL. */
void rpc_poller_free(struct rpc_poller *poller);

#endif
