/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon that starts without what it needs of the token runs, says what is missing and what to
 * do, and is healthy by itself once it is there. */
#include "faults.h"

#include <dirent.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

enum {
    TEST_SECONDS = 150,
    SAYS_MS = 15000,
    MENDED_MS = 5000, /* the monitor starts an agent every 3 s at least */
    RECORDS_MS = 20000
};

static char own_path[HARNESS_PATH_MAX]; /* of harness_path, for one-liners */

static const char *in_dir(const struct harness *h, const char *name)
{
    harness_path(h, name, own_path);
    return own_path;
}

static void rename_in(const struct harness *h, const char *from, const char *to)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, from, path);
    assert_int_equal(rename(path, in_dir(h, to)), 0);
}

/* Status names the cause and the remedy, in these words; the daemon does not die of it. */
static void assert_says(const struct harness *h, const char *cause, const char *remedy)
{
    struct kms_client_status status;
    (void)harness_await_health(h, cause, SAYS_MS);
    assert_true(harness_status(h, &status));
    if (!strstr(status.healthz, remedy))
        fail_msg("no '%s' in: %s", remedy, status.healthz);
    printf("  %s\n", status.healthz);
    assert_true(process_alive(h->monitor));
}

static void assert_mended(struct harness *h)
{
    int64_t took = harness_await_health(h, "ok", MENDED_MS);
    printf("  healthy %lld ms after it was mended\n", (long long)took);
    harness_round_trips(h);
    h->passed = true;
}

/* --- the PIN ----------------------------------------------------------------------------- */

static void read_pin(const struct harness *h, char *ret, size_t size)
{
    (void)harness_read(in_dir(h, "pin"), ret, size);
}

static void test_wrong_pin_is_tried_once(void **state)
{
    struct harness *h = *state;
    char pin[64];
    read_pin(h, pin, sizeof pin);
    faults_use(h);
    harness_write_config(h);
    harness_write(h, "pin", "not-the-pin\n", 0600);
    harness_start(h);
    assert_says(h, "refused the PIN", "/pin");
    faults_await(h, "C_Initialize", 4, RECORDS_MS); /* agents came and went */
    assert_int_equal(faults_count(h, "C_Login"), 1);
    for (unsigned i = 0; i < 2; i++) {
        unsigned before = faults_count(h, "C_Initialize");
        harness_stop(h);
        harness_start(h);
        faults_await(h, "C_Initialize", before + 2, RECORDS_MS);
        assert_says(h, "refused the PIN", "not tried again");
    }
    assert_int_equal(faults_count(h, "C_Login"), 1);
    harness_write(h, "pin", pin, 0600);
    assert_mended(h);
    assert_int_equal(faults_count(h, "C_Login"), 2);
}

static void test_pin_file_others_may_read(void **state)
{
    struct harness *h = *state;
    assert_int_equal(chmod(in_dir(h, "pin"), 0644), 0);
    harness_start(h);
    assert_says(h, "mode 0644", "chmod 0600");
    assert_int_equal(chmod(in_dir(h, "pin"), 0600), 0);
    assert_mended(h);
}

static void test_pin_file_missing(void **state)
{
    struct harness *h = *state;
    rename_in(h, "pin", "pin.away");
    harness_start(h);
    assert_says(h, "cannot be read", "token.pinSource");
    rename_in(h, "pin.away", "pin");
    assert_mended(h);
}

/* root reads everything: a directory is what nobody reads a PIN from. */
static void test_pin_file_unreadable(void **state)
{
    struct harness *h = *state;
    rename_in(h, "pin", "pin.away");
    if (geteuid() != 0)
        harness_write(h, "pin", "unreadable", 0000);
    else
        assert_int_equal(mkdir(in_dir(h, "pin"), 0700), 0);
    harness_start(h);
    assert_says(h, "PIN file", "token.pinSource");
    if (geteuid() == 0)
        assert_int_equal(rmdir(in_dir(h, "pin")), 0);
    rename_in(h, "pin.away", "pin");
    assert_mended(h);
}

/* --- the token --------------------------------------------------------------------------- */

static void test_no_token(void **state)
{
    struct harness *h = *state;
    rename_in(h, "tokens", "tokens.away");
    assert_int_equal(mkdir(in_dir(h, "tokens"), 0700), 0);
    harness_start(h);
    assert_says(h, "no token matches pkcs11:token=test", "mend token.uri");
    assert_int_equal(rmdir(in_dir(h, "tokens")), 0);
    rename_in(h, "tokens.away", "tokens");
    assert_mended(h);
}

static void test_no_store(void **state)
{
    struct harness *h = *state;
    rename_in(h, "tokens", "tokens.away");
    harness_start(h);
    assert_says(h, "did not start", "check the token");
    rename_in(h, "tokens.away", "tokens");
    assert_mended(h);
}

/* The directory of one token in SoftHSM's store; `other` than this if it is not empty. */
static void find_token(const struct harness *h, const char *other, char *ret, size_t size)
{
    DIR *directory = opendir(in_dir(h, "tokens"));
    assert_non_null(directory);
    ret[0] = '\0';
    for (const struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char name[300];
        (void)snprintf(name, sizeof name, "tokens/%s", entry->d_name);
        if (entry->d_name[0] != '.' && strcmp(name, other) != 0)
            (void)snprintf(ret, size, "%s", name);
    }
    (void)closedir(directory);
    assert_true(ret[0] != '\0');
}

static void test_two_tokens_match(void **state)
{
    struct harness *h = *state;
    char first[300], second[300];
    find_token(h, "", first, sizeof first);
    harness_add_token(h, "test");
    find_token(h, first, second, sizeof second);
    harness_start(h);
    assert_says(h, "matches two tokens", "add serial=");
    rename_in(h, second, "second.away");
    assert_mended(h);
}

/* --- the module -------------------------------------------------------------------------- */

static void use_own_module_path(struct harness *h)
{
    harness_path(h, "module.so", h->config.module);
    harness_write_config(h);
}

static void mend_module(const struct harness *h, const char *module)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "module.new", path);
    assert_int_equal(symlink(module, path), 0);
    rename_in(h, "module.new", "module.so");
}

static void test_module_missing(void **state)
{
    struct harness *h = *state;
    const struct harness_config before = h->config;
    use_own_module_path(h);
    harness_start(h);
    assert_says(h, "is not there", "mend token.module");
    mend_module(h, before.module);
    assert_mended(h);
}

static void test_module_that_is_no_library(void **state)
{
    struct harness *h = *state;
    const struct harness_config before = h->config;
    use_own_module_path(h);
    harness_write(h, "module.so", "no library at all\n", 0700);
    harness_start(h);
    assert_says(h, "is no PKCS#11 module", "mend token.module");
    mend_module(h, before.module);
    assert_mended(h);
}

/* A good library, but not of the kind. */
static void test_module_that_is_no_pkcs11_library(void **state)
{
    struct harness *h = *state;
    const struct harness_config before = h->config;
    char *library = realpath("tests/fault/no-module.so", NULL);
    assert_non_null(library);
    use_own_module_path(h);
    mend_module(h, library);
    free(library);
    harness_start(h);
    assert_says(h, "is no PKCS#11 module", "mend token.module");
    mend_module(h, before.module);
    assert_mended(h);
}

int main(void)
{
#define START(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        START(test_wrong_pin_is_tried_once),
        START(test_pin_file_others_may_read),
        START(test_pin_file_missing),
        START(test_pin_file_unreadable),
        START(test_no_token),
        START(test_no_store),
        START(test_two_tokens_match),
        START(test_module_missing),
        START(test_module_that_is_no_library),
        START(test_module_that_is_no_pkcs11_library),
    };
    return HARNESS_RUN("starting without", tests, TEST_SECONDS);
}
