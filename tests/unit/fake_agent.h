/* SPDX-License-Identifier: Apache-2.0 */
/* An agent without a token, for tests: a thread behind socketpairs that answers lane packets by
 * rules which the test may change at any time. What it seals is the plaintext under a header. */
#ifndef P11KMS_FAKE_AGENT_H
#define P11KMS_FAKE_AGENT_H

#include "fake_token.h"

enum fake_act {
    FAKE_ANSWER = 0,
    FAKE_FAIL,         /* with the rule's status */
    FAKE_HOLD,         /* keep the answer until fake_agent_release */
    FAKE_WRONG_NUMBER, /* answer another request than this one */
    FAKE_WRONG_OP,
    FAKE_GARBAGE,
    FAKE_TOO_LONG, /* a packet longer than any reply */
    FAKE_EMPTY,    /* a packet of no bytes, with descriptors */
    FAKE_TWICE,    /* the answer, and once more */
    FAKE_OTHER,    /* a seal under another key_id */
    FAKE_CLOSE     /* all lanes, as if it had died */
};

/* How requests of one op are answered. */
struct fake_rule {
    enum fake_act act;
    struct lane_status status;
};

enum { FAKE_KEYS_MAX = 4096 };

struct fake_agent;

/* Called on the threads of fake agents, which use our code, as they begin; NULL: not called. */
extern void (*fake_agent_aside)(bool begins);

/* n lanes; the other ends go to ret_fds. No rule, no keys, material 1. Ends the test on failure. */
struct fake_agent *fake_agent_new(size_t n, int *ret_fds);

/* Closes its lanes and stops. Accepts NULL. */
void fake_agent_free(struct fake_agent *agent);

void fake_agent_rule(struct fake_agent *agent, enum lane_op op, enum fake_act act);
void fake_agent_fail(struct fake_agent *agent, enum lane_op op, enum err_code code,
                     enum remedy remedy, const char *text);

/* The keys that LANE_LIST answers (copied), page of them a packet. */
void fake_agent_keys(struct fake_agent *agent, const struct listed_key *keys, size_t n,
                     size_t page);

/* From now on its keys are the token's, and it makes and relabels them there. */
void fake_agent_share(struct fake_agent *agent, struct fake_token *token);

/* Which key material stands behind every CKA_ID: a canary opens only with the one it was made
 * with. */
void fake_agent_material(struct fake_agent *agent, uint8_t material);

/* What it says of its wear; nothing at first. */
void fake_agent_wear(struct fake_agent *agent, uint32_t memory_mib, uint64_t operations);

/* Says hello on lane 0: well, or with the status of LANE_HELLO's rule. */
void fake_agent_hello(struct fake_agent *agent);

/* Sends what is held, and holds no more. */
void fake_agent_release(struct fake_agent *agent);

/* Closes all lanes, as if it had died; or one of them, while it lives on. */
void fake_agent_die(struct fake_agent *agent);
void fake_agent_break(struct fake_agent *agent, size_t lane);

/* Requests of an op so far; waits until there were `least`. */
unsigned fake_agent_seen(struct fake_agent *agent, enum lane_op op);
void fake_agent_wait_seen(struct fake_agent *agent, enum lane_op op, unsigned least);

/* Of LANE_PROBE, those that named this KEK. */
unsigned fake_agent_probes_of(struct fake_agent *agent, struct key_id key_id);
void fake_agent_wait_probes_of(struct fake_agent *agent, struct key_id key_id, unsigned least);

/* The last LANE_SEAL's or LANE_OPEN's verify. */
bool fake_agent_last_verify(struct fake_agent *agent);

/* A KEK of ring "k8s" as the token lists it, fit for use; its CKA_ID ends with `tail`. */
struct listed_key fake_key(uint32_t generation, enum key_state state, uint16_t tail);

/* The object number role of a KEK like it, but of another scheme. */
struct listed_key fake_key_object(const struct listed_key *of, enum scheme scheme, uint32_t role);

struct key_id fake_key_id(uint16_t tail);

/* The envelope that the fake gives for a plaintext. */
size_t fake_envelope(enum family family, const struct key_id *key_id, const char *plaintext,
                     uint8_t memory[static ENVELOPE_MAX]);

#endif
