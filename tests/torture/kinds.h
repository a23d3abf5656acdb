/* SPDX-License-Identifier: Apache-2.0 */
/* The ways a call may fail, and what a client may be told of each. */
#ifndef P11KMS_TORTURE_KINDS_H
#define P11KMS_TORTURE_KINDS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    KIND_ENDS = 1,      /* the agent, by itself or because it is killed as hung */
    KIND_BURNS_PIN = 2, /* in C_Login: counts as a refusal, and is a person's matter */
    KIND_LASTS = 4,     /* is also tried for a while, at every call of a function */
    KIND_HIDES = 8      /* the KEK may seem to be missing or another: Status may be an error */
};

struct kind {
    const char *name;
    const char *action;     /* as docs/drills.md has them */
    const char *at_start;   /* instead of it while an agent starts; NULL: the same */
    unsigned codes;         /* bits of the gRPC codes that an Encrypt or Decrypt may get */
    unsigned encrypt_codes; /* more of them, for an Encrypt */
    unsigned flags;
    const char *only; /* the one function that can fail so; NULL: any */
};

extern const struct kind kinds[];
extern const size_t kinds_n;

/* Whether the function can fail so. */
bool kind_fits(const struct kind *kind, const char *function);

/* Whether the client may be told so. */
bool kind_allows(const struct kind *kind, bool encrypt, int code);

#endif
