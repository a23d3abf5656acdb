/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon and a login that takes its time: a token where somebody enters the PIN at a keypad. */
#include "harness.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

enum { TEST_SECONDS = 100, SAYS_MS = 20000 };

#define PROTECTED_PATH "100"

/* pin_module.c of tests/token, with a keypad. */
static void use_keypad(struct harness *h, const char *entered)
{
    char *module = realpath("tests/token/pin-module.so", NULL), path[HARNESS_PATH_MAX];
    assert_non_null(module);
    assert_int_equal(setenv("P11KMS_PIN_MODULE", h->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_PIN_DIR", h->dir, 1), 0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
    (void)snprintf(h->config.pin_source, sizeof h->config.pin_source, "protected");
    harness_write(h, "flags", PROTECTED_PATH, 0600);
    harness_write(h, "keypad", entered, 0600);
    harness_path(h, "logins", path);
    (void)unlink(path);
    harness_write_config(h);
}

static const char *right_pin(const struct harness *h, char *pin, size_t size)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "pin", path);
    return harness_read(path, pin, size);
}

static unsigned times_asked(const struct harness *h)
{
    char path[HARNESS_PATH_MAX], text[4096];
    unsigned n = 0;
    harness_path(h, "logins", path);
    const char *at = harness_read(path, text, sizeof text);
    while ((at = strstr(at, "NULL\n"))) {
        at += 5;
        n++;
    }
    return n;
}

static void meet(const struct harness *h, const char *name, int flags)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, name, path);
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void make_gate(const struct harness *h)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "arrived", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    harness_path(h, "gate", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    harness_write(h, "login", "before gate", 0600);
}

/* Status tells whoever should go to the token; nobody is asked twice, and once the PIN was entered
 * all is well. */
static void test_somebody_is_slow_at_the_keypad(void **state)
{
    struct harness *h = *state;
    char pin[64];
    use_keypad(h, right_pin(h, pin, sizeof pin));
    make_gate(h);
    harness_start(h);
    meet(h, "arrived", O_RDONLY);
    (void)harness_await_health(h, "C_Login has not returned", SAYS_MS);
    (void)harness_await_health(h, "C_Login has not returned for 6 s", SAYS_MS);
    meet(h, "gate", O_WRONLY);
    (void)harness_await_health(h, "ok", SAYS_MS);
    assert_int_equal(times_asked(h), 1);
    harness_round_trips(h);
    h->passed = true;
}

static void remove_record(const struct harness *h)
{
    char pattern[HARNESS_PATH_MAX];
    glob_t found = {0};
    harness_path(h, "state/pin-*.record", pattern);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    assert_int_equal(unlink(found.gl_pathv[0]), 0);
    globfree(&found);
}

/* As the manual says: remove the record, reload, enter the PIN. A reload alone asks nobody. */
static void test_refusal_at_the_keypad(void **state)
{
    struct harness *h = *state;
    char pin[64];
    use_keypad(h, "wrong-pin");
    harness_start(h);
    (void)harness_await_health(h, "nobody is asked again", SAYS_MS);
    harness_stop(h);
    harness_start(h);
    (void)harness_await_health(h, "nobody is asked again", SAYS_MS);
    assert_int_equal(times_asked(h), 1);
    harness_write(h, "keypad", right_pin(h, pin, sizeof pin), 0600);
    assert_int_equal(kill(h->monitor, SIGHUP), 0);
    remove_record(h);
    assert_int_equal(kill(h->monitor, SIGHUP), 0);
    (void)harness_await_health(h, "ok", SAYS_MS);
    assert_int_equal(times_asked(h), 2);
    harness_round_trips(h);
    h->passed = true;
}

int main(void)
{
#define LOGIN(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        LOGIN(test_somebody_is_slow_at_the_keypad),
        LOGIN(test_refusal_at_the_keypad),
    };
    return HARNESS_RUN("PINs given at the token", tests, TEST_SECONDS);
}
