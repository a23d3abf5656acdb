/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's two sockets: for the KMS APIs, and for the admin API. */
#ifndef P11KMS_LISTENERS_H
#define P11KMS_LISTENERS_H

#include "listener.h"

struct listeners {
    struct listener kms;
    struct listener admin;
};

/* Takes those that systemd passed, known by FileDescriptorName= ("kms", "admin"; one alone that is
 * not "admin" is the KMS socket), and binds the others. The admin socket has no group. Errors as of
 * listener_open and listener_inherit; ERR_CONFIG also for sockets that nobody knows. On an error
 * nothing is left open. */
MUST_CHECK struct err listeners_open(const struct config *config, struct listeners *ret,
                                     struct listen_error *ret_error);

void listeners_close(struct listeners *listeners);

#endif
