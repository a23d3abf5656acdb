/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the commands that have an agent of their own fails in turn, on a real token:
 * they end with an error in words, and do what they should when they are given again. */
#include "alloc_fail.h"
#include "cli_words.h"
#include "fixture.h"
#include "secret.h"

#include <stdio.h>
#include <string.h>

enum { OK = 0, FAILED = 1, MISCONFIGURED = 3, REFUSED = 6 };

static const char yaml[] = "apiVersion: p11-kms/v1\n"
                           "stateDir: %s\n"
                           "allowUids: [0]\n"
                           "token:\n"
                           "  module: %s\n"
                           "  uri: \"%s\"\n"
                           "  pinSource: %s\n"
                           "ring: {name: k8s}\n";

static struct fixture *f;
static char config_option[PATH_MAX + 16];

static void set_up(void)
{
    void *state = NULL;
    char text[4 * PATH_MAX], path[PATH_MAX];
    assert_int_equal(fixture_setup(&state), 0);
    f = state;
    (void)snprintf(text, sizeof text, yaml, f->config.state_dir, f->config.module, f->config.uri,
                   f->config.pin_source);
    fixture_write(f, "config.yaml", text, 0600);
    fixture_path(f, "config.yaml", path);
    (void)snprintf(config_option, sizeof config_option, "--config=%s", path);
}

static void tear_down(void)
{
    void *state = f;
    assert_int_equal(fixture_teardown(&state), 0);
}

static int give(const char *const *words)
{
    return cli_words(cli_input(""), words, config_option);
}

/* The command may fail once, and leaves nothing behind that it minds the next time. A configuration
 * that could not be read for want of memory is told as every one that could not. */
static void give_twice(const char *const *words, int right)
{
    alloc_begin();
    int code = give(words);
    alloc_end();
    if (code != right) {
        bool said = strstr(cli_errors, "memory") || strstr(cli_errors, "exhausted");
        if (!alloc_failed() || !said || (code != FAILED && code != MISCONFIGURED))
            fail_msg("exit code %d: %s", code, cli_errors);
    }
    if (give(words) != right)
        fail_msg("then: %s", cli_errors);
}

static const char *const init[] = {"init", "--json", "--agent", "build/p11-kms-agent", NULL};

static void make_first(void)
{
    set_up();
    give_twice(init, OK);
    assert_int_equal(give(init), OK); /* and it is there */
    assert_non_null(strstr(cli_output, "\"result\": \"existing\""));
    assert_non_null(strstr(cli_output, "\"generation\": 1, \"state\": \"active\""));
    tear_down();
}

static void find_it(void)
{
    set_up();
    assert_int_equal(give(init), OK);
    give_twice(init, OK);
    assert_non_null(strstr(cli_output, "\"result\": \"existing\""));
    tear_down();
}

/* It seals: this is as far as it goes with a ring that has no other. */
static void refuse_to_destroy(void)
{
    static const char member[] = "\"key_id\": \"";
    char key_id[KEY_ID_MAX + 1] = "";
    set_up();
    assert_int_equal(give(init), OK);
    const char *at = strstr(cli_output, member);
    assert_non_null(at);
    at += strlen(member);
    (void)snprintf(key_id, sizeof key_id, "%.*s", (int)strcspn(at, "\""), at);
    const char *const destroy[] = {"keys",
                                   "destroy",
                                   key_id,
                                   "--confirm",
                                   key_id,
                                   "--unreferenced-checked-by-me",
                                   "--agent=build/p11-kms-agent",
                                   NULL};
    give_twice(destroy, REFUSED);
    assert_int_equal(give(init), OK);
    assert_non_null(strstr(cli_output, key_id));
    tear_down();
}

static void first_kek(void **state)
{
    (void)state;
    alloc_sweep("p11-kms init, the first", make_first);
}

static void found_kek(void **state)
{
    (void)state;
    alloc_sweep("p11-kms init, again", find_it);
}

static void kek_in_use(void **state)
{
    (void)state;
    alloc_sweep("p11-kms keys destroy", refuse_to_destroy);
}

int main(void)
{
    bool locked;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_kek),
        cmocka_unit_test(found_kek),
        cmocka_unit_test(kek_in_use),
    };
    if (err_is(secret_init(1 << 19, &locked)))
        return 1;
    return FIXTURE_RUN("p11-kms without memory", tests);
}
