/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <string.h>

enum { SCRIPT_MAX = 4096, LINE_SIZE = 256 };

static char real_module[HARNESS_PATH_MAX];

static void empty_file(const struct harness *h, const char *name)
{
    harness_write(h, name, "", 0600);
}

void faults_use(struct harness *h)
{
    char script[HARNESS_PATH_MAX];
    char *module = realpath("build/faultp11.so", NULL);
    assert_non_null(module);
    (void)snprintf(real_module, sizeof real_module, "%s", h->config.module);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
    harness_path(h, "script", script);
    assert_int_equal(setenv("FAULTP11_SCRIPT", script, 1), 0);
    empty_file(h, "calls");
    faults_end(h);
}

int faults_setup(void **state)
{
    int failed = harness_setup(state);
    if (failed == 0)
        faults_use(*state);
    return failed;
}

void faults_script(const struct harness *h, const char *record, const char *lines)
{
    char text[SCRIPT_MAX];
    int len = snprintf(text, sizeof text, "module %s\nfaults %s/faults\nrecord %s/%s\n%s",
                       real_module, h->dir, h->dir, record, lines);
    assert_in_range(len, 1, sizeof text - 1);
    harness_write(h, "script", text, 0600);
}

void faults_once(const struct harness *h, const char *function, const char *action)
{
    char line[LINE_SIZE + HARNESS_PATH_MAX];
    (void)snprintf(line, sizeof line, "on %s once %s/once %s\n", function, h->dir, action);
    faults_script(h, "calls", line);
    empty_file(h, "once");
}

void faults_always(const struct harness *h, const char *function, const char *action)
{
    char line[LINE_SIZE];
    (void)snprintf(line, sizeof line, "on %s every %s\n", function, action);
    faults_script(h, "calls", line);
}

void faults_end(const struct harness *h)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "once", path);
    (void)unlink(path);
    faults_script(h, "calls", "");
}

unsigned faults_count(const struct harness *h, const char *what)
{
    bool faults = strcmp(what, "fault") == 0;
    char path[HARNESS_PATH_MAX], line[LINE_SIZE], word[LINE_SIZE];
    unsigned n = 0;
    harness_path(h, faults ? "faults" : "calls", path);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        n += faults || (sscanf(line, "%255s", word) == 1 && strcmp(word, what) == 0);
    return n;
}

void faults_forget(const struct harness *h)
{
    empty_file(h, "calls");
    empty_file(h, "faults");
}

struct wanted_calls {
    const struct harness *h;
    const char *what;
    unsigned n;
};

static bool enough_calls(void *context)
{
    const struct wanted_calls *wanted = context;
    return faults_count(wanted->h, wanted->what) >= wanted->n;
}

void faults_await(const struct harness *h, const char *what, unsigned n, int timeout_ms)
{
    struct wanted_calls wanted = {h, what, n};
    if (!await(enough_calls, &wanted, timeout_ms, NULL))
        fail_msg("%s: %u times, expected %u", what, faults_count(h, what), n);
}

/* 0: none did. */
static pid_t last_to_fail(const struct harness *h)
{
    char path[HARNESS_PATH_MAX], line[LINE_SIZE];
    int pid = 0;
    harness_path(h, "faults", path);
    AUTO_FCLOSE FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file))
        (void)sscanf(line, "%*s pid %d", &pid);
    return pid;
}

static bool is_gone(void *context)
{
    return !process_alive(*(const pid_t *)context);
}

void faults_await_end(const struct harness *h, int timeout_ms)
{
    pid_t pid = last_to_fail(h);
    assert_true(pid > 0);
    if (!await(is_gone, &pid, timeout_ms, NULL))
        fail_msg("process %d, which met the last fault, does not end", (int)pid);
}
