/* SPDX-License-Identifier: Apache-2.0 */
/* What monitor and front end say to each other, over a SOCK_SEQPACKET pair: one packet each. */
#ifndef P11KMS_CONTROL_H
#define P11KMS_CONTROL_H

#include "bytes.h"
#include "error.h"

/* The descriptors that the front end inherits. */
enum { CONTROL_FD = 3, CONTROL_CONFIG_FD = 4, CONTROL_LISTEN_FD = 5 };

enum control_op {
    /* monitor -> front end */
    CONTROL_LANES = 1,  /* generation; an agent's lane ends come with it, lane 0 first */
    CONTROL_AGENT_GONE, /* generation; text says how: "killed by signal 9" */
    CONTROL_RELOAD,     /* a sealed memfd with the new struct config comes with it */
    CONTROL_STOP,       /* drain and exit 0 */
    /* front end -> monitor */
    CONTROL_READY,   /* the socket is served */
    CONTROL_CONDEMN, /* generation; text says why: SIGKILL it, unless a newer one is current */
    CONTROL_HEALTH   /* ok and text: for sd_notify and the back-off */
};

enum { CONTROL_TEXT_MAX = 511 };

/* Fields that an op does not name are zero. */
struct control_message {
    enum control_op op;
    uint64_t generation; /* of agents: counts up from 1 */
    bool ok;
    char text[CONTROL_TEXT_MAX + 1];
};

/* Sends with descriptors (they stay the caller's). ERR_UNAVAILABLE: the other side is gone. */
MUST_CHECK struct err control_send(int fd, const struct control_message *message, const int *fds,
                                   size_t n_fds);

/* Receives; fds become the caller's. Errors as packet_receive, and ERR_INTERNAL for a packet that
 * control_send did not make. */
MUST_CHECK struct err control_receive(int fd, struct control_message *ret, int *fds, size_t max_fds,
                                      size_t *ret_n_fds);

#endif
