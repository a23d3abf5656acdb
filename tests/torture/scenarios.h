/* SPDX-License-Identifier: Apache-2.0 */
/* What a daemon is made to do while a call breaks. */
#ifndef P11KMS_TORTURE_SCENARIOS_H
#define P11KMS_TORTURE_SCENARIOS_H

#include "scene.h"

/* token.timeout is short, so that a hang is; nothing happens by itself. */
#define SCENARIO_TOKEN  "  sessions: 2\n  timeout: 500ms\n  probeEvery: 1h\n"
#define SCENARIO_PROBES "  sessions: 2\n  timeout: 500ms\n  probeEvery: 1s\n"
#define SCENARIO_RING   "  rescanEvery: 1h\n  rotateEvery: never\n  activationDelay: 0s\n"

/* What one act came to. */
struct result {
    int code;   /* gRPC's; -1: there is none */
    bool other; /* a Decrypt gave another plaintext */
    char text[256];
};

struct scenario {
    const char *name;
    bool starts;                      /* acts by starting the daemon, which must not run */
    bool encrypt;                     /* what kinds.h means by it */
    const char *ckr_at;               /* the function that answers every CKR once; NULL: none */
    void (*begin)(struct scene *s);   /* before all cases; these may be NULL */
    void (*prepare)(struct scene *s); /* before each */
    void (*end)(struct scene *s);
    void (*act)(struct scene *s, struct result *ret, struct verdict *v);
};

/* Starts the daemon. */
void scenario_start(struct scene *s, struct result *ret, struct verdict *v);

/* Has the daemon probe as that section of the configuration says. */
void scenario_set_probes(struct scene *s, const char *token);

extern const struct scenario scenarios[];
extern const size_t scenarios_n;

#endif
