/* SPDX-License-Identifier: Apache-2.0 */
/* The table of docs/ckr.md is the table of pkcs11/p11_ckr.c: --print writes it, and the test
 * compares. */
#include "p11_ckr.h"

#include "async.h"
#include "cleanup.h"
#include "io.h"
#include "rpc_call.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char heading[] =
    "| value | | class | the client gets | text |\n|---|---|---|---|---|\n";

static const char *const classes[] = {
    [REMEDY_CALLER] = "caller's fault", [REMEDY_SESSION] = "another session",
    [REMEDY_LOGIN] = "log in again",    [REMEDY_AGENT] = "new agent",
    [REMEDY_HUMAN] = "ask a human",
};

static void print_row(FILE *to, const struct p11_ckr *row, const char *value)
{
    int status = rpc_status_code(row->code);
    (void)fprintf(to, "| %s | %s | %s | %s | %s |\n", row->name, value, classes[row->remedy],
                  async_code_name((grpc_status_code)status), row->text);
}

static void print_table(FILE *to)
{
    char value[32];
    const struct p11_ckr *row;
    (void)fputs(heading, to);
    for (size_t i = 0; (row = p11_ckr_row(i)); i++) {
        bool last = !p11_ckr_row(i + 1); /* vendors' own */
        (void)snprintf(value, sizeof value, "0x%lx%s", row->rv, last ? " and above" : "");
        print_row(to, row, value);
    }
    print_row(to, p11_ckr_find(0x7777), "any other");
}

static void test_page_has_the_table(void **state)
{
    static char page[65536];
    AUTO_FREE char *table = NULL;
    char path[PATH_MAX];
    size_t len = 0, size = 0;
    (void)state;
    const char *top = getenv("srcdir");
    (void)snprintf(path, sizeof path, "%s/docs/ckr.md", top ? top : ".");
    assert_false(err_is(file_read(path, page, sizeof page - 1, &len)));
    FILE *memory = open_memstream(&table, &size);
    assert_non_null(memory);
    print_table(memory);
    assert_int_equal(fclose(memory), 0);
    const char *found = strstr(page, heading);
    if (!found || strcmp(found, table) != 0)
        fail_msg("docs/ckr.md must end with what tests/unit/test_ckr_docs --print prints");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_page_has_the_table)};
    if (argc == 2 && strcmp(argv[1], "--print") == 0) {
        print_table(stdout);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
