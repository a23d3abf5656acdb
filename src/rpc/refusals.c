/* SPDX-License-Identifier: Apache-2.0 */
#include "refusals.h"

#include "log.h"
#include "text.h"

enum { LOG_EVERY_MS = 1000 };

void refusals_log(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                  const char *detail)
{
    struct refusals *r = (struct refusals *)context;
    const char *const reasons[] = {
        [RPC_REFUSED_ACCESS] = r->stranger,
        [RPC_REFUSED_PER_UID] = "its uid has too many connections",
        [RPC_REFUSED_TOTAL] = "too many connections",
        [RPC_REFUSED_LIMIT] = "it was ended",
        [RPC_REFUSED_AGAIN] = "its process has just broken a limit",
        [RPC_REFUSED_DESCRIPTORS] = "out of file descriptors",
    };
    int64_t now = clock_monotonic_ns();
    if (r->logged_ns != 0 && now - r->logged_ns < LOG_EVERY_MS * INT64_C(1000000)) {
        r->quiet++;
        return;
    }
    log_event(LOG_PRI_WARNING,
              why == RPC_REFUSED_LIMIT ? "a connection was ended" : "a connection was refused",
              LOG_S("socket", r->socket), LOG_S("reason", detail ? detail : reasons[why]),
              LOG_N("uid", peer->uid), LOG_N("gid", peer->gid), LOG_N("pid", peer->pid),
              LOG_N("not_logged_before", r->quiet));
    r->logged_ns = now;
    r->quiet = 0;
}
