/* SPDX-License-Identifier: Apache-2.0 */
/* Logs refused connections of one socket, at a limited rate. */
#ifndef P11KMS_REFUSALS_H
#define P11KMS_REFUSALS_H

#include "rpc_accept.h"

struct refusals {
    const char *socket;   /* its key in the configuration */
    const char *stranger; /* why RPC_REFUSED_ACCESS, for the log */
    int64_t logged_ns;    /* when one was last logged */
    uint64_t quiet;       /* refused since, and not logged */
};

/* An rpc_refused whose context is a struct refusals. */
void refusals_log(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                  const char *detail);

#endif
