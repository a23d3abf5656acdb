/* SPDX-License-Identifier: Apache-2.0 */
/* How the calls of a server have ended, and how long they took: counted where they are answered. */
#ifndef P11KMS_RPC_TALLY_H
#define P11KMS_RPC_TALLY_H

#include "rpc_server.h"

#include <stdint.h>

struct timed;

enum { RPC_STATUSES = 17 };

/* The counts of method i: an array of RPC_STATUSES, by gRPC status. *ret_path is the method's path,
 * or NULL for all calls of methods that the server does not have. NULL beyond the last. From any
 * thread; valid until rpc_server_stop. */
const struct timed *rpc_tally(const struct rpc_server *server, size_t i, const char **ret_path);

/* "OK", "INVALID_ARGUMENT"; NULL for what we never answer. */
const char *rpc_status_name(size_t status);

#endif
