/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_help.h"
#include "commands.h"

/* Text for troff: dashes that stay dashes, and no line that starts a request. */
static void put(FILE *to, const char *text)
{
    for (const char *at = text; *at; at++) {
        if ((*at == '.' || *at == '\'') && (at == text || at[-1] == '\n'))
            (void)fputs("\\&", to);
        if (*at == '-' || *at == '\\')
            (void)fputs(*at == '-' ? "\\-" : "\\e", to);
        else
            (void)fputc(*at, to);
    }
}

static void put_options(FILE *to, const struct cli_option *options)
{
    for (; options->name; options++) {
        (void)fputs(".TP\n\\fB\\-\\-", to);
        put(to, options->name);
        (void)fputs("\\fR", to);
        if (options->argument) {
            (void)fputs(" \\fI", to);
            put(to, options->argument);
            (void)fputs("\\fR", to);
        }
        (void)fputc('\n', to);
        put(to, options->help);
        (void)fputs(".\n", to);
    }
}

static void put_command(FILE *to, const struct cli_command *command)
{
    (void)fputs(".SS \"", to);
    put(to, command->name);
    if (command->argument) {
        (void)fputs(" ", to);
        put(to, command->argument);
    }
    (void)fputs("\"\n", to);
    put(to, command->description);
    (void)fputc('\n', to);
    put_options(to, command->options);
}

static void put_exit_codes(FILE *to)
{
    (void)fputs(".SH EXIT STATUS\n", to);
    for (const struct cli_exit_code *row = cli_exit_codes; row->meaning; row++) {
        (void)fprintf(to, ".TP\n%d\n", row->code);
        put(to, row->meaning);
        (void)fputs(".\n", to);
    }
}

static struct err run(struct cli *cli)
{
    FILE *to = cli->out;
    (void)fprintf(to, ".TH P11\\-KMS 1 \"\" \"p11\\-kms %s\" \"User Commands\"\n", P11KMS_VERSION);
    (void)fputs(
        ".SH NAME\np11\\-kms \\- use and look after the Kubernetes KMS provider "
        "p11\\-kmsd\n.SH SYNOPSIS\n.B p11\\-kms\n.I COMMAND\n.RI [ OPTION ]...\n"
        ".SH DESCRIPTION\np11\\-kmsd is a Kubernetes KMS provider whose key encryption "
        "keys live, non\\-exportable, in a PKCS#11 token. p11\\-kms sets it up, asks how it "
        "is, and calls it or any other KMS plugin.\n.SH COMMANDS\n",
        to);
    for (size_t i = 0; cli_commands[i]; i++)
        put_command(to, cli_commands[i]);
    (void)fputs(".SH OPTIONS OF EVERY COMMAND\n", to);
    put_options(to, cli_common_options);
    put_exit_codes(to);
    (void)fputs(".SH FILES\n.TP\n.I /etc/p11\\-kms/config.yaml\nThe configuration.\n", to);
    return ERR_OK;
}

const struct cli_command cmd_man = {
    .name = "man",
    .summary = "print this program's manual page",
    .description = "Prints man(7) source, made from the same tables as --help.",
    .run = run,
};
