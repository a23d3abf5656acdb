/* SPDX-License-Identifier: Apache-2.0 */
#include "cli.h"

#include "cli_help.h"
#include "commands.h"

#include <stdarg.h>
#include <string.h>

const struct cli_option cli_common_options[] = {
    {"config", "FILE", "the daemon's configuration (default /etc/p11-kms/config.yaml)"},
    {"help", NULL, "say what this command does"},
    {NULL, NULL, NULL},
};

const char *cli_value(const struct cli *cli, const char *name)
{
    const char *value = NULL;
    size_t position = 0;
    for (const char *next; (next = cli_next_value(cli, name, &position));)
        value = next;
    return value;
}

const char *cli_next_value(const struct cli *cli, const char *name, size_t *position)
{
    while (*position < cli->n_given) {
        size_t at = (*position)++;
        if (strcmp(cli->given[at].name, name) == 0)
            return cli->given[at].value;
    }
    return NULL;
}

struct err cli_error(struct cli *cli, struct err e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)fprintf(cli->errors, "p11-kms%s%s: ", cli->command ? " " : "",
                  cli->command ? cli->command->name : "");
    (void)vfprintf(cli->errors, format, arguments);
    (void)fputc('\n', cli->errors);
    va_end(arguments);
    return e;
}

static bool words_match(const char *name, int argc, char **argv, int *ret_words)
{
    const char *space = strchr(name, ' ');
    if (!space) {
        *ret_words = 1;
        return argc >= 1 && strcmp(argv[0], name) == 0;
    }
    size_t first = (size_t)(space - name);
    *ret_words = 2;
    return argc >= 2 && strlen(argv[0]) == first && strncmp(argv[0], name, first) == 0 &&
           strcmp(argv[1], space + 1) == 0;
}

const struct cli_command *cli_find(int argc, char **argv, int *ret_words)
{
    for (size_t i = 0; cli_commands[i]; i++)
        if (words_match(cli_commands[i]->name, argc, argv, ret_words))
            return cli_commands[i];
    return NULL;
}

static const struct cli_option *option_in(const struct cli_option *options, const char *name,
                                          size_t len)
{
    for (; options->name; options++)
        if (strlen(options->name) == len && strncmp(options->name, name, len) == 0)
            return options;
    return NULL;
}

static struct err add(struct cli *cli, const struct cli_option *option, const char *value)
{
    if (cli->n_given == CLI_GIVEN_MAX)
        return cli_error(cli, err_make(ERR_USAGE, "options"), "too many options");
    cli->given[cli->n_given].name = option->name;
    cli->given[cli->n_given++].value = value;
    return ERR_OK;
}

/* "--name", "--name value" or "--name=value". */
static struct err parse_option(struct cli *cli, int argc, char **argv, int *at)
{
    const char *text = argv[*at] + 2;
    size_t len = strcspn(text, "=");
    const char *value = text[len] == '=' ? text + len + 1 : NULL;
    const struct cli_option *option =
        cli->command ? option_in(cli->command->options, text, len) : NULL;
    struct err usage = err_make(ERR_USAGE, "options");
    if (!option)
        option = option_in(cli_common_options, text, len);
    if (!option)
        return cli_error(cli, usage, "no such option: --%.*s (see --help)", (int)len, text);
    if (!option->argument && value)
        return cli_error(cli, usage, "--%s takes no value", option->name);
    if (option->argument && !value && ++*at >= argc)
        return cli_error(cli, usage, "--%s needs a value: %s", option->name, option->argument);
    if (option->argument && !value)
        value = argv[*at];
    return add(cli, option, value ? value : "");
}

static struct err parse(struct cli *cli, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--", 2) == 0) {
            TRY(parse_option(cli, argc, argv, &i));
        } else if (cli->command->argument && !cli->word && argv[i][0] != '-') {
            cli->word = argv[i];
        } else {
            return cli_error(cli, err_make(ERR_USAGE, "arguments"), "unexpected: %s (see --help)",
                             argv[i]);
        }
    }
    return ERR_OK;
}

static struct err run(struct cli *cli, int argc, char **argv)
{
    TRY(parse(cli, argc, argv));
    if (cli_value(cli, "help")) {
        cli_print_help(cli->out, cli->command);
        return ERR_OK;
    }
    struct err e = cli->command->run(cli);
    if (fflush(cli->out) != 0 && !err_is(e))
        e = cli_error(cli, err_make(ERR_SYSTEM, "write"), "cannot write the output");
    return e;
}

static int run_global(struct cli *cli, const char *word)
{
    if (strcmp(word, "--version") == 0) {
        (void)fprintf(cli->out, "p11-kms %s\n", P11KMS_VERSION);
        return 0;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "help") == 0) {
        cli_print_overview(cli->out);
        return 0;
    }
    return err_exit_code(
        cli_error(cli, err_make(ERR_USAGE, "command"), "no such command: %s (see --help)", word));
}

/* Options with a value that every command takes may stand before it. Yields how many arguments
 * they are. */
static struct err parse_leading(struct cli *cli, int argc, char **argv, int *ret_used)
{
    int at = 0;
    for (; at < argc && strncmp(argv[at], "--", 2) == 0; at++) {
        const char *name = argv[at] + 2;
        const struct cli_option *option = option_in(cli_common_options, name, strcspn(name, "="));
        if (!option || !option->argument)
            break;
        TRY(parse_option(cli, argc, argv, &at));
    }
    *ret_used = at;
    return ERR_OK;
}

int cli_main(int argc, char **argv, FILE *in, FILE *out, FILE *errors)
{
    struct cli cli = {.in = in, .out = out, .errors = errors};
    int words = 0, leading = 0;
    struct err e = parse_leading(&cli, argc, argv, &leading);
    if (err_is(e))
        return err_exit_code(e);
    argc -= leading;
    argv += leading;
    if (argc == 0) {
        cli_print_overview(errors);
        return err_exit_code(err_make(ERR_USAGE, "command"));
    }
    cli.command = cli_find(argc, argv, &words);
    if (!cli.command)
        return run_global(&cli, argv[0]);
    return err_exit_code(run(&cli, argc - words, argv + words));
}
