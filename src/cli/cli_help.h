/* SPDX-License-Identifier: Apache-2.0 */
/* Help from the table of commands. */
#ifndef P11KMS_CLI_HELP_H
#define P11KMS_CLI_HELP_H

#include "cli.h"

/* All commands with their summaries. */
void cli_print_overview(FILE *to);

/* One command with its options. */
void cli_print_help(FILE *to, const struct cli_command *command);

struct cli_exit_code {
    int code;
    const char *meaning;
};

/* Ended by a NULL meaning. */
extern const struct cli_exit_code cli_exit_codes[];

#endif
