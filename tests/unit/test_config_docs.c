/* SPDX-License-Identifier: Apache-2.0 */
/* docs/configuration.md says of every key what the table of keys says. */
#include "cleanup.h"
#include "config.h"
#include "io.h"
#include "keys.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char docs[131072];

static int read_docs(void **state)
{
    char path[PATH_MAX];
    size_t len;
    (void)state;
    const char *top = getenv("srcdir");
    (void)snprintf(path, sizeof path, "%s/docs/configuration.md", top ? top : ".");
    return err_is(file_read(path, docs, sizeof docs - 1, &len)) ? -1 : 0;
}

/* The row of the reference: | `key` | type | range | default | reload | meaning | */
static void row_of(const char *path, char *row, size_t size)
{
    char begin[128];
    (void)snprintf(begin, sizeof begin, "\n| `%s` |", path);
    const char *at = strstr(docs, begin);
    if (!at)
        fail_msg("docs/configuration.md has no row for %s", path);
    (void)snprintf(row, size, "%.*s", (int)strcspn(at + 1, "\n"), at + 1);
}

static void assert_row_has(const char *path, const char *row, const char *text)
{
    if (!strstr(row, text))
        fail_msg("the row of %s does not say %s: %s", path, text, row);
}

static void check_range(const struct config_key *key, const char *row)
{
    char least[24], most[24], text[64];
    if (key->parse == parse_duration)
        (void)snprintf(text, sizeof text, "| %s to %s |",
                       duration_format(key->rule.least, least, sizeof least),
                       duration_format(key->rule.most, most, sizeof most));
    else if (key->parse == parse_count)
        (void)snprintf(text, sizeof text, "| %" PRId64 " to %" PRId64 " |", key->rule.least,
                       key->rule.most);
    else
        return;
    assert_row_has(key->path, row, text);
}

static void every_key_has_its_row(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        char row[1024], text[128];
        if (key->shape == KEY_SECTION)
            continue;
        row_of(key->path, row, sizeof row);
        if (key->shape == KEY_NOT_BUILT) {
            assert_row_has(key->path, row, "not built");
            continue;
        }
        assert_row_has(key->path, row, key->reload ? "| yes |" : "| no |");
        if (key->fallback)
            (void)snprintf(text, sizeof text, key->shape == KEY_LIST ? "| `[%s]` |" : "| `%s` |",
                           key->fallback);
        else
            (void)snprintf(text, sizeof text, "| %s |", key->required ? "required" : "none");
        assert_row_has(key->path, row, text);
        check_range(key, row);
        for (const char *const *word = key->rule.words; word && *word; word++)
            assert_row_has(key->path, row, *word);
    }
}

static void the_example_is_accepted(void **state)
{
    (void)state;
    struct config config;
    struct config_error error;
    const char *begin = strstr(docs, "```yaml\n");
    assert_non_null(begin);
    begin += strlen("```yaml\n");
    const char *end = strstr(begin, "```");
    assert_non_null(end);
    assert_false(err_is(config_load(bytes_of(begin, (size_t)(end - begin)), &config, &error)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_has_its_row),
        cmocka_unit_test(the_example_is_accepted),
    };
    return cmocka_run_group_tests(tests, read_docs, NULL);
}
