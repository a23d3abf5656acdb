/* SPDX-License-Identifier: Apache-2.0 */
/* Runs p11-kms in this process, word by word. */
#ifndef P11KMS_CLI_WORDS_H
#define P11KMS_CLI_WORDS_H

#include <stdio.h>

/* What the last command printed. */
extern char cli_output[65536], cli_errors[8192];

/* Runs the words, ended by NULL, and one more unless it is NULL. Closes in. Yields the exit code.
 */
int cli_words(FILE *in, const char *const *words, const char *more);

/* A file for `in` that holds the text. */
FILE *cli_input(const char *text);

#endif
