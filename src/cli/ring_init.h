/* SPDX-License-Identifier: Apache-2.0 */
/* Making a ring's first KEK: the only place where p11-kms creates a key where there was none. */
#ifndef P11KMS_RING_INIT_H
#define P11KMS_RING_INIT_H

#include "config.h"
#include "maker.h"
#include "scheme_choice.h"

enum ring_init_result {
    RING_INIT_CREATED,
    RING_INIT_COMPLETED, /* an interrupted init had made it, but not activated it */
    RING_INIT_EXISTING
};

struct ring_init_report {
    enum ring_init_result result;
    struct token_identity token;
    struct scheme_choice choice; /* n is 0: ring.scheme or a KEK says it, nothing was chosen */
    struct kek kek; /* the active one, attributes as read from the token by a fresh agent */
};

/* A step has begun; for progress lines. text is a static string. */
typedef void ring_init_progress(void *context, const char *text);

/* Idempotent. Uses agents of its own, started from agent_path. On an error message says what is
 * wrong and what to do: ERR_REFUSED where this host knows KEKs that the token does not show,
 * or what it knew is damaged and none is active; ERR_TOKEN, ERR_UNAVAILABLE or ERR_UNSUPPORTED from
 * the token. */
MUST_CHECK struct err ring_init(const struct config *config, const char *agent_path,
                                ring_init_progress *progress, void *context,
                                struct ring_init_report *ret, char message[static 512]);

/* One key that ring.select finds. */
struct survey_key {
    struct kek kek;                 /* its state: what this host has adopted */
    char fault[MAKER_TEXT_MAX + 1]; /* what is wrong with it, and what to do; empty: usable */
};

/* An external ring as a new agent finds it; free with ring_survey_clear. */
struct ring_survey {
    struct token_identity token;
    struct survey_key *keys;
    size_t n, n_usable;
    size_t nameless;      /* further keys, without a CKA_ID of 1 to 64 bytes */
    struct health health; /* whether one seals on this host, or what is to be done */
};

void ring_survey_clear(struct ring_survey *survey);

/* Looks at an external ring: makes and changes nothing, but has each key that is fit seal and open
 * once. Errors as ring_init. */
MUST_CHECK struct err ring_survey(const struct config *config, const char *agent_path,
                                  ring_init_progress *progress, void *context,
                                  struct ring_survey *ret, char message[static 512]);

#endif
