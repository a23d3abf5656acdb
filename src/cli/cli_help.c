/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_help.h"

#include "commands.h"

const struct cli_exit_code cli_exit_codes[] = {
    {0, "done"},
    {1, "failed"},
    {2, "wrong command line"},
    {3, "wrong configuration"},
    {4, "socket in use"},
    {5, "the token, or the daemon that uses it, is away or needs somebody to act"},
    {6, "refused: it could be done and must not be"},
    {0, NULL},
};

void cli_print_overview(FILE *to)
{
    (void)fputs("p11-kms: a Kubernetes KMS provider whose keys live in a PKCS#11 token\n\n"
                "usage: p11-kms COMMAND [OPTION]...\n\n",
                to);
    for (size_t i = 0; cli_commands[i]; i++)
        (void)fprintf(to, "  %-18s %s\n", cli_commands[i]->name, cli_commands[i]->summary);
    (void)fputs(
        "\np11-kms COMMAND --help says more of one command; --version says which this is.\n", to);
}

static void print_options(FILE *to, const struct cli_option *options)
{
    for (; options->name; options++) {
        char left[64];
        (void)snprintf(left, sizeof left, "--%s%s%s", options->name, options->argument ? " " : "",
                       options->argument ? options->argument : "");
        (void)fprintf(to, "  %-28s %s\n", left, options->help);
    }
}

void cli_print_help(FILE *to, const struct cli_command *command)
{
    (void)fprintf(to, "p11-kms %s%s%s: %s\n\n%s\n\n", command->name, command->argument ? " " : "",
                  command->argument ? command->argument : "", command->summary,
                  command->description);
    print_options(to, command->options);
    print_options(to, cli_common_options);
}
