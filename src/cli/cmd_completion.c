/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_data.h"
#include "commands.h"

#include <string.h>

static void print_options(FILE *to, const struct cli_option *options)
{
    for (; options->name; options++)
        (void)fprintf(to, " --%s", options->name);
}

/* First words, each once: two commands of "call" follow each other in the table. */
static void print_first_words(FILE *to)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        size_t len = strcspn(cli_commands[i]->name, " ");
        if (i > 0 && strncmp(cli_commands[i - 1]->name, cli_commands[i]->name, len) == 0)
            continue;
        (void)fprintf(to, " %.*s", (int)len, cli_commands[i]->name);
    }
}

static void print_cases(FILE *to)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        const char *space = strchr(cli_commands[i]->name, ' ');
        (void)fprintf(to, "    '%s%s') words=\"", cli_commands[i]->name, space ? "" : " *");
        print_options(to, cli_commands[i]->options);
        print_options(to, cli_common_options);
        (void)fputs("\" ;;\n", to);
    }
}

static void print_second_words(FILE *to)
{
    for (size_t i = 0; cli_commands[i]; i++) {
        const char *space = strchr(cli_commands[i]->name, ' ');
        if (space)
            (void)fprintf(to, "    [ \"$first\" = %.*s ] && words+=' %s'\n",
                          (int)(space - cli_commands[i]->name), cli_commands[i]->name, space + 1);
    }
}

static struct err run(struct cli *cli)
{
    if (!cli->word || strcmp(cli->word, "bash") != 0)
        return cli_error(cli, err_make(ERR_USAGE, "shell"), "want: p11-kms completion bash");
    (void)fputs("# bash completion of p11-kms, printed by \"p11-kms completion bash\"\n"
                "_p11_kms() {\n"
                "  local current=${COMP_WORDS[COMP_CWORD]} first=${COMP_WORDS[1]} words=\n"
                "  local previous=${COMP_WORDS[COMP_CWORD-1]}\n"
                "  case $previous in --config|--in) COMPREPLY=($(compgen -f -- \"$current\"))\n"
                "    return ;;\n  esac\n"
                "  if [ \"$COMP_CWORD\" = 1 ]; then\n    words='",
                cli->out);
    print_first_words(cli->out);
    (void)fputs(" --help --version'\n  else\n    case \"$first ${COMP_WORDS[2]}\" in\n", cli->out);
    print_cases(cli->out);
    (void)fputs("    esac\n  fi\n  if [ \"$COMP_CWORD\" = 2 ]; then\n    :\n", cli->out);
    print_second_words(cli->out);
    (void)fputs("  fi\n  COMPREPLY=($(compgen -W \"$words\" -- \"$current\"))\n}\n"
                "complete -F _p11_kms p11-kms\n",
                cli->out);
    return ERR_OK;
}

const struct cli_command cmd_completion = {
    .name = "completion",
    .argument = "bash",
    .summary = "print shell completion: completion bash",
    .description = "Prints a script for bash; packages install it.",
    .run = run,
};
