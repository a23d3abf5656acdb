/* SPDX-License-Identifier: Apache-2.0 */
#include "pin_spy.h"

#include "io.h"

#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOGINS_MAX = 65536 };

void pin_spy_use(struct fixture *f)
{
    char *module = realpath("tests/token/pin-module.so", NULL);
    assert_non_null(module);
    assert_int_equal(setenv("P11KMS_PIN_MODULE", f->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_PIN_DIR", f->dir, 1), 0);
    (void)snprintf(f->config.module, sizeof f->config.module, "%s", module);
    free(module);
}

unsigned pin_spy_logins(const struct fixture *f, const char *pin)
{
    static char text[LOGINS_MAX];
    char path[PATH_MAX], *rest = text;
    size_t len = 0;
    unsigned n = 0;
    fixture_path(f, "logins", path);
    struct err e = file_read(path, text, sizeof text - 1, &len);
    assert_true(!err_is(e) || e.code == ERR_NOT_FOUND);
    text[len] = '\0';
    for (const char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        n += strcmp(line, pin) == 0;
    return n;
}

static void say(const struct fixture *f, const char *name, const char *text)
{
    char path[PATH_MAX];
    fixture_path(f, name, path);
    if (text)
        fixture_write(f, name, text, 0600);
    else
        (void)unlink(path);
}

void pin_spy_act(const struct fixture *f, const char *action)
{
    say(f, "login", action);
}

void pin_spy_flags(const struct fixture *f, const char *flags)
{
    say(f, "flags", flags);
}

void pin_spy_make_gate(const struct fixture *f)
{
    static const char *const names[] = {"arrived", "gate"};
    char path[PATH_MAX];
    for (size_t i = 0; i < 2; i++) {
        fixture_path(f, names[i], path);
        assert_int_equal(mkfifo(path, 0600), 0);
    }
}

static void meet(const struct fixture *f, const char *name, int flags)
{
    char path[PATH_MAX];
    fixture_path(f, name, path);
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)close(fd);
}

void pin_spy_await_at_gate(const struct fixture *f)
{
    meet(f, "arrived", O_RDONLY);
}

void pin_spy_open_gate(const struct fixture *f)
{
    meet(f, "gate", O_WRONLY);
}

void pin_spy_use_pin(struct fixture *f, const char *pin)
{
    fixture_write(f, "other-pin", pin, 0600);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/other-pin", f->dir);
}

void pin_spy_right_pin(const struct fixture *f, char ret[static PIN_SPY_MAX])
{
    char path[PATH_MAX];
    size_t len;
    fixture_path(f, "pin", path);
    assert_false(err_is(file_read(path, ret, PIN_SPY_MAX - 1, &len)));
    ret[len] = '\0';
}

void pin_spy_use_right_pin(struct fixture *f)
{
    char pin[PIN_SPY_MAX];
    pin_spy_right_pin(f, pin);
    pin_spy_use_pin(f, pin);
}

bool pin_spy_record(const struct fixture *f, char ret[static PATH_MAX])
{
    char pattern[PATH_MAX + 16];
    glob_t found = {0};
    (void)snprintf(pattern, sizeof pattern, "%s/pin-*.record", f->config.state_dir);
    bool there = glob(pattern, 0, NULL, &found) == 0;
    if (there)
        (void)snprintf(ret, PATH_MAX, "%s", found.gl_pathv[0]);
    globfree(&found);
    return there;
}
