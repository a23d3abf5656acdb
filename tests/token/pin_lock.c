/* SPDX-License-Identifier: Apache-2.0 */
/* A wrong PIN on a token that locks after three, given to everything of ours that logs in: agents,
 * daemons, commands, one after the other and at once, cut short and started again. What the token
 * itself says is what counts. in-opencryptoki makes it. */
#include "pin_spy.h"

#include "await.h"
#include "io.h"
#include "process.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEST_SECONDS = 360, RUN_MS = 60000, STARTS_MS = 30000 };

static const char wrong[] = "99990001", other[] = "99990002", right[] = "44445555";

/* --- the token --------------------------------------------------------------------------- */

struct question {
    const char *flag;
    bool says;
};

static bool is_answered(void *context)
{
    struct question *question = context;
    char line[256];
    bool any = false;
    FILE *out = popen("pkcsconf -t -c 0", "r");
    assert_non_null(out);
    question->says = false;
    while (fgets(line, sizeof line, out)) {
        any = any || strstr(line, "TOKEN_INITIALIZED");
        question->says = question->says || strstr(line, question->flag);
    }
    (void)pclose(out);
    return any;
}

/* pkcsslotd may have ended with what was killed here, and is started again. */
static bool token_says(const char *flag)
{
    struct question question = {.flag = flag};
    assert_true(await(is_answered, &question, STARTS_MS, NULL));
    return question.says;
}

static int set_up(void **state)
{
    char path[PATH_MAX];
    struct fixture *f = fixture_beside();
    fixture_path(f, "credentials", path);
    assert_int_equal(setenv("CREDENTIALS_DIRECTORY", path, 1), 0);
    assert_false(token_says("USER_PIN_COUNT_LOW"));
    pin_spy_use(f);
    pin_spy_use_pin(f, wrong);
    *state = f;
    return 0;
}

static unsigned tries(const struct fixture *f)
{
    return pin_spy_logins(f, wrong) + pin_spy_logins(f, other) + pin_spy_logins(f, right);
}

static void expect_human(struct fixture *f, enum agent_role role)
{
    f->config.doomed.len = 0;
    if (role == AGENT_DESTROY)
        f->config.doomed = (struct object_id){.len = 16, .data = {1}};
    fixture_start(f, role);
    assert_int_equal(f->reply.status.code, ERR_TOKEN);
    assert_int_equal(f->reply.status.remedy, REMEDY_PIN);
}

/* The right PIN still opens it, which also sets its count back. */
static int log_in_once(void **state)
{
    struct fixture *f = *state;
    char record[PATH_MAX];
    fixture_stop(f);
    f->config.doomed.len = 0;
    assert_false(token_says("USER_PIN_LOCKED"));
    if (pin_spy_record(f, record))
        assert_int_equal(unlink(record), 0);
    pin_spy_act(f, NULL);
    pin_spy_flags(f, NULL);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/pin", f->dir);
    unsigned before = pin_spy_logins(f, right);
    if (token_says("USER_PIN_FINAL_TRY")) { /* no login of ours: what we tell an operator to do */
        static const char *const list[] = {"-O", NULL};
        assert_int_equal(unsetenv("P11KMS_PIN_DIR"), 0);
        (void)snprintf(f->config.module, sizeof f->config.module, "%s",
                       getenv("P11KMS_PIN_MODULE"));
        fixture_pkcs11_tool(f, list);
    } else {
        fixture_up(f, AGENT_SERVE);
        assert_int_equal(pin_spy_logins(f, right), before + 1);
    }
    assert_false(token_says("USER_PIN_COUNT_LOW"));
    return fixture_teardown(state);
}

/* --- agents ------------------------------------------------------------------------------ */

static void every_role_tries_it_once(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        expect_human(f, AGENT_SERVE);
        expect_human(f, AGENT_MAKE);
        expect_human(f, AGENT_DESTROY);
        pin_spy_use_pin(f, wrong); /* another file, the same PIN */
    }
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
}

static void crash_has_burnt_a_try(void **state)
{
    struct fixture *f = *state;
    f->config.role = AGENT_SERVE;
    pin_spy_act(f, "after crash");
    assert_false(err_is(agent_process_start("build/p11-kms-agent", &f->config, &f->agent)));
    assert_int_equal(
        lane_hello(f->agent.lane[0], CALL_MS, f->packet, sizeof f->packet, &f->reply).code,
        ERR_UNAVAILABLE);
    pin_spy_act(f, NULL);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
    for (int i = 0; i < 3; i++)
        expect_human(f, i == 1 ? AGENT_MAKE : AGENT_SERVE);
    assert_int_equal(tries(f), 1);
    pin_spy_use_pin(f, other); /* it may be the right one at last */
    expect_human(f, AGENT_SERVE);
    pin_spy_use_pin(f, wrong);
    expect_human(f, AGENT_SERVE);
    pin_spy_use_right_pin(f);
    expect_human(f, AGENT_SERVE);
    assert_int_equal(pin_spy_logins(f, wrong), 1);
    assert_int_equal(pin_spy_logins(f, other), 1);
    assert_int_equal(tries(f), 2);
    assert_true(token_says("USER_PIN_FINAL_TRY"));
}

static void odd_code_for_a_wrong_pin(void **state)
{
    struct fixture *f = *state;
    pin_spy_act(f, "after 5"); /* CKR_GENERAL_ERROR instead of CKR_PIN_INCORRECT */
    for (int i = 0; i < 4; i++)
        expect_human(f, AGENT_SERVE);
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
}

/* Three hosts with the same wrong PIN, each with a record of its own: the token's flags are what
 * keeps the third from locking it. */
static void hosts_that_know_nothing_of_each_other(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 4; i++) {
        char record[PATH_MAX];
        expect_human(f, AGENT_SERVE);
        if (pin_spy_record(f, record))
            assert_int_equal(unlink(record), 0);
    }
    assert_int_equal(tries(f), 2);
    assert_true(token_says("USER_PIN_FINAL_TRY"));
}

/* --- daemons and commands ---------------------------------------------------------------- */

static void write_config(const struct fixture *f, const char *name)
{
    char text[3 * PATH_MAX + 2048];
    (void)snprintf(text, sizeof text,
                   "apiVersion: p11-kms/v1\n"
                   "socket: unix://%s/%s.sock\n"
                   "adminSocket: unix://%s/%s-admin.sock\n"
                   "stateDir: %s\n"
                   "allowUids: [%u]\n"
                   "token:\n"
                   "  module: %s\n"
                   "  uri: \"%s\"\n"
                   "  pinSource: %s\n",
                   f->dir, name, f->dir, name, f->config.state_dir, (unsigned)geteuid(),
                   f->config.module, f->config.uri, f->config.pin_source);
    fixture_write(f, name, text, 0600);
}

static pid_t start_daemon(const struct fixture *f, const char *name)
{
    char path[PATH_MAX], log[PATH_MAX];
    char *const argv[] = {(char[]){"build/p11-kmsd"}, (char[]){"--config"}, path, NULL};
    fixture_path(f, name, path);
    fixture_path(f, "log", log);
    pid_t pid = process_start(argv, log);
    assert_true(pid > 0);
    return pid;
}

static void stop_daemon(pid_t pid)
{
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(process_wait(pid, RUN_MS), 0);
}

struct starts {
    const struct fixture *f;
    unsigned n;
};

static bool have_started(void *context)
{
    const struct starts *wanted = context;
    return pin_spy_logins(wanted->f, "start") >= wanted->n;
}

/* So many agents more. */
static void await_starts(const struct fixture *f, unsigned more)
{
    struct starts wanted = {f, pin_spy_logins(f, "start") + more};
    assert_true(await(have_started, &wanted, STARTS_MS, NULL));
}

static int run_command(const struct fixture *f, const char *const *words)
{
    char path[PATH_MAX], log[PATH_MAX];
    const char *argv[12] = {"build/p11-kms"};
    size_t n = 1;
    while (*words)
        argv[n++] = *words++;
    fixture_path(f, "daemon", path);
    fixture_path(f, "log", log);
    argv[n++] = "--config";
    argv[n] = path;
    return process_run((char **)(uintptr_t)argv, log, RUN_MS);
}

static bool log_says(const struct fixture *f, const char *text)
{
    static char log[1 << 20];
    char path[PATH_MAX];
    size_t len = 0;
    fixture_path(f, "log", path);
    assert_false(err_is(file_read(path, log, sizeof log - 1, &len)));
    log[len] = '\0';
    return strstr(log, text) != NULL;
}

static void daemon_and_commands_try_it_once(void **state)
{
    struct fixture *f = *state;
    static const char *const init[] = {"init", NULL};
    static const char *const destroy[] = {"keys",
                                          "destroy",
                                          "k8s.01890a5d-ac96-774b-bcce-b302099a8057",
                                          "--unreferenced-checked-by-me",
                                          "--confirm",
                                          "k8s.01890a5d-ac96-774b-bcce-b302099a8057",
                                          NULL};
    write_config(f, "daemon");
    for (int i = 0; i < 3; i++) {
        pid_t daemon = start_daemon(f, "daemon");
        await_starts(f, 3);
        assert_int_not_equal(run_command(f, init), 0);
        assert_int_not_equal(run_command(f, destroy), 0);
        assert_int_equal(kill(daemon, SIGHUP), 0);
        await_starts(f, 1);
        pin_spy_use_pin(f, wrong);
        if (i == 1) { /* nothing was said to the agents */
            assert_int_equal(kill(daemon, SIGKILL), 0);
            (void)process_wait(daemon, RUN_MS);
        } else {
            stop_daemon(daemon);
        }
    }
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
    assert_true(log_says(f, "it is not tried again"));
    assert_false(log_says(f, wrong));
}

static void two_daemons_of_one_state_directory(void **state)
{
    struct fixture *f = *state;
    write_config(f, "daemon");
    write_config(f, "second");
    pid_t one = start_daemon(f, "daemon"), two = start_daemon(f, "second");
    await_starts(f, 6);
    stop_daemon(one);
    stop_daemon(two);
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
}

/* Each agent would die inside C_Login, each has burnt a try. */
static void daemon_whose_agents_die_in_login(void **state)
{
    struct fixture *f = *state;
    write_config(f, "daemon");
    pin_spy_act(f, "after crash");
    pid_t daemon = start_daemon(f, "daemon");
    await_starts(f, 4);
    stop_daemon(daemon);
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
}

/* systemd makes credentials anew at each start of the service. */
static void credential_made_anew(void **state)
{
    struct fixture *f = *state;
    char path[PATH_MAX];
    fixture_path(f, "credentials", path);
    assert_int_equal(mkdir(path, 0700), 0);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "credential:token");
    write_config(f, "daemon");
    pin_spy_act(f, "after crash");
    for (int i = 0; i < 3; i++) {
        fixture_write(f, "credentials/token", wrong, 0400);
        pid_t daemon = start_daemon(f, "daemon");
        await_starts(f, 1);
        if (i == 0) { /* before another agent sees the same credential */
            assert_int_equal(kill(daemon, SIGKILL), 0);
            (void)process_wait(daemon, RUN_MS);
        } else {
            await_starts(f, 2);
            stop_daemon(daemon);
        }
    }
    assert_int_equal(tries(f), 1);
    assert_true(token_says("USER_PIN_COUNT_LOW"));
}

/* Stopped, and killed, while the token thinks: the login ends all the same, and is known to have
 * been good. */
static void daemon_that_ends_during_a_login(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, right);
    write_config(f, "daemon");
    pin_spy_make_gate(f);
    pin_spy_act(f, "after gate");
    for (int i = 0; i < 3; i++) {
        pid_t daemon = start_daemon(f, "daemon");
        pin_spy_await_at_gate(f);
        assert_int_equal(kill(daemon, i == 0 ? SIGKILL : i == 1 ? SIGTERM : SIGINT), 0);
        if (i == 0) {
            (void)process_wait(daemon, RUN_MS);
            pin_spy_open_gate(f);
        } else {
            pin_spy_open_gate(f);
            assert_int_equal(process_wait(daemon, RUN_MS), 0);
        }
    }
    pin_spy_act(f, NULL);
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(pin_spy_logins(f, right), 4);
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, log_in_once)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(every_role_tries_it_once),         FRESH(crash_has_burnt_a_try),
        FRESH(odd_code_for_a_wrong_pin),         FRESH(hosts_that_know_nothing_of_each_other),
        FRESH(daemon_and_commands_try_it_once),  FRESH(two_daemons_of_one_state_directory),
        FRESH(daemon_whose_agents_die_in_login), FRESH(credential_made_anew),
        FRESH(daemon_that_ends_during_a_login),
    };
    (void)alarm((unsigned)patience(TEST_SECONDS));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
