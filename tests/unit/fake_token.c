/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_token.h"

#include "fake_agent.h"
#include "text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WAIT_S = 120 };

static void must(bool holds)
{
    if (!holds)
        abort();
}

void fake_token_init(struct fake_token *token, const struct listed_key *keys, size_t n)
{
    pthread_condattr_t attributes;
    memset(token, 0, sizeof *token);
    pthread_mutex_init(&token->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&token->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    for (size_t i = 0; i < n; i++)
        fake_token_add(token, &keys[i]);
}

static size_t count_locked(const struct fake_token *token, enum key_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < token->n; i++) {
        struct key_label label;
        must(!err_is(key_label_parse(bytes_of_string(token->keys[i].label), &label)));
        n += label.state == state;
    }
    return n;
}

static void changed_locked(struct fake_token *token)
{
    for (size_t state = 0; state < FAKE_STATES; state++) {
        size_t n = count_locked(token, (enum key_state)state);
        if (n > token->most[state])
            token->most[state] = n;
    }
    pthread_cond_broadcast(&token->changed);
}

void fake_token_add(struct fake_token *token, const struct listed_key *key)
{
    pthread_mutex_lock(&token->lock);
    must(token->n < TOKEN_KEYS_MAX);
    token->keys[token->n++] = *key;
    changed_locked(token);
    pthread_mutex_unlock(&token->lock);
}

struct listed_key fake_key_made_now(uint32_t generation, enum key_state state)
{
    struct listed_key key = fake_key(generation, state, 0);
    uint8_t uuid[UUID_BYTES];
    must(!err_is(uuid_make(uuid)));
    must(!err_is(object_id_from(bytes_of(uuid, sizeof uuid), &key.id)));
    return key;
}

static void generate(struct fake_token *token, const struct key_label *label,
                     struct lane_reply *reply)
{
    struct listed_key key = fake_key_made_now(label->generation, label->state);
    key = fake_key_object(&key, label->scheme, 0); /* the one object of its KEK */
    key.attributes.value ^= token->odd;
    fake_token_add(token, &key);
    reply->u.made = key.id;
}

static void set_state(struct listed_key *key, enum key_state state)
{
    struct key_label label;
    must(!err_is(key_label_parse(bytes_of_string(key->label), &label)));
    label.state = state;
    must(!err_is(key_label_format(&label, key->label)));
}

/* As the agent does: a state that came up since the asker looked stays. */
static enum err_code relabel_key(struct listed_key *key, const struct lane_request *q)
{
    struct key_label label;
    must(!err_is(key_label_parse(bytes_of_string(key->label), &label)));
    if (label.state > q->u.relabel.seen && label.state != q->u.relabel.label.state)
        return ERR_REFUSED;
    must(!err_is(key_label_format(&q->u.relabel.label, key->label)));
    return ERR_NONE;
}

static void relabel(struct fake_token *token, const struct lane_request *q,
                    struct lane_reply *reply)
{
    pthread_mutex_lock(&token->lock);
    reply->status.code = ERR_NOT_FOUND;
    for (size_t i = 0; i < token->n; i++)
        if (object_id_equal(&token->keys[i].id, &q->u.relabel.id)) {
            if (token->meanwhile != 0)
                set_state(&token->keys[i], token->meanwhile);
            token->meanwhile = 0;
            reply->status.code = relabel_key(&token->keys[i], q);
        }
    if (reply->status.code == ERR_REFUSED)
        (void)snprintf(reply->status.text, sizeof reply->status.text, "the state has changed");
    changed_locked(token);
    pthread_mutex_unlock(&token->lock);
}

bool fake_token_answer(struct fake_token *token, const struct lane_request *q,
                       struct lane_reply *reply)
{
    if (q->op == LANE_GENERATE)
        generate(token, &q->u.generate.label, reply);
    else if (q->op == LANE_RELABEL)
        relabel(token, q, reply);
    return q->op == LANE_GENERATE || q->op == LANE_RELABEL;
}

size_t fake_token_list(struct fake_token *token, struct listed_key ret[static TOKEN_KEYS_MAX])
{
    pthread_mutex_lock(&token->lock);
    size_t n = token->n;
    memcpy(ret, token->keys, sizeof token->keys);
    pthread_mutex_unlock(&token->lock);
    return n;
}

size_t fake_token_count(struct fake_token *token, enum key_state state)
{
    pthread_mutex_lock(&token->lock);
    size_t n = count_locked(token, state);
    pthread_mutex_unlock(&token->lock);
    return n;
}

void fake_token_wait(struct fake_token *token, enum key_state state, size_t n)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    pthread_mutex_lock(&token->lock);
    while (token->most[state] < n)
        must(pthread_cond_timedwait(&token->changed, &token->lock, &until) == 0);
    pthread_mutex_unlock(&token->lock);
}
