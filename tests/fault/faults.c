/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

#include <string.h>
#include <sys/stat.h>

enum { RECORD_MAX = 1 << 18 };

void faults_use(struct harness *h)
{
    char *directory = realpath("tests/fault", NULL);
    assert_non_null(directory);
    assert_int_equal(setenv("P11KMS_TEST_MODULE", h->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_TEST_FAULTS", h->dir, 1), 0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s/faulty-module.so", directory);
    free(directory);
}

static void ask(const struct harness *h, const char *name, const char *function, const char *action)
{
    char line[64];
    (void)snprintf(line, sizeof line, "%s %s\n", function, action);
    harness_write(h, name, line, 0600);
}

static void remove_file(const struct harness *h, const char *name)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, name, path);
    (void)unlink(path);
}

void faults_once(const struct harness *h, const char *function, const char *action)
{
    ask(h, "once", function, action);
}

void faults_always(const struct harness *h, const char *function, const char *action)
{
    ask(h, "always", function, action);
}

void faults_end(const struct harness *h)
{
    remove_file(h, "always");
    remove_file(h, "once");
}

unsigned faults_count(const struct harness *h, const char *what)
{
    static char record[RECORD_MAX];
    char path[HARNESS_PATH_MAX], *rest = record;
    unsigned n = 0;
    harness_path(h, "calls", path);
    (void)harness_read(path, record, sizeof record);
    for (const char *line = strtok_r(record, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest))
        n += strcmp(line, what) == 0;
    return n;
}

void faults_forget(const struct harness *h)
{
    remove_file(h, "calls");
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
