/* SPDX-License-Identifier: Apache-2.0 */
#include "commands.h"

#include <string.h>

static struct err run(struct cli *cli)
{
    size_t len = strlen(cli->command->name);
    for (size_t i = 0; cli_commands[i]; i++) {
        const struct cli_command *c = cli_commands[i];
        if (strncmp(c->name, cli->command->name, len) == 0 && c->name[len] == ' ')
            (void)fprintf(cli->out, "p11-kms %-14s %s\n", c->name, c->summary);
    }
    return ERR_OK;
}

const struct cli_command cmd_doctor = {
    .name = "doctor",
    .summary = "show what doctor can examine",
    .description = "Lists the commands that begin with doctor.",
    .run = run,
};
