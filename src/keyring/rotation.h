/* SPDX-License-Identifier: Apache-2.0 */
/* Changes the ring: makes KEKs, activates them, retires what they supersede, and carries out what
 * an operator orders. One thread, which may wait for the token for minutes; all it does to the
 * token goes through agents started for that (maker.h), and is taken up again after a crash from
 * what is found on the token. Design, "Keys". */
#ifndef P11KMS_ROTATION_H
#define P11KMS_ROTATION_H

#include "keyring.h"

struct rotation;

/* What the rotation needs from its owner; called on its thread. */
struct rotation_hooks {
    /* Have an agent started that makes keys, and give its lane to rotation_offer; end it. */
    void (*want_maker)(void *context, uint64_t number);
    void (*end_maker)(void *context, uint64_t number);
    /* The token was changed: have it looked at, and call rotation_looked after that. unseen: a
     * fresh agent finds what the last looks have not, so only another agent's will do. */
    void (*changed)(void *context, bool unseen);
    /* This KEK is given up: it counts as missing no more. */
    MUST_CHECK struct err (*forget)(void *context, const struct key_id *key_id);
    /* For the log: what was done, or what went wrong, to which KEK, and why. */
    void (*note)(void *context, bool bad, const char *what, const char *key_id, const char *why);
    void *context;
};

/* What a reload may change. */
struct rotation_tuning {
    int64_t rotate_every_ms; /* 0: not by age */
    int64_t activation_delay_ms;
    uint64_t max_seals;
    int64_t rescan_every_ms; /* by fresh agents, where only they see what others have changed */
};

struct rotation_options {
    const char *state_dir;
    struct keyring *keyring;
    enum scheme scheme; /* of new KEKs; SCHEME_NONE: the active one's */
    int64_t generate_timeout_ms;
    bool attended; /* somebody gives the PIN to each agent that starts: none does without need */
    struct rotation_tuning tuning;
    struct rotation_hooks hooks;
};

/* Starts the thread. */
MUST_CHECK struct err rotation_new(const struct rotation_options *options, struct rotation **ret);

/* Stops the thread, which waits for no token call any more, and refuses the orders that wait and
 * those that come. Others may still call what is below. From one thread. */
void rotation_stop(struct rotation *rotation);

/* Stops and frees: nobody may call any more. Accepts NULL. */
void rotation_free(struct rotation *rotation);

/* The wanted maker's lane, which becomes the rotation's; or why there is none, or none any more. */
void rotation_offer(struct rotation *rotation, uint64_t number, int lane);
void rotation_maker_gone(struct rotation *rotation, uint64_t number, const char *why);

/* A look at the token has ended. */
void rotation_looked(struct rotation *rotation);

void rotation_retune(struct rotation *rotation, const struct rotation_tuning *tuning);

/* Counts a seal under the active KEK. Lock-free, for every request. */
void rotation_sealed(struct rotation *rotation);

enum ring_command {
    RING_ROTATE = 1, /* make a successor of the active KEK, pre-active at first */
    RING_ACTIVATE,   /* a pre-active KEK, now, whatever its date */
    RING_DEACTIVATE, /* first makes and activates a successor where the KEK is the active one */
    RING_COMPROMISE, /* as RING_DEACTIVATE */
    RING_ADOPT       /* external mode: trust this key, and seal with it from now on */
};

enum { RING_TEXT_MAX = 511 };

/* How an order ended. */
struct ring_report {
    enum err_code code;           /* ERR_REFUSED: text says why, nothing was changed */
    struct key_id key_id;         /* the KEK that was made, else the one that was named */
    int64_t active_ms;            /* RING_ROTATE: when it becomes active, Unix time; else 0 */
    char text[RING_TEXT_MAX + 1]; /* for an operator; never empty */
};

/* Called exactly once an order, on the rotation's thread or inside rotation_order. */
typedef void ring_order_done(void *context, const struct ring_report *report);

struct ring_order {
    enum ring_command command;
    struct object_id id; /* which KEK; RING_ROTATE: the lost one, or len 0 */
    ring_order_done *done;
    void *context;
};

/* Hands over an order (copied). Never blocks. RING_ROTATE with an id first acknowledges that this
 * KEK, which the host knows and the token does not show, is lost. */
void rotation_order(struct rotation *rotation, const struct ring_order *order);

/* How the ring's life goes on, of one moment. Times are Unix times in milliseconds, 0: none. */
struct rotation_status {
    int64_t rotate_due_ms;   /* the next rotation by age, this daemon's jitter included */
    int64_t activate_due_ms; /* when the pre-active KEK becomes active */
    struct key_id pending;   /* that KEK; empty: none */
    uint64_t seals;          /* under the active KEK by this daemon, reserved ones included */
    uint64_t max_seals;
    char blocked[RING_TEXT_MAX + 1]; /* why nothing rotates; empty: nothing in the way */
    char failed[RING_TEXT_MAX + 1];  /* how the last attempt failed; empty: it did not */
};

void rotation_status(struct rotation *rotation, struct rotation_status *ret);

#endif
