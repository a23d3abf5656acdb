/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kms's own frame: commands come from a table, and so do help, man page and completion. */
#ifndef P11KMS_CLI_H
#define P11KMS_CLI_H

#include "error.h"

#include <stdio.h>

enum { CLI_GIVEN_MAX = 64, CLI_OPTIONS_MAX = 12 };

struct cli_option {
    const char *name;     /* without the two dashes */
    const char *argument; /* what its value is, such as FILE; NULL: it takes none */
    const char *help;     /* one line, no full stop */
};

struct cli;

/* One command: a row of the table in commands.c, usually alone in its file. */
struct cli_command {
    const char *name;     /* one or two words */
    const char *argument; /* what its one argument is, such as KEY_ID; NULL: it takes none */
    const char *summary;
    const char *description;                    /* for --help and the man page */
    struct cli_option options[CLI_OPTIONS_MAX]; /* ended by one without a name */
    /* Prints its own errors with cli_error. What it returns makes the exit code. */
    struct err (*run)(struct cli *cli);
};

/* A parsed command line and where output goes. */
struct cli {
    const struct cli_command *command;
    FILE *in, *out, *errors;
    struct {
        const char *name;
        const char *value; /* "" for an option without one */
    } given[CLI_GIVEN_MAX];
    size_t n_given;
    const char *word; /* the one argument of commands that take one; NULL: none */
};

/* Options that every command takes: --config FILE and --help. Ended as above. */
extern const struct cli_option cli_common_options[];

/* The last value given for an option, or NULL. "" for an option without a value. */
const char *cli_value(const struct cli *cli, const char *name);

/* The next value of an option given several times; *position starts at 0. NULL: no more. */
const char *cli_next_value(const struct cli *cli, const char *name, size_t *position);

/* Prints "p11-kms COMMAND: ..." to errors, and returns e, so that it can end a return statement. */
__attribute__((format(printf, 3, 4))) MUST_CHECK struct err cli_error(struct cli *cli, struct err e,
                                                                      const char *format, ...);

/* Runs a command line without argv[0]. Yields the exit code. */
int cli_main(int argc, char **argv, FILE *in, FILE *out, FILE *errors);

/* The command whose one or two words argv begins with, or NULL. ret_words: how many. */
const struct cli_command *cli_find(int argc, char **argv, int *ret_words);

#endif
