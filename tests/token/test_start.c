/* SPDX-License-Identifier: Apache-2.0 */
/* How an agent starts, and what it says when it cannot: every line must name cause and remedy. */
#include "fixture.h"

#include "io.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

static void expect_refusal(struct fixture *f, enum err_code code, enum remedy remedy,
                           const char *part)
{
    fixture_start(f, AGENT_SERVE);
    assert_int_equal(f->reply.status.code, code);
    assert_int_equal(f->reply.status.remedy, remedy);
    if (!strstr(f->reply.status.text, part))
        fail_msg("\"%s\" does not say \"%s\"", f->reply.status.text, part);
}

static void says_who_the_token_is(void **state)
{
    struct fixture *f = *state;
    fixture_up(f, AGENT_SERVE);
    assert_string_equal(f->reply.u.hello.label, "test");
    assert_true(strlen(f->reply.u.hello.serial) > 0);
    assert_true(strlen(f->reply.u.hello.model) > 0);
}

/* One that is to be cleaned up by nobody: the record of a good login, and the lock. */
static void assert_only_good_news(const struct fixture *f)
{
    char path[PATH_MAX], line[512];
    size_t len, records = 0;
    DIR *dir = opendir(f->config.state_dir);
    assert_non_null(dir);
    for (struct dirent *entry = readdir(dir); entry; entry = readdir(dir)) {
        if (entry->d_name[0] == '.' || strcmp(entry->d_name, "pin.lock") == 0)
            continue;
        records++;
        assert_false(err_is(path_join(f->config.state_dir, entry->d_name, path, sizeof path)));
        assert_false(err_is(file_read(path, line, sizeof line, &len)));
        assert_non_null(memmem(line, len, " good 0 - - ", 12));
    }
    (void)closedir(dir);
    assert_int_equal(records, 1);
}

static void remembers_a_good_login_without_its_pin(void **state)
{
    struct fixture *f = *state;
    fixture_up(f, AGENT_SERVE);
    assert_only_good_news(f);
}

/* SIGKILL, as the monitor does it, then a new agent on the same state. */
static void killed_agent_leaves_nothing_behind(void **state)
{
    struct fixture *f = *state;
    fixture_up(f, AGENT_SERVE);
    fixture_stop(f);
    assert_only_good_news(f);
    fixture_up(f, AGENT_SERVE);
}

static void exits_when_lane_0_closes(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    fixture_up(f, AGENT_SERVE);
    agent_process_close_lanes(&f->agent);
    assert_int_equal(waitpid(f->agent.pid, &status, 0), f->agent.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    f->agent.pid = -1;
}

static void exits_on_a_malformed_packet(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    fixture_up(f, AGENT_SERVE);
    assert_false(err_is(packet_send(f->agent.lane[1], bytes_of_string("nonsense"), NULL, 0)));
    assert_int_equal(waitpid(f->agent.pid, &status, 0), f->agent.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    f->agent.pid = -1;
}

static void exit_code_is_that_of_the_error(void **state)
{
    struct fixture *f = *state;
    int status = -1;
    (void)snprintf(f->config.uri, sizeof f->config.uri, "pkcs11:token=nobody");
    fixture_start(f, AGENT_SERVE);
    assert_int_equal(waitpid(f->agent.pid, &status, 0), f->agent.pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    f->agent.pid = -1;
}

static void no_token_names_those_there(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->config.uri, sizeof f->config.uri, "pkcs11:token=nobody");
    expect_refusal(f, ERR_UNAVAILABLE, REMEDY_AGENT, "no token matches pkcs11:token=nobody");
    assert_non_null(strstr(f->reply.status.text, "'test' serial"));
}

static void two_tokens_ask_for_the_serial(void **state)
{
    struct fixture *f = *state;
    fixture_add_token(f, "test");
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "matches two tokens");
    assert_non_null(strstr(f->reply.status.text, "add serial="));
}

static void missing_module_is_named(void **state)
{
    struct fixture *f = *state;
    fixture_path(f, "none.so", f->config.module);
    expect_refusal(f, ERR_UNAVAILABLE, REMEDY_HUMAN, "none.so is not there");
}

static void a_library_that_is_no_module_is_named(void **state)
{
    struct fixture *f = *state;
    Dl_info info;
    assert_int_not_equal(dladdr((void *)(uintptr_t)&dladdr, &info), 0);
    (void)snprintf(f->config.module, sizeof f->config.module, "%s", info.dli_fname);
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "is no PKCS#11 module");
}

static void a_text_file_is_no_module(void **state)
{
    struct fixture *f = *state;
    fixture_write(f, "text.so", "hello\n", 0644);
    fixture_path(f, "text.so", f->config.module);
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "is no PKCS#11 module");
}

static void open_pin_file_is_refused(void **state)
{
    struct fixture *f = *state;
    fixture_write(f, "open-pin", "1234\n", 0644);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/open-pin", f->dir);
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "mode 0644");
    assert_non_null(strstr(f->reply.status.text, "chmod 0600 "));
}

static void missing_pin_file_is_named(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/no-pin", f->dir);
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "no-pin cannot be read");
}

static void credential_needs_systemd(void **state)
{
    struct fixture *f = *state;
    (void)unsetenv("CREDENTIALS_DIRECTORY");
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "credential:pin");
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "LoadCredential=");
}

static void credential_is_read(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", f->dir, 1), 0);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "credential:pin");
    fixture_up(f, AGENT_SERVE);
    (void)unsetenv("CREDENTIALS_DIRECTORY");
}

static void protected_path_must_be_there(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "protected");
    expect_refusal(f, ERR_TOKEN, REMEDY_HUMAN, "no protected authentication path");
}

static void missing_state_directory_means_no_login(void **state)
{
    struct fixture *f = *state;
    fixture_path(f, "no-state", f->config.state_dir);
    expect_refusal(f, ERR_NOT_FOUND, REMEDY_HUMAN, "no-state");
}

static void unusable_uri_is_said(void **state)
{
    struct fixture *f = *state;
    (void)snprintf(f->config.uri, sizeof f->config.uri, "pkcs11:colour=blue");
    expect_refusal(f, ERR_CONFIG, REMEDY_HUMAN, "no PKCS#11 URI");
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(says_who_the_token_is),
        FRESH(remembers_a_good_login_without_its_pin),
        FRESH(killed_agent_leaves_nothing_behind),
        FRESH(exits_when_lane_0_closes),
        FRESH(exits_on_a_malformed_packet),
        FRESH(exit_code_is_that_of_the_error),
        FRESH(no_token_names_those_there),
        FRESH(two_tokens_ask_for_the_serial),
        FRESH(missing_module_is_named),
        FRESH(a_library_that_is_no_module_is_named),
        FRESH(a_text_file_is_no_module),
        FRESH(open_pin_file_is_refused),
        FRESH(missing_pin_file_is_named),
        FRESH(credential_needs_systemd),
        FRESH(credential_is_read),
        FRESH(protected_path_must_be_there),
        FRESH(missing_state_directory_means_no_login),
        FRESH(unusable_uri_is_said),
    };
    return FIXTURE_RUN("agent start", tests);
}
