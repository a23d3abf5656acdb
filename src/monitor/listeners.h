/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's sockets: for the KMS APIs, for the admin API, and for HTTP where it is configured.
 */
#ifndef P11KMS_LISTENERS_H
#define P11KMS_LISTENERS_H

#include "listener.h"

struct listeners {
    struct listener kms;
    struct listener admin;
    struct listener http; /* fd -1: not configured */
};

/* Takes those that systemd passed, known by FileDescriptorName= ("kms", "admin", "http"; one alone
 * of another name is the KMS socket), and binds the others. The admin socket has no group. Errors
 * as of listener_open and listener_inherit; ERR_CONFIG also for sockets that nobody knows. On an
 * error nothing is left open. */
MUST_CHECK struct err listeners_open(const struct config *config, struct listeners *ret,
                                     struct listen_error *ret_error);

void listeners_close(struct listeners *listeners);

#endif
