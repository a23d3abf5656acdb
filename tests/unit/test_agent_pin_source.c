/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "pin_source.h"

#include "io.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct place {
    char dir[64];
    char path[PATH_MAX];
    char source[PATH_MAX + 8];
    struct secret *pin;
    struct pin_identity identity;
};

static int make_place(void **state)
{
    struct place *p = calloc(1, sizeof *p);
    *state = p;
    (void)snprintf(p->dir, sizeof p->dir, "/tmp/p11-kms-test.XXXXXX");
    if (!mkdtemp(p->dir) || err_is(path_join(p->dir, "pin", p->path, sizeof p->path)))
        return -1;
    (void)snprintf(p->source, sizeof p->source, "file:%s", p->path);
    return err_is(secret_new(PIN_MAX + 2, &p->pin)) ? -1 : 0;
}

static int remove_place(void **state)
{
    struct place *p = *state;
    (void)unlink(p->path);
    int failed = rmdir(p->dir);
    secret_free(p->pin);
    free(p);
    return failed;
}

static struct err read_pin(struct place *p, const char *contents, mode_t mode,
                           struct advice *advice)
{
    if (contents)
        assert_false(err_is(file_replace(p->path, bytes_of_string(contents), mode)));
    return pin_source_read(p->source, p->pin, &p->identity, advice);
}

static void one_newline_is_cut(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    assert_false(err_is(read_pin(p, "12 34\n\n", 0600, &advice)));
    assert_true(bytes_equal(secret_bytes(p->pin), bytes_of_string("12 34\n")));
    assert_false(err_is(read_pin(p, "1234", 0400, &advice)));
    assert_true(bytes_equal(secret_bytes(p->pin), bytes_of_string("1234")));
}

static void modes_that_others_can_use_are_refused(void **state)
{
    static const mode_t modes[] = {0644, 0640, 0604, 0660, 0620, 0601};
    struct place *p = *state;
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++) {
        struct advice advice = {.text = ""};
        assert_int_equal(read_pin(p, "1234\n", modes[i], &advice).code, ERR_TOKEN);
        assert_non_null(strstr(advice.text, "chmod 0600 "));
        assert_int_equal(secret_bytes(p->pin).len, 0);
    }
}

static void length_limits(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    char longest[PIN_MAX + 2];
    memset(longest, '7', sizeof longest);
    longest[PIN_MAX] = '\0';
    assert_false(err_is(read_pin(p, longest, 0600, &advice)));
    longest[PIN_MAX] = '7';
    longest[PIN_MAX + 1] = '\0';
    assert_int_equal(read_pin(p, longest, 0600, &advice).code, ERR_TOKEN);
    assert_non_null(strstr(advice.text, "too long"));
    assert_int_equal(read_pin(p, "\n", 0600, &advice).code, ERR_TOKEN);
    assert_non_null(strstr(advice.text, "empty"));
}

static void a_fifo_does_not_hang(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    assert_int_equal(mkfifo(p->path, 0600), 0);
    assert_int_equal(read_pin(p, NULL, 0, &advice).code, ERR_TOKEN);
    assert_non_null(strstr(advice.text, "no regular file"));
}

/* Written anew, even with the same PIN, it is another file. */
static void identity_changes_with_the_file(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    assert_false(err_is(read_pin(p, "1234", 0600, &advice)));
    const struct pin_identity first = p->identity;
    assert_true(first.text[0]);
    assert_false(err_is(read_pin(p, NULL, 0, &advice)));
    assert_string_equal(p->identity.text, first.text);
    assert_false(err_is(read_pin(p, "1234", 0600, &advice)));
    assert_string_not_equal(p->identity.text, first.text);
}

static void protected_yields_nothing(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    assert_true(pin_source_is_protected("protected"));
    assert_false(err_is(pin_source_read("protected", p->pin, &p->identity, &advice)));
    assert_int_equal(secret_bytes(p->pin).len, 0);
    assert_string_equal(p->identity.text, "");
}

static void credentials_stay_in_their_directory(void **state)
{
    struct place *p = *state;
    struct advice advice = {.text = ""};
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", p->dir, 1), 0);
    assert_false(err_is(read_pin(p, "1234\n", 0600, &advice)));
    assert_false(err_is(pin_source_read("credential:pin", p->pin, &p->identity, &advice)));
    assert_true(bytes_equal(secret_bytes(p->pin), bytes_of_string("1234")));
    assert_int_equal(pin_source_read("credential:../pin", p->pin, &p->identity, &advice).code,
                     ERR_TOKEN);
    assert_int_equal(pin_source_read("credential:", p->pin, &p->identity, &advice).code, ERR_TOKEN);
    assert_int_equal(pin_source_read("1234", p->pin, &p->identity, &advice).code, ERR_TOKEN);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, make_place, remove_place)

int main(void)
{
    bool locked;
    const struct CMUnitTest tests[] = {
        IN_PLACE(one_newline_is_cut),
        IN_PLACE(modes_that_others_can_use_are_refused),
        IN_PLACE(length_limits),
        IN_PLACE(a_fifo_does_not_hang),
        IN_PLACE(identity_changes_with_the_file),
        IN_PLACE(protected_yields_nothing),
        IN_PLACE(credentials_stay_in_their_directory),
    };
    if (err_is(secret_init(1 << 14, &locked)))
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
