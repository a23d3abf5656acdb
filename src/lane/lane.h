/* SPDX-License-Identifier: Apache-2.0 */
/* The wire between front end (or CLI) and agent: one packet a request, one a reply.
 *
 * A lane is a SOCK_SEQPACKET pair with at most one request in flight. The agent's first packet
 * on lane 0, unasked, is a LANE_HELLO reply with number 0. There is no raw sign, MAC or encrypt
 * request: the agent builds every input to the token itself. */
#ifndef P11KMS_LANE_H
#define P11KMS_LANE_H

#include "advice.h"
#include "attributes.h"
#include "envelope.h"
#include "quirks.h"
#include "token_facts.h"

enum {
    LANE_PACKET_MAX = 2048, /* every request; every reply but a list's */
    LANE_LIST_PACKET_MAX = 24576,
    LANE_LIST_PAGE = 96, /* keys in one list reply */
    LANE_TEXT_MAX = ADVICE_TEXT_MAX
};

enum lane_op {
    LANE_HELLO = 1, /* reply only: the agent is up, or why not (then it exits) */
    LANE_LIST,
    LANE_SEAL,
    LANE_OPEN,
    LANE_PROBE,
    LANE_SELFTEST, /* this and the next two: only an agent of AGENT_MAKE answers them */
    LANE_GENERATE,
    LANE_RELABEL,
    LANE_FACTS, /* AGENT_LOOK */
    LANE_TRIAL  /* AGENT_MAKE and, where nothing is made or removed, AGENT_TRY */
};

/* Measuring a scheme on a key that is made for that and removed after. What is sealed is the
 * agent's own, and stays in it. */
enum trial_step {
    TRIAL_MAKE = 1, /* makes the trial's key */
    TRIAL_SEAL,     /* seals and opens with it for so long */
    TRIAL_OPEN,
    TRIAL_GENERATE, /* makes keys for so long, each removed again */
    TRIAL_REMOVE,   /* removes all that was made for this trial, by whichever agent */
    TRIAL_STEPS
};

enum { TRIAL_MS_MAX = 10000 };

struct lane_request {
    enum lane_op op;
    uint64_t number; /* the reply repeats it; from 1 */
    union {
        struct {
            char ring[RING_NAME_MAX + 1];
            uint32_t cursor; /* 0, then what the last page said */
        } list;
        struct {
            enum family family;
            enum scheme scheme;
            bool verify; /* open it again and compare before answering */
            struct key_id key_id;
            struct bytes plaintext; /* borrowed, 1 to PLAINTEXT_MAX bytes */
        } seal;
        struct {
            enum family family;    /* FAMILY_V1 or FAMILY_V2: what the envelope must say */
            bool verify;           /* prove what the token opened before answering */
            struct bytes envelope; /* borrowed */
        } open;
        struct {
            enum scheme scheme;
            struct key_id key_id;
            struct bytes canary; /* borrowed; empty: make one, else: open this one */
        } probe;
        struct {
            enum scheme scheme;
            struct object_id trial; /* a UUID, by which TRIAL_REMOVE finds what an agent that died
                                       has left; empty: nobody will ask */
        } selftest;
        struct {
            struct key_label label;
        } generate;
        struct {
            struct object_id id;
            enum key_state seen; /* the state that this was decided on: a worse one stays */
            struct key_label label;
        } relabel;
        struct {
            enum facts_part part;
        } facts;
        struct {
            enum trial_step step;
            enum scheme scheme;
            struct object_id trial; /* a UUID: names the trial and, on the token, its key */
            uint32_t ms;            /* up to TRIAL_MS_MAX; at least one operation is done */
        } trial;
    } u;
};

/* How a request ended. text is for an operator: it names the token's answer and what to do, and
 * holds no secret. */
struct lane_status {
    enum err_code code;
    enum remedy remedy;
    unsigned long ckr; /* 0 where no PKCS#11 call failed */
    char text[LANE_TEXT_MAX + 1];
};

/* From CK_TOKEN_INFO, trailing blanks removed. */
struct token_identity {
    char label[33];
    char manufacturer[33];
    char model[17];
    char serial[17];
    uint32_t quirks; /* what is known of it: quirks_have */
};

struct listed_key {
    struct object_id id;
    char label[KEY_LABEL_MAX + 1]; /* as on the token; an operator's own: cut, ASCII alone */
    bool ambiguous;                /* another secret key has the same CKA_ID */
    struct key_attributes attributes;
};

struct facts {
    enum facts_part part;
    union {
        struct module_facts module;
        struct token_facts token;
        struct mechanism_facts mechanism[MECHANISMS];
    } u;
};

/* What an agent has come to: modules leak, and some more than a server has. */
struct lane_wear {
    uint64_t operations; /* seals and opens that it was asked for */
    uint32_t memory_mib; /* the most that it had resident */
};

/* A reply. A body is there only when status.code is ERR_NONE. */
struct lane_reply {
    enum lane_op op;
    uint64_t number;
    struct lane_status status;
    struct lane_wear wear; /* LANE_PROBE */
    union {
        struct token_identity hello;
        struct {
            uint32_t next;        /* the next page's cursor, higher; 0 when this was the last */
            uint32_t count;       /* may be 0 on any page: the token is still being read */
            uint32_t nameless;    /* external keys whose CKA_ID is empty or too long, in all */
            struct bytes records; /* borrowed: read with lane_next_key */
        } list;
        struct bytes envelope;  /* LANE_SEAL, and the canary of LANE_PROBE; borrowed */
        struct bytes plaintext; /* LANE_OPEN; borrowed from the packet: copy and wipe */
        struct object_id made;  /* LANE_GENERATE */
        struct facts facts;
        struct {
            uint32_t count; /* operations done, or objects removed */
            uint64_t ns;    /* that they took */
        } trial;
    } u;
};

/* Appends a packet; check w->full. */
void lane_put_request(struct writer *w, const struct lane_request *request);
void lane_put_reply(struct writer *w, const struct lane_reply *reply);
void lane_put_key(struct writer *w, const struct listed_key *key);

/* Decode a packet; views point into it. ERR_INTERNAL when it is not as its writer makes it. */
MUST_CHECK struct err lane_get_request(struct bytes packet, struct lane_request *ret);
MUST_CHECK struct err lane_get_reply(struct bytes packet, struct lane_reply *ret);
MUST_CHECK struct err lane_next_key(struct bytes *records, struct listed_key *ret);

/* The status as an error value; where is the op's name. */
MUST_CHECK struct err lane_status_err(const struct lane_reply *reply);

/* One request and its reply, blocking: for probes and the CLI. reply's views point into memory,
 * which must hold LANE_LIST_PACKET_MAX bytes for a list, LANE_PACKET_MAX otherwise, and which the
 * caller wipes if it held a plaintext. ERR_DEADLINE: the agent must go. ERR_UNAVAILABLE: it has
 * gone. The reply's own status is not looked at. */
MUST_CHECK struct err lane_call(int fd, struct lane_request *request, int timeout_ms, void *memory,
                                size_t size, struct lane_reply *ret);

/* What must be done when a reply takes long. */
struct lane_watch {
    int64_t due_ns; /* clock_monotonic_ns(); INT64_MAX: never */
    void (*late)(void *context);
    void *context;
};

/* lane_call; where the reply is not there when the watch is due, its function is called once, and
 * the reply waited for as before. NULL: no watch. */
MUST_CHECK struct err lane_call_watched(int fd, struct lane_request *request, int timeout_ms,
                                        const struct lane_watch *watch, void *memory, size_t size,
                                        struct lane_reply *ret);

/* lane_call in two: for a request on several lanes at once. Not counted. */
MUST_CHECK struct err lane_send(int fd, const struct lane_request *request, void *memory,
                                size_t size);
MUST_CHECK struct err lane_receive(int fd, const struct lane_request *request, int timeout_ms,
                                   void *memory, size_t size, struct lane_reply *ret);

/* Waits for the agent's hello on lane 0. As lane_call. */
MUST_CHECK struct err lane_hello(int fd, int timeout_ms, void *memory, size_t size,
                                 struct lane_reply *ret);

#endif
