/* SPDX-License-Identifier: Apache-2.0 */
/* One socket: inherited from systemd, or bound here so that a second daemon never disturbs the
 * first. */
#ifndef P11KMS_LISTENER_H
#define P11KMS_LISTENER_H

#include "config.h"

/* What the configuration says of a socket. */
struct socket_wish {
    const char *key; /* its key, for messages: a static string */
    const char *path;
    const char *group; /* may connect too: 0660 instead of 0600; "" for none */
};

struct listener {
    int fd;
    int lock; /* -1 when inherited */
    bool inherited;
    char path[SOCKET_PATH_MAX + 1];
    dev_t device; /* of the socket we bound: only that one is removed at exit */
    ino_t inode;
};

/* Why there is no socket, for an operator. */
struct listen_error {
    const char *key; /* of the socket meant */
    char text[512];
};

/* Binds the path: its directory made if only that is missing, the mode set before listening, a
 * stale socket replaced only when nobody answers on it and while a lock beside it is held.
 * ERR_IN_USE: somebody serves there. ERR_CONFIG: anything else, what exists there and is no socket
 * included. */
MUST_CHECK struct err listener_open(const struct socket_wish *wish, struct listener *ret,
                                    struct listen_error *ret_error);

/* Takes a descriptor that systemd passed. ERR_CONFIG when it does not listen at the path. */
MUST_CHECK struct err listener_inherit(const struct socket_wish *wish, int fd, struct listener *ret,
                                       struct listen_error *ret_error);

/* Closes it; removes socket and lock if they are ours. */
void listener_close(struct listener *listener);

#endif
