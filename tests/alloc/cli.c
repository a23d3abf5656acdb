/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of p11-kms fails in turn: each command does what it does otherwise, or says that
 * there was no memory and exits with an error; what it had printed by then is right. */
#include "admin_stand.h"
#include "alloc_fail.h"
#include "cli_words.h"

#include <stdio.h>
#include <string.h>

enum { WORDS_MAX = 8 };
enum ask { ASK_PLUGIN, ASK_DAEMON, ASK_CONFIG };

static struct command {
    enum ask ask; /* on which socket, or what the configuration names */
    const char *words[WORDS_MAX];
    const char *input;
} const commands[] = {
    {ASK_PLUGIN, {"status"}, ""},
    {ASK_PLUGIN, {"status", "--json"}, ""},
    {ASK_PLUGIN, {"status", "--wait", "10s"}, ""},
    {ASK_PLUGIN, {"call", "status"}, ""},
    {ASK_PLUGIN, {"call", "status", "--api", "v1beta1"}, ""},
    {ASK_PLUGIN, {"call", "encrypt"}, "cGluZw==\n"},
    {ASK_PLUGIN, {"call", "encrypt", "--json"}, "cGluZw==\n"},
    {ASK_PLUGIN, {"call", "encrypt", "--api", "v1beta1"}, "cGluZw==\n"},
    {ASK_PLUGIN, {"call", "decrypt", "--key-id", "k8s.fake"}, "7nBpbmc=\n"},
    {ASK_PLUGIN, {"call", "decrypt", "--key-id", "k8s.fake", "--json"}, "7nBpbmc=\n"},
    {ASK_PLUGIN, {"call", "decrypt", "--key-id", "k8s.fake", "--raw"}, "\xeeping"},
    {ASK_PLUGIN, {"call", "decrypt", "--api", "v1beta1"}, "7nBpbmc=\n"},
    {ASK_PLUGIN, {"call", "decrypt", "--key-id", "x", "--annotation", "a.b=dg=="}, "7nBpbmc=\n"},
    {ASK_DAEMON, {"status"}, ""},
    {ASK_DAEMON, {"status", "--json"}, ""},
    {ASK_DAEMON, {"keys", "list"}, ""},
    {ASK_DAEMON, {"keys", "list", "--json"}, ""},
    {ASK_DAEMON, {"keys", "show", "ID"}, ""},
    {ASK_DAEMON, {"keys", "show", "ID", "--json"}, ""},
    {ASK_DAEMON, {"keys", "rotate"}, ""},
    {ASK_DAEMON, {"keys", "rotate", "--json"}, ""},
    {ASK_DAEMON, {"keys", "activate", "ID"}, ""},
    {ASK_DAEMON, {"keys", "adopt", "ID"}, ""},
    {ASK_DAEMON, {"keys", "deactivate", "ID", "--yes"}, ""},
    {ASK_DAEMON, {"keys", "compromise", "ID", "--yes"}, ""},
    {ASK_CONFIG, {"status"}, ""},
    {ASK_CONFIG, {"encryption-config"}, ""},
};

static const char yaml[] = "apiVersion: p11-kms/v1\n"
                           "allowUids: [0]\n"
                           "adminSocket: unix://%s\n"
                           "token:\n"
                           "  module: /usr/lib/softhsm/libsofthsm2.so\n"
                           "  uri: \"pkcs11:token=test\"\n"
                           "  pinSource: file:/nonexistent\n"
                           "ring: {name: k8s}\n";

static const struct command *command;
static char output[sizeof cli_output], errors[sizeof cli_errors];

/* How the command ends, with its output in cli_output. */
static int run_command(const char *id, const char *option)
{
    const char *words[WORDS_MAX + 1] = {NULL};
    for (size_t i = 0; i < WORDS_MAX && command->words[i]; i++)
        words[i] = strcmp(command->words[i], "ID") == 0 ? id : command->words[i];
    return cli_words(cli_input(command->input), words, option);
}

static void assert_as_before(int code, int code_before)
{
    assert_int_equal(code, code_before);
    assert_string_equal(cli_output, output);
    assert_string_equal(cli_errors, errors);
}

/* A question for health is answered with no, as when nobody listens; and a configuration that could
 * not be read, as every one. */
static bool is_failure(int code)
{
    bool health = strcmp(command->words[0], "status") == 0;
    return code == 1 || (health && code == 5) || (command->ask == ASK_CONFIG && code == 3);
}

static void assert_without_memory(int code)
{
    bool said = strstr(cli_errors, "out of memory") || strstr(cli_errors, "resource exhausted");
    if (!alloc_failed() || !said || !is_failure(code))
        fail_msg("exit code %d: %s", code, cli_errors);
    if (strncmp(cli_output, output, strlen(cli_output)) != 0)
        fail_msg("printed: %s", cli_output);
}

static void write_config(const struct admin_stand *daemon, char *path)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, yaml, daemon->base.path) > 0);
    (void)close(fd);
}

/* A ring with something to say in each list. */
static void fill_ring(struct admin_stand *daemon, struct key_id *ret_named)
{
    static const struct health well = {.ok = true, .text = "ok"};
    struct kek keys[] = {admin_kek(1, KEY_ACTIVE), admin_kek(2, KEY_PRE_ACTIVE),
                         admin_kek(3, KEY_COMPROMISED)};
    const struct kek gone = admin_kek(9, KEY_ACTIVE);
    const struct ring_report report = {.key_id = keys[1].key_id, .active_ms = 77, .text = "made"};
    keys[2].quarantined = true;
    admin_publish(daemon, keys, 3, 0, &gone.key_id, &well);
    admin_set_report(daemon, &report);
    *ret_named = keys[1].key_id;
}

/* Once to see what it prints, once while memory fails, and once more as if nothing had been. */
static void run_thrice(const char *id, const char *option)
{
    int before = run_command(id, option);
    memcpy(output, cli_output, sizeof output);
    memcpy(errors, cli_errors, sizeof errors);
    alloc_begin();
    int code = run_command(id, option);
    alloc_end();
    if (code == before && strcmp(cli_errors, errors) == 0)
        assert_as_before(code, before);
    else
        assert_without_memory(code);
    assert_as_before(run_command(id, option), before);
}

static void ask_plugin(void)
{
    void *state = NULL;
    char option[160];
    assert_int_equal(stand_up(&state), 0);
    const struct stand *plugin = (const struct stand *)state;
    (void)snprintf(option, sizeof option, "--socket=unix://%s", plugin->path);
    run_thrice("", option);
    assert_int_equal(stand_down(&state), 0);
}

static void ask_daemon(void)
{
    void *state = NULL;
    char option[160], config[] = "/tmp/p11-kms-alloc-XXXXXX";
    struct key_id named;
    assert_int_equal(admin_stand_up(&state), 0);
    struct admin_stand *daemon = (struct admin_stand *)state;
    fill_ring(daemon, &named);
    write_config(daemon, config);
    if (command->ask == ASK_CONFIG)
        (void)snprintf(option, sizeof option, "--config=%s", config);
    else
        (void)snprintf(option, sizeof option, "--admin-socket=unix://%s", daemon->base.path);
    run_thrice(named.text, option);
    assert_int_equal(unlink(config), 0);
    assert_int_equal(admin_stand_down(&state), 0);
}

static void every_command(void **state)
{
    char name[128];
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        command = &commands[i];
        int len = snprintf(name, sizeof name, "p11-kms");
        for (size_t word = 0; word < WORDS_MAX && command->words[word]; word++)
            len += snprintf(name + len, sizeof name - (size_t)len, " %s", command->words[word]);
        alloc_sweep(name, command->ask == ASK_PLUGIN ? ask_plugin : ask_daemon);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_command)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
