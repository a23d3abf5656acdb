/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is told beside an error: what brings the token back, and one line of text. */
#ifndef P11KMS_ADVICE_H
#define P11KMS_ADVICE_H

#include "error.h"

/* The five answers to a failure of a token (design, "When the token fails"). */
enum remedy {
    REMEDY_NONE = 0,
    REMEDY_CALLER,
    REMEDY_SESSION,
    REMEDY_LOGIN,
    REMEDY_AGENT,
    REMEDY_HUMAN
};

enum { ADVICE_TEXT_MAX = 255 };

/* An empty text means that nobody had more to say than the error itself. Never holds a secret. */
struct advice {
    enum remedy remedy;
    char text[ADVICE_TEXT_MAX + 1];
};

/* Fills advice (text cut to its room) and returns e, so that a refusal is one statement. */
MUST_CHECK struct err advise(struct advice *advice, struct err e, enum remedy remedy,
                             const char *format, ...) __attribute__((format(printf, 4, 5)));

#endif
