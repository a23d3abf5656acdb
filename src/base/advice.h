/* SPDX-License-Identifier: Apache-2.0 */
/* What an operator is told beside an error: what brings the token back, and one line of text. */
#ifndef P11KMS_ADVICE_H
#define P11KMS_ADVICE_H

#include "error.h"

/* The answers to a failure of a token (design, "When the token fails"). */
enum remedy {
    REMEDY_NONE = 0,
    REMEDY_CALLER,
    REMEDY_SESSION,
    REMEDY_LOGIN,
    REMEDY_AGENT,
    REMEDY_HUMAN,
    REMEDY_PIN /* a human too, and until then no PIN is tried */
};

enum { ADVICE_TEXT_MAX = 255 };

/* An empty text means that nobody had more to say than the error itself. Never holds a secret. */
struct advice {
    enum remedy remedy;
    char text[ADVICE_TEXT_MAX + 1];
};

/* Says it; the text is cut to its room. */
void advice_set(struct advice *advice, enum remedy remedy, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Fills advice and yields the error e, so that a refusal is one statement. */
#define advise(advice, e, remedy, ...) (advice_set(advice, remedy, __VA_ARGS__), (e))

#endif
