/* SPDX-License-Identifier: Apache-2.0 */
/* How commands show times, colours and KEKs, to people and in JSON. */
#ifndef P11KMS_CLI_SHOW_H
#define P11KMS_CLI_SHOW_H

#include "admin_client.h"

#include <stdio.h>

enum { SHOW_TIME_MAX = 31, SHOW_SPAN_MAX = 31, SHOW_NOTE_MAX = 767 };

/* "2026-02-03T04:05:06Z" of Unix time in ms; "" for 0. Returns text. */
const char *show_time(int64_t ms, char text[static SHOW_TIME_MAX + 1]);

/* "3 d 4 h", "12 min", "5 s": a length of time in its two largest units. Returns text. */
const char *show_span(int64_t ms, char text[static SHOW_SPAN_MAX + 1]);

/* "TIME (3 d 4 h ago)" or "TIME (in 5 min)", seen from now_ms. */
void show_when(FILE *to, int64_t ms, int64_t now_ms);

enum show_colour { SHOW_PLAIN, SHOW_GOOD, SHOW_CARE, SHOW_BAD };

/* Prints text, padded to width, in a colour where `to` is a terminal and NO_COLOR is not set. */
void show_coloured(FILE *to, enum show_colour colour, const char *text, int width);

enum show_colour show_state_colour(const char *state);

/* What is remarkable about a KEK: "seals", "refused: LOCAL,WRAP", "quarantined"; "" for nothing.
 * Returns text. */
const char *show_key_note(const struct admin_key *key, char text[static SHOW_NOTE_MAX + 1]);

/* A KEK as a JSON object. */
void show_key_json(FILE *to, const struct admin_key *key);

/* `, "name": "TIME"`, or null for 0; before as in cli_json_member. */
void show_json_time(FILE *to, const char *before, const char *name, int64_t ms);

/* `, "name": ["A", "B"]` of "A,B". */
void show_json_names(FILE *to, const char *before, const char *name, const char *names);

#endif
