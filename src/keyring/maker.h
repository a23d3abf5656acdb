/* SPDX-License-Identifier: Apache-2.0 */
/* Making a KEK and changing its state, step by step, over agents started for that. Each step
 * leaves the token as some later run can find and finish it. `init` and the rotation share it. */
#ifndef P11KMS_MAKER_H
#define P11KMS_MAKER_H

#include "ring_look.h"

enum { MAKER_TEXT_MAX = 511 };

/* Where agents of AGENT_MAKE come from: the CLI starts them itself, the front end asks the monitor.
 * Every agent is new to the token: what one wrote, the next must find. */
struct maker_source {
    /* Ends the agent before and yields a new one's lane 0, borrowed, before its hello. On failure
     * text says why. */
    struct err (*fresh)(void *context, int *ret_lane, char text[static MAKER_TEXT_MAX + 1]);
    /* Ends the agent, if there is one. */
    void (*end)(void *context);
    void *context;
};

struct maker {
    struct maker_source source;
    const char *state_dir;
    const struct ring_rules *rules;
    int timeout_ms;         /* token.generateTimeout */
    struct object_id trial; /* of the self-tests to come; empty: nobody will clean up after them */
    int lane;
    uint64_t number;
    struct token_identity token;   /* after maker_fresh */
    struct ring_look look;         /* what the newest agent found */
    char text[MAKER_TEXT_MAX + 1]; /* why the last step failed, for an operator */
    uint8_t memory[LANE_PACKET_MAX];
};

/* Ends the agent and frees the look. */
void maker_end(struct maker *maker);

/* A fresh agent, and what it finds of the ring. */
MUST_CHECK struct err maker_fresh(struct maker *maker);

/* Looks again with the same agent. */
MUST_CHECK struct err maker_look(struct maker *maker);

/* NULL when the newest look did not find it. */
const struct kek *maker_find(const struct maker *maker, const struct object_id *id);

/* Sets the text and passes the error through. */
MUST_CHECK struct err maker_say(struct maker *maker, struct err e, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Opens a canary, or makes one (in ret, until the next call) where canary is empty. */
MUST_CHECK struct err maker_probe(struct maker *maker, const struct kek *kek, struct bytes canary,
                                  struct lane_reply *ret);

/* Whether the token can do all that a KEK of the scheme needs. */
MUST_CHECK struct err maker_self_test(struct maker *maker, enum scheme scheme);

/* Generates a pre-active KEK. It counts only after maker_prove. */
MUST_CHECK struct err maker_generate(struct maker *maker, uint32_t generation, enum scheme scheme,
                                     struct object_id *ret);

/* Has a fresh agent look, find the KEK, check its attributes, and open its canary: the one that
 * this host has, or a new one, which is kept. */
MUST_CHECK struct err maker_prove(struct maker *maker, const struct object_id *id);

/* The same with the agent that has looked already. */
MUST_CHECK struct err maker_check(struct maker *maker, const struct object_id *id);

/* Relabels; the agent reads it back. ERR_REFUSED where the KEK is in a worse state by now than kek
 * says, unless it is the wanted one. */
MUST_CHECK struct err maker_set_state(struct maker *maker, const struct kek *kek,
                                      enum key_state state);

#endif
