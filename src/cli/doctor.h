/* SPDX-License-Identifier: Apache-2.0 */
/* `p11-kms doctor token`: what a token says of itself, what it passes for, and how fast it is. */
#ifndef P11KMS_DOCTOR_H
#define P11KMS_DOCTOR_H

#include "cli.h"
#include "config.h"
#include "lane.h"
#include "maker.h"
#include "own_agent.h"
#include "scheme_choice.h"

/* One thing that was asked for: it is known, or why holds the reason; both empty: not asked. */
struct doctor_answer {
    bool known;
    char why[MAKER_TEXT_MAX + 1];
};

/* One measured run. */
struct doctor_speed {
    uint32_t lanes; /* 0: not measured */
    uint64_t count;
    uint64_t ns; /* from the first of them to the last */
};

enum doctor_result {
    DOCTOR_NOT_TRIED,
    DOCTOR_WORKS,        /* the self-test passes */
    DOCTOR_WORKS_BY_KEK, /* no key was made; a KEK of the ring seals and opens */
    DOCTOR_FAILS,
    DOCTOR_MAY_WORK, /* a guess: the token lists what it needs */
    DOCTOR_MAY_NOT   /* a guess: it does not */
};

struct doctor_scheme {
    enum scheme scheme;
    enum doctor_result result;
    char why[SCHEME_WHY_MAX + 1]; /* it fails; or what the guess stands on */
    size_t keks;                  /* of the ring */
    struct doctor_speed generate;
    struct doctor_speed seal[2], open[2]; /* at one lane, and at all */
    struct doctor_speed round[2];         /* a seal and an open each, where no key is made */
    char speed_why[SCHEME_WHY_MAX + 1];   /* not all was measured */
    bool too_many_lanes;                  /* it works with one, and not with token.sessions */
};

enum { DOCTOR_ASK_MAX = 16, DOCTOR_LINE_MAX = 511 };

struct doctor_report {
    struct doctor_answer module, token, mechanisms, login;
    struct facts module_facts, token_facts, mechanism_facts;
    size_t keks;
    struct key_id active;    /* empty: none seals */
    struct health health;    /* of the ring, as a daemon would tell it */
    bool ring_lost;          /* and no other scheme would mend it */
    enum scheme ring_scheme; /* of the KEK that seals, or would in an external ring */
    pid_t daemon;            /* it serves on this host; 0: none does */
    struct doctor_scheme schemes[SCHEMES];
    size_t n_schemes;
    enum scheme best;                  /* the first that works */
    enum scheme used;                  /* by this configuration */
    char stopped[DOCTOR_LINE_MAX + 1]; /* why not all was tried; empty: it was */
    bool ok;
    char verdict[DOCTOR_LINE_MAX + 1];
    char left[DOCTOR_LINE_MAX + 1]; /* what could not be removed; empty: nothing */
    char ask[DOCTOR_ASK_MAX][DOCTOR_LINE_MAX + 1];
    size_t n_ask;
};

struct doctor {
    struct cli *cli;
    const struct config *config;
    enum scheme only; /* SCHEME_NONE: all */
    bool no_keys;
    int step_ms;    /* how long the token may take for one step */
    int measure_ms; /* how long a measured run takes, up to TRIAL_MS_MAX */
    struct ring_rules rules;
    struct own_agent agent;  /* the maker's */
    struct own_agent second; /* that looks, or tries */
    struct maker maker;
    uint64_t number;
    struct doctor_report report;
};

/* On standard error, unless --json. */
__attribute__((format(printf, 2, 3))) void doctor_progress(const struct doctor *d,
                                                           const char *format, ...);

/* True after SIGINT, SIGTERM or SIGHUP: nothing new is begun, and what was made is removed. */
bool doctor_interrupted(void);

/* One request to an agent. What went wrong is in why. */
MUST_CHECK struct err doctor_call(struct doctor *d, int lane, struct lane_request *request,
                                  struct lane_reply *ret, char *why, size_t size);

/* What module and token say, without a login. */
MUST_CHECK struct err doctor_look(struct doctor *d);

/* Tries each scheme on the token, with keys that are removed after. */
MUST_CHECK struct err doctor_try(struct doctor *d);

/* Measures one that works. */
MUST_CHECK struct err doctor_measure(struct doctor *d, struct doctor_scheme *scheme);

/* The same with a KEK of the ring, by probes: where no key is made. What fails is told in the
 * report. */
void doctor_measure_kek(struct doctor *d, struct doctor_scheme *scheme, const struct kek *kek);

/* Removes what a trial or self-test of that id has left, with a fresh agent where need be. Says in
 * the report what could not be removed. */
MUST_CHECK struct err doctor_remove(struct doctor *d, const struct object_id *trial);

/* From all that: best, used, ok, verdict and ask. */
void doctor_judge(struct doctor *d);

/* All of it. ERR_OK: the ring works on this token, or nothing speaks against it. */
MUST_CHECK struct err doctor_examine(struct doctor *d);

void doctor_print_text(const struct doctor *d);
void doctor_print_json(const struct doctor *d);

/* "works", "fails": for people, and for scripts. */
const char *doctor_result_text(enum doctor_result result);
const char *doctor_result_word(enum doctor_result result);

bool doctor_result_good(enum doctor_result result);

#endif
