/* SPDX-License-Identifier: Apache-2.0 */
/* What several fake agents see alike: keys that can be made and relabelled. */
#ifndef P11KMS_FAKE_TOKEN_H
#define P11KMS_FAKE_TOKEN_H

#include "lane.h"

#include <pthread.h>

enum { TOKEN_KEYS_MAX = 32, FAKE_STATES = KEY_COMPROMISED + 1 };

struct fake_token {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct listed_key keys[TOKEN_KEYS_MAX];
    size_t n;
    size_t most[FAKE_STATES]; /* of each state, at any time */
    uint32_t odd;             /* attribute bits that it gives to new keys the wrong way round */
    enum key_state meanwhile; /* another replica gives the next key that is to be relabelled this
                                 state first; 0: none does */
};

void fake_token_init(struct fake_token *token, const struct listed_key *keys, size_t n);

/* Answers LANE_GENERATE and LANE_RELABEL. False: the op is not one of its. */
bool fake_token_answer(struct fake_token *token, const struct lane_request *request,
                       struct lane_reply *reply);

/* A copy of its keys. */
size_t fake_token_list(struct fake_token *token, struct listed_key ret[static TOKEN_KEYS_MAX]);

/* fake_key, with a CKA_ID of this moment. */
struct listed_key fake_key_made_now(uint32_t generation, enum key_state state);

void fake_token_add(struct fake_token *token, const struct listed_key *key);

/* How many keys are in that state; waits until n have been in it at a time, 120 s at most. */
size_t fake_token_count(struct fake_token *token, enum key_state state);
void fake_token_wait(struct fake_token *token, enum key_state state, size_t n);

#endif
