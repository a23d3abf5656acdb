/* SPDX-License-Identifier: Apache-2.0 */
#include "cli_words.h"

#include "cli.h"
#include "stand.h"

#include <stdlib.h>
#include <string.h>

enum { ARGUMENTS_MAX = 16 };

char cli_output[65536], cli_errors[8192];

static void slurp(FILE *from, char *to, size_t size)
{
    rewind(from);
    to[fread(to, 1, size - 1, from)] = '\0';
    (void)fclose(from);
}

FILE *cli_input(const char *text)
{
    FILE *in = tmpfile();
    assert_non_null(in);
    (void)fputs(text, in);
    rewind(in);
    return in;
}

int cli_words(FILE *in, const char *const *words, const char *more)
{
    char *argv[ARGUMENTS_MAX] = {NULL};
    int argc = 0;
    FILE *out = tmpfile(), *err = tmpfile();
    assert_true(in && out && err);
    for (; words[argc]; argc++)
        assert_non_null(argv[argc] = strdup(words[argc]));
    if (more)
        assert_non_null(argv[argc++] = strdup(more));
    int code = cli_main(argc, argv, in, out, err);
    while (argc > 0)
        free(argv[--argc]);
    slurp(out, cli_output, sizeof cli_output);
    slurp(err, cli_errors, sizeof cli_errors);
    (void)fclose(in);
    return code;
}
