/* SPDX-License-Identifier: Apache-2.0 */
/* What monitor and front end tell each other: one SOCK_SEQPACKET packet a message. The monitor
 * owns the processes and the socket; the front end knows how the agent's work goes. */
#ifndef P11KMS_CONTROL_H
#define P11KMS_CONTROL_H

#include "bytes.h"
#include "error.h"

#include <stddef.h>

/* What the front end finds open when it starts. The config is a sealed memfd that holds the bytes
 * of one struct config: both are the same executable. */
enum {
    FRONT_END_CONTROL_FD = 3,
    FRONT_END_CONFIG_FD = 4,
    FRONT_END_LISTEN_FD = 5, /* the KMS APIs' socket */
    FRONT_END_ADMIN_FD = 6,  /* the admin API's */
    FRONT_END_HTTP_FD = 7    /* where the configuration has http alone */
};

/* The front end's argv[1]. */
#define FRONT_END_ARGUMENT "--front-end"

enum { CONTROL_PACKET_MAX = 512, CONTROL_TEXT_MAX = 383 };

enum control_op {
    /* monitor to front end */
    CONTROL_LANES = 1,  /* a new agent: generation, count; its lanes are attached, 0 first */
    CONTROL_AGENT_GONE, /* generation, gone, number, text: nothing comes from its lanes any more */
    CONTROL_RELOAD,     /* a sealed memfd with the new struct config is attached */
    CONTROL_STOP,       /* finish what runs, then exit with 0 */
    CONTROL_MAKER,      /* generation: as asked for; its one lane is attached */
    CONTROL_MAKER_GONE, /* generation, text: it has ended, or could not be started */
    CONTROL_PING,       /* generation: a number, which the answer repeats */
    /* front end to monitor */
    CONTROL_READY = 64,  /* it serves the socket */
    CONTROL_CONDEMN,     /* generation, reason, text: kill that agent if it is still the one */
    CONTROL_HEALTH,      /* ok, text: for systemd's status; ok ends the agent's back-off */
    CONTROL_WANT_MAKER,  /* generation: an agent that makes keys, in place of any before it */
    CONTROL_END_MAKER,   /* generation: its lane is closed, it must end now */
    CONTROL_PONG,        /* generation: that question's; it serves and does not hang */
    CONTROL_WANT_HEIR,   /* generation: start another agent beside this one, to take its place */
    CONTROL_HEIR_SERVES, /* generation: the heir's, which is the agent from now on */
    CONTROL_END_AGENT /* generation: a failed heir, or whose place one took; its lanes are closed */
};

/* How an agent ended. */
enum control_gone {
    GONE_EXITED = 1, /* number is its exit code */
    GONE_KILLED,     /* number is the signal */
    GONE_CONDEMNED,  /* the front end wanted it */
    GONE_RETIRED     /* as planned: the monitor knows why */
};

/* Why an agent must go. */
enum control_reason {
    CONDEMN_TIMEOUT = 1, /* token.timeout passed without a reply */
    CONDEMN_PROTOCOL,    /* it broke the lanes' rules */
    CONDEMN_SICK,        /* the token failed as only a new agent may mend */
    CONDEMN_RENEW,       /* nothing is wrong with it, but a fresh one is needed */
    CONDEMN_REASONS      /* above all of them */
};

/* Only the members that the op names are sent; the others are zero on arrival. */
struct control_message {
    enum control_op op;
    uint64_t generation; /* of agents, from 1; those that make keys are numbered by who asks */
    uint32_t count;
    enum control_gone gone;
    uint32_t number;
    enum control_reason reason;
    bool ok;
    char text[CONTROL_TEXT_MAX + 1]; /* for people; holds no secret */
};

/* The packet, appended; check w->full. */
void control_put(struct writer *w, const struct control_message *message);

/* ERR_INTERNAL when the packet is not as control_put makes it. */
MUST_CHECK struct err control_get(struct bytes packet, struct control_message *ret);

/* Errors as packet_send; the descriptors stay the caller's. */
MUST_CHECK struct err control_send(int fd, const struct control_message *message, const int *fds,
                                   size_t n_fds);

/* Errors as packet_receive and control_get, with nothing left open. A message with another number
 * of descriptors than its op calls for is ERR_INTERNAL. */
MUST_CHECK struct err control_receive(int fd, struct control_message *ret, int *fds, size_t max_fds,
                                      size_t *ret_n_fds);

#endif
