/* SPDX-License-Identifier: Apache-2.0 */
/* The frame of p11-kms: options, help from the table, words that commands take. */
#include "cli_connect.h"
#include "commands.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { ARGUMENTS_MAX = 16 };

static char *output, *errors;

/* Runs words separated by blanks; output and errors hold what was printed. */
static int run(const char *line)
{
    char copy[512];
    char *argv[ARGUMENTS_MAX], *rest = NULL;
    int argc = 0;
    size_t sizes[2];
    free(output);
    free(errors);
    FILE *in = fopen("/dev/null", "re"), *out = open_memstream(&output, &sizes[0]),
         *err = open_memstream(&errors, &sizes[1]);
    assert_non_null(in);
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
        argv[argc++] = word;
    int code = cli_main(argc, argv, in, out, err);
    (void)fclose(in);
    (void)fclose(out);
    (void)fclose(err);
    return code;
}

static void test_overview_names_every_command(void **state)
{
    (void)state;
    assert_int_equal(run("--help"), 0);
    for (size_t i = 0; cli_commands[i]; i++)
        assert_non_null(strstr(output, cli_commands[i]->name));
    assert_int_equal(run(""), 2);
    assert_non_null(strstr(errors, "usage"));
}

static void test_help_of_every_command(void **state)
{
    (void)state;
    for (size_t i = 0; cli_commands[i]; i++) {
        char line[128];
        (void)snprintf(line, sizeof line, "%s --help", cli_commands[i]->name);
        assert_int_equal(run(line), 0);
        assert_non_null(strstr(output, cli_commands[i]->summary));
        for (const struct cli_option *o = cli_commands[i]->options; o->name; o++)
            assert_non_null(strstr(output, o->name));
    }
}

static void test_man_page_and_completion_have_every_command(void **state)
{
    (void)state;
    assert_int_equal(run("man"), 0);
    assert_memory_equal(output, ".TH ", 4);
    assert_non_null(strstr(output, ".SS \"encryption\\-config\""));
    assert_non_null(strstr(output, ".SS \"call decrypt\""));
    assert_non_null(strstr(output, ".SS \"keys show KEY_ID\""));
    assert_int_equal(run("completion bash"), 0);
    for (size_t i = 0; cli_commands[i]; i++)
        assert_non_null(strstr(output, cli_commands[i]->name));
    assert_int_equal(run("completion fish"), 2);
}

static void test_version(void **state)
{
    (void)state;
    assert_int_equal(run("--version"), 0);
    assert_string_equal(output, "p11-kms " P11KMS_VERSION "\n");
}

static void test_wrong_command_lines(void **state)
{
    static const char *const lines[] = {
        "frobnicate",
        "call",
        "call rotate",
        "status --sokcet x",
        "status --json=yes",
        "status --socket",
        "status -v",
        "status one two",
        "status --socket relative/path",
        "status --admin-socket relative/path",
        "status word",
        "keys",
        "keys list --admin-socket tcp://x",
        "keys list word",
        "keys show",
        "keys rotate --wait soon",
        "keys activate",
        "keys deactivate --yes",
        "keys compromise k8s.x",
        "status --socket unix://relative",
        "status --socket unix:///x --timeout 3",
        "status --socket unix:///x --timeout 0s",
        "call status --socket unix:///x --api v3",
        "encryption-config --socket unix:///x --api v1beta1",
        "encryption-config --socket unix:///x --provider-name a:b",
        "encryption-config --socket unix:///x --provider-name",
        "encryption-config --socket unix:///x --resource a/b",
    };
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        if (run(lines[i]) != 2)
            fail_msg("not a usage error: %s", lines[i]);
        assert_true(strlen(errors) > 0);
    }
}

static void test_missing_config_is_exit_3(void **state)
{
    (void)state;
    assert_int_equal(run("status --config /nonexistent/config.yaml"), 3);
    assert_non_null(strstr(errors, "/nonexistent/config.yaml"));
}

static void test_nobody_listens_is_exit_5(void **state)
{
    (void)state;
    assert_int_equal(run("status --socket unix:///nonexistent/kms.sock"), 5);
    assert_non_null(strstr(errors, "nobody listens"));
    assert_non_null(strstr(errors, "systemctl start p11-kms"));
}

static void test_nobody_answers_for_the_daemon(void **state)
{
    (void)state;
    assert_int_equal(run("keys list --admin-socket unix:///nonexistent/admin.sock"), 5);
    assert_non_null(strstr(errors, "nobody listens on /nonexistent/admin.sock"));
    assert_int_equal(run("status --admin-socket unix:///nonexistent/admin.sock"), 5);
}

static void test_socket_paths(void **state)
{
    (void)state;
    assert_string_equal(cli_socket_path("unix:///run/x.sock"), "/run/x.sock");
    assert_string_equal(cli_socket_path("/run/x.sock"), "/run/x.sock");
    assert_string_equal(cli_socket_path("unix:///@name"), "/@name");
    assert_string_equal(cli_socket_path("unix://@name"), "@name");
    assert_null(cli_socket_path("unix://"));
    assert_null(cli_socket_path("@name"));
    assert_null(cli_socket_path("unix://@"));
    assert_null(cli_socket_path("tcp://127.0.0.1"));
}

static void test_durations(void **state)
{
    int ms = -1;
    (void)state;
    assert_false(err_is(cli_parse_duration("500ms", &ms)));
    assert_int_equal(ms, 500);
    assert_false(err_is(cli_parse_duration("3s", &ms)));
    assert_int_equal(ms, 3000);
    assert_false(err_is(cli_parse_duration("2m", &ms)));
    assert_int_equal(ms, 120000);
    assert_true(err_is(cli_parse_duration("61m", &ms)));
    assert_true(err_is(cli_parse_duration("s", &ms)));
    assert_true(err_is(cli_parse_duration("-1s", &ms)));
    assert_true(err_is(cli_parse_duration("18446744073709551616ms", &ms)));
    assert_int_equal(ms, 120000);
}

static void test_encryption_config_v2(void **state)
{
    (void)state;
    assert_int_equal(run("encryption-config --socket unix:///run/k.sock --resource secrets "
                         "--resource widgets.example.com --provider-name=hsm"),
                     0);
    assert_non_null(strstr(output, "apiVersion: apiserver.config.k8s.io/v1\n"
                                   "kind: EncryptionConfiguration\n"
                                   "resources:\n"
                                   "  - resources:\n"
                                   "      - secrets\n"
                                   "      - widgets.example.com\n"));
    assert_non_null(strstr(output, "      - kms:\n"
                                   "          apiVersion: v2\n"
                                   "          name: hsm\n"
                                   "          endpoint: unix:///run/k.sock\n"
                                   "          timeout: 3s\n"));
    assert_null(strstr(output, "cachesize"));
    assert_true(strstr(output, "- identity: {}") > strstr(output, "- kms:"));
}

static void test_encryption_config_v1(void **state)
{
    (void)state;
    assert_int_equal(run("encryption-config --socket /run/k.sock --api v1"), 0);
    assert_non_null(strstr(output, "          apiVersion: v1\n"));
    assert_non_null(strstr(output, "          cachesize: 1000\n"));
    assert_non_null(strstr(output, "KMSv1=true"));
    assert_non_null(strstr(output, "      - secrets\n"));
}

static int free_output(void **state)
{
    (void)state;
    free(output);
    free(errors);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overview_names_every_command),
        cmocka_unit_test(test_help_of_every_command),
        cmocka_unit_test(test_man_page_and_completion_have_every_command),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_wrong_command_lines),
        cmocka_unit_test(test_missing_config_is_exit_3),
        cmocka_unit_test(test_nobody_listens_is_exit_5),
        cmocka_unit_test(test_nobody_answers_for_the_daemon),
        cmocka_unit_test(test_socket_paths),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_encryption_config_v2),
        cmocka_unit_test(test_encryption_config_v1),
    };
    return cmocka_run_group_tests(tests, NULL, free_output);
}
