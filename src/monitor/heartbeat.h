/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the front end still moves: once it serves it is asked at intervals, and must answer.
 * Times are clock_monotonic_ns(). */
#ifndef P11KMS_HEARTBEAT_H
#define P11KMS_HEARTBEAT_H

#include <stdbool.h>
#include <stdint.h>

enum {
    HEARTBEAT_EVERY_MS = 2000,     /* from an answer to the next question */
    HEARTBEAT_PATIENCE_MS = 10000, /* for an answer, at most */
    HEARTBEAT_START_MS = 30000,    /* for serving to begin */
    HEARTBEAT_OVERSLEPT_MS = 1000  /* looking so late, we were not running either */
};

enum heart_phase { HEART_NONE, HEART_STARTING, HEART_ASKED, HEART_ANSWERED };

struct heartbeat {
    enum heart_phase phase;
    uint64_t number; /* of the last question */
    int64_t every_ns, patience_ns;
    int64_t since_ns; /* when the phase began */
    int64_t due_ns;   /* when to look, as last told; 0: not told yet */
};

/* watchdog_us: systemd's WATCHDOG_USEC, or 0. Questions are at most a quarter of it apart, and half
 * of it is what an answer may take: a front end that hangs goes before systemd ends us all. */
void heartbeat_init(struct heartbeat *heartbeat, uint64_t watchdog_us);

/* The front end has been started; it serves, and is to be asked; it has ended or is to. */
void heartbeat_start(struct heartbeat *heartbeat, int64_t now);
void heartbeat_ready(struct heartbeat *heartbeat);
void heartbeat_end(struct heartbeat *heartbeat);

/* When to look again; INT64_MAX: while nothing else happens, never. */
int64_t heartbeat_due_ns(struct heartbeat *heartbeat);

enum heartbeat_verdict {
    HEARTBEAT_WAIT,
    HEARTBEAT_ASK, /* send a question with heartbeat->number */
    HEARTBEAT_HUNG /* it does not move, and must go */
};

/* Looks. Who comes much too late was stopped or got no processor, perhaps like the front end: that
 * has its time once more. */
enum heartbeat_verdict heartbeat_look(struct heartbeat *heartbeat, int64_t now);

/* Whether this answers the last question. */
bool heartbeat_answer(struct heartbeat *heartbeat, uint64_t number, int64_t now);

#endif
