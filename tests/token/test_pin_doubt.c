/* SPDX-License-Identifier: Apache-2.0 */
/* Logins that end in neither "good" nor "wrong PIN": crashes, signals, odd codes, several agents at
 * once, a PIN file that changes, the token's own flags, and PINs given at the token. */
#include "pin_spy.h"

#include "io.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TEST_SECONDS = 600 };

static const char wrong[] = "wrong-pin", other[] = "wrong-too";

/* Flags and return values as PKCS#11 numbers them. */
#define COUNT_LOW "10000"
#define FINAL_TRY "20000"
#define LOCKED    "40000"
#define PROTECTED "100"

static int set_up(void **state)
{
    if (fixture_setup(state) != 0)
        return -1;
    pin_spy_use(*state);
    return 0;
}

static void expect_human(struct fixture *f, const char *text)
{
    fixture_start(f, AGENT_SERVE);
    assert_int_not_equal(f->reply.status.code, ERR_NONE);
    assert_in_range(f->reply.status.remedy, REMEDY_HUMAN, REMEDY_PIN);
    if (!strstr(f->reply.status.text, text))
        fail_msg("no '%s' in: %s", text, f->reply.status.text);
}

/* It ends without a word. */
static void expect_death(struct fixture *f)
{
    f->config.role = AGENT_SERVE;
    fixture_stop(f);
    assert_false(err_is(agent_process_start("build/p11-kms-agent", &f->config, &f->agent)));
    assert_int_equal(
        lane_hello(f->agent.lane[0], CALL_MS, f->packet, sizeof f->packet, &f->reply).code,
        ERR_UNAVAILABLE);
}

static void remove_record(const struct fixture *f)
{
    char path[PATH_MAX];
    assert_true(pin_spy_record(f, path));
    assert_int_equal(unlink(path), 0);
}

static const char *record_state(const struct fixture *f)
{
    static char line[512], word[16];
    char path[PATH_MAX];
    size_t len;
    if (!pin_spy_record(f, path))
        return "none";
    assert_false(err_is(file_read(path, line, sizeof line - 1, &len)));
    line[len] = '\0';
    assert_int_equal(sscanf(line, "%*s %15s", word), 1);
    return word;
}

/* --- crashes ----------------------------------------------------------------------------- */

static void crash(struct fixture *f, const char *moment)
{
    char action[32];
    (void)snprintf(action, sizeof action, "%s crash", moment);
    pin_spy_act(f, action);
    expect_death(f);
    pin_spy_act(f, NULL);
    assert_string_equal(record_state(f), "trying");
}

static void crash_inside_login_is_a_refusal(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, wrong);
    crash(f, "after");
    for (int i = 0; i < 3; i++)
        expect_human(f, "not tried again");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
    pin_spy_use_right_pin(f); /* which one was tried is known: another may be */
    fixture_up(f, AGENT_SERVE);
}

/* Mended before any agent has looked, and then mended back: the second one would be taken for the
 * one that was tried, and the first would be tried again. */
static void crash_and_a_new_file_refuse_both(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, wrong);
    crash(f, "after");
    pin_spy_use_pin(f, other);
    expect_human(f, "cut short");
    pin_spy_use_pin(f, wrong);
    expect_human(f, "cut short");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
    assert_int_equal(pin_spy_logins(f, other), 0);
    remove_record(f);
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
}

/* As systemd makes a credential anew at each start. */
static void crash_and_the_same_file_anew(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, wrong);
    crash(f, "before");
    pin_spy_use_pin(f, wrong);
    expect_human(f, "cut short");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
}

/* --- signals ----------------------------------------------------------------------------- */

static void start_and_meet_at_gate(struct fixture *f)
{
    pin_spy_make_gate(f);
    pin_spy_act(f, "before gate");
    assert_false(err_is(agent_process_start("build/p11-kms-agent", &f->config, &f->agent)));
    pin_spy_await_at_gate(f);
}

static void agent_finishes_its_login_first(void **state)
{
    struct fixture *f = *state;
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    int status;
    f->config.role = AGENT_SERVE;
    start_and_meet_at_gate(f);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(kill(f->agent.pid, signals[i]), 0);
    agent_process_close_lanes(&f->agent);
    pin_spy_open_gate(f);
    assert_int_equal(waitpid(f->agent.pid, &status, 0), f->agent.pid);
    f->agent.pid = -1;
    assert_true(WIFEXITED(status));
    assert_string_equal(record_state(f), "good");
    pin_spy_act(f, NULL);
    fixture_up(f, AGENT_SERVE);
}

static void agent_outlives_whoever_started_it_in_a_login(void **state)
{
    struct fixture *f = *state;
    int done[2], status;
    f->config.role = AGENT_SERVE;
    assert_int_equal(pipe(done), 0);
    pid_t starter = fork();
    assert_true(starter >= 0);
    if (starter == 0) { /* the agent keeps no end of the pipe; standard output is one */
        (void)dup2(done[1], STDOUT_FILENO);
        (void)close(done[1]);
        start_and_meet_at_gate(f);
        _exit(0);
    }
    (void)close(done[1]);
    assert_int_equal(waitpid(starter, &status, 0), starter);
    assert_int_equal(status, 0);
    pin_spy_open_gate(f);
    assert_int_equal(read(done[0], &status, sizeof status), 0); /* the agent has ended as well */
    (void)close(done[0]);
    assert_string_equal(record_state(f), "good");
}

#ifdef __SANITIZE_THREAD__
enum { SIGNALS_WAIT = 1 };
#else
enum { SIGNALS_WAIT = 0 };
#endif

static void agent_without_a_login_ends_at_once(void **state)
{
    struct fixture *f = *state;
    int status;
    if (SIGNALS_WAIT) {
        print_message("NOT JUDGED: the thread sanitizer runs no handler while recvmsg waits\n");
        skip();
    }
    fixture_up(f, AGENT_SERVE);
    assert_int_equal(kill(f->agent.pid, SIGTERM), 0);
    assert_int_equal(waitpid(f->agent.pid, &status, 0), f->agent.pid);
    assert_int_equal(status, 0);
    agent_process_close_lanes(&f->agent);
    f->agent.pid = -1;
}

/* --- several agents ---------------------------------------------------------------------- */

static void agents_that_start_together_try_it_once(void **state)
{
    struct fixture *f = *state;
    enum { AGENTS = 4 };
    static const enum agent_role roles[AGENTS] = {AGENT_SERVE, AGENT_MAKE, AGENT_SERVE, AGENT_MAKE};
    struct agent_process agents[AGENTS];
    unsigned told = 0;
    pin_spy_use_pin(f, wrong);
    for (int i = 0; i < AGENTS; i++) {
        f->config.role = roles[i];
        assert_false(err_is(agent_process_start("build/p11-kms-agent", &f->config, &agents[i])));
    }
    for (int i = 0; i < AGENTS; i++) {
        assert_false(
            err_is(lane_hello(agents[i].lane[0], CALL_MS, f->packet, sizeof f->packet, &f->reply)));
        told += f->reply.status.remedy == REMEDY_PIN;
        if (f->reply.status.remedy == REMEDY_AGENT) /* that is allowed: it tried nothing */
            print_message("agent %d: %s\n", i, f->reply.status.text);
        else
            assert_int_equal(f->reply.status.remedy, REMEDY_PIN);
        agent_process_kill(&agents[i]);
    }
    assert_in_range(told, 1, AGENTS);
    expect_human(f, "not tried again");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
}

/* --- codes that say little --------------------------------------------------------------- */

static const char *const doubtful[] = {
    "5",        /* CKR_GENERAL_ERROR */
    "6",        /* CKR_FUNCTION_FAILED */
    "80000123", /* a vendor's */
    "7777",     /* nobody's */
    "200",      /* CKR_FUNCTION_REJECTED, where there is no keypad */
};

static void answer(struct fixture *f, const char *moment, const char *code)
{
    char action[32];
    (void)snprintf(action, sizeof action, "%s %s", moment, code);
    pin_spy_act(f, action);
}

static void doubtful_code_counts_for_a_pin_that_was_never_good(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof doubtful / sizeof *doubtful; i++) {
        pin_spy_use_pin(f, wrong);
        answer(f, "before", doubtful[i]); /* SoftHSM would count it */
        expect_human(f, "may mean a wrong PIN");
        for (int n = 0; n < 2; n++)
            expect_human(f, "not tried again");
        assert_int_equal(pin_spy_logins(f, wrong), i + 1);
        remove_record(f);
    }
}

static void doubtful_code_is_an_outage_for_a_pin_that_was_good(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
    for (size_t i = 0; i < sizeof doubtful / sizeof *doubtful; i++) {
        answer(f, "before", doubtful[i]);
        fixture_start(f, AGENT_SERVE);
        assert_int_not_equal(f->reply.status.code, ERR_NONE);
        assert_string_equal(record_state(f), "good");
    }
    pin_spy_act(f, NULL);
    fixture_up(f, AGENT_SERVE);
}

/* A command started beside the daemon has a credential of its own with the same PIN: the daemon's
 * stays one that was good. */
static void good_login_with_another_copy_proves_both(void **state)
{
    struct fixture *f = *state;
    char pin[PIN_SPY_MAX], daemons[PATH_MAX];
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
    fixture_stop(f);
    memcpy(daemons, f->config.pin_source, sizeof daemons);
    pin_spy_right_pin(f, pin);
    fixture_write(f, "copy", pin, 0600);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/copy", f->dir);
    fixture_up(f, AGENT_MAKE);
    fixture_stop(f);
    memcpy(f->config.pin_source, daemons, sizeof daemons);
    answer(f, "before", "6");
    for (int n = 0; n < 2; n++) {
        fixture_start(f, AGENT_SERVE);
        assert_int_not_equal(f->reply.status.code, ERR_NONE);
        assert_string_equal(record_state(f), "good");
    }
    pin_spy_act(f, NULL);
    fixture_up(f, AGENT_SERVE);
}

/* The same file was good once, but the token's PIN is another now. */
static void tokens_own_count_decides(void **state)
{
    struct fixture *f = *state;
    static const char *const change[] = {"--change-pin", "--new-pin", "87651234", NULL};
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
    fixture_stop(f);
    char spy[PATH_MAX]; /* a sanitizer's build of it fits no foreign tool */
    memcpy(spy, f->config.module, sizeof spy);
    (void)snprintf(f->config.module, sizeof f->config.module, "%s", getenv("P11KMS_PIN_MODULE"));
    fixture_pkcs11_tool(f, change);
    memcpy(f->config.module, spy, sizeof spy);
    answer(f, "after", "5");
    expect_human(f, "may mean a wrong PIN");
    expect_human(f, "not tried again");
}

static void outage_is_no_refusal(void **state)
{
    struct fixture *f = *state;
    static const char *const codes[] = {"30", "32", "e0", "b3"};
    pin_spy_use_right_pin(f);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        answer(f, "before", codes[i]);
        fixture_start(f, AGENT_SERVE);
        assert_int_equal(f->reply.status.code, ERR_UNAVAILABLE);
        assert_string_equal(record_state(f), "none");
    }
    pin_spy_act(f, NULL);
    fixture_up(f, AGENT_SERVE);
}

static void expired_pin_is_not_tried_again(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, wrong);
    answer(f, "before", "a3");
    expect_human(f, "not tried again");
    expect_human(f, "not tried again");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
}

/* --- what the token itself says ---------------------------------------------------------- */

static void locked_or_final_means_no_login(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_pin(f, wrong);
    pin_spy_flags(f, FINAL_TRY);
    expect_human(f, "locks at the next wrong PIN");
    pin_spy_flags(f, LOCKED);
    expect_human(f, "is locked");
    assert_int_equal(pin_spy_logins(f, wrong), 0);
}

/* Somebody else has burnt one: there is one left for us, not two. */
static void wrong_pin_of_somebody_else_counts(void **state)
{
    struct fixture *f = *state;
    pin_spy_flags(f, COUNT_LOW);
    pin_spy_use_pin(f, wrong);
    expect_human(f, "refused 2 PINs");
    pin_spy_use_pin(f, other);
    expect_human(f, "no other is tried");
    assert_int_equal(pin_spy_logins(f, wrong), 1);
    assert_int_equal(pin_spy_logins(f, other), 0);
    remove_record(f);
    pin_spy_use_right_pin(f);
    fixture_up(f, AGENT_SERVE);
}

/* --- without a record -------------------------------------------------------------------- */

static void no_state_directory_means_no_login(void **state)
{
    struct fixture *f = *state;
    pin_spy_use_right_pin(f);
    (void)snprintf(f->config.state_dir, sizeof f->config.state_dir, "%s/not-there", f->dir);
    expect_human(f, "no login is tried");
    assert_string_equal(record_state(f), "none");
}

/* EFBIG where a full disk says ENOSPC: no byte can be written. */
static void full_disk_means_no_login(void **state)
{
    struct fixture *f = *state;
    char script[PATH_MAX];
    pin_spy_use_right_pin(f);
    fixture_write(f, "agent", "#!/bin/sh\ntrap '' XFSZ\nulimit -f 0\nexec build/p11-kms-agent\n",
                  0700);
    fixture_path(f, "agent", script);
    assert_int_equal(setenv("P11KMS_AGENT", script, 1), 0);
    fixture_start(f, AGENT_SERVE);
    assert_int_equal(unsetenv("P11KMS_AGENT"), 0);
    assert_int_not_equal(f->reply.status.code, ERR_NONE);
    assert_int_equal(f->reply.status.ckr, 0);
    assert_non_null(strstr(f->reply.status.text, "no login is tried"));
    assert_string_equal(record_state(f), "none");
    fixture_up(f, AGENT_SERVE); /* there is room again */
}

/* --- PINs given at the token ------------------------------------------------------------- */

static void use_keypad(struct fixture *f, const char *entered)
{
    pin_spy_flags(f, PROTECTED);
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "protected");
    fixture_write(f, "keypad", entered, 0600);
}

static void keypad_logs_in(void **state)
{
    struct fixture *f = *state;
    struct key_id key;
    char pin[PIN_SPY_MAX];
    pin_spy_right_pin(f, pin);
    use_keypad(f, pin);
    fixture_make_key(f, 1, &key);
    assert_int_equal(pin_spy_logins(f, "NULL"), 2);
    assert_string_equal(record_state(f), "good");
}

static void keypad_needs_a_token_that_has_one(void **state)
{
    struct fixture *f = *state;
    use_keypad(f, wrong);
    pin_spy_flags(f, NULL);
    expect_human(f, "has no protected authentication path");
    assert_int_equal(pin_spy_logins(f, "NULL"), 0);
}

/* Nobody is called to the token a second time, whatever it said. */
static void person_at_the_keypad_is_asked_once(void **state)
{
    struct fixture *f = *state;
    static const char *const codes[] = {"a0", "50", "200", "5", "30", "80000001"};
    use_keypad(f, wrong);
    for (unsigned i = 0; i < sizeof codes / sizeof *codes; i++) {
        answer(f, "before", codes[i]);
        for (int n = 0; n < 3; n++)
            expect_human(f, "nobody is asked again");
        assert_int_equal(pin_spy_logins(f, "NULL"), i + 1);
        remove_record(f);
    }
    pin_spy_act(f, NULL);
    expect_human(f, "nobody is asked again");
}

static void keypad_is_asked_again_where_nobody_was(void **state)
{
    struct fixture *f = *state;
    use_keypad(f, wrong);
    for (unsigned i = 0; i < 2; i++) { /* CKR_TOKEN_NOT_PRESENT */
        answer(f, "before", "e0");
        fixture_start(f, AGENT_SERVE);
        assert_int_equal(f->reply.status.code, ERR_UNAVAILABLE);
        assert_int_equal(pin_spy_logins(f, "NULL"), i + 1);
    }
}

#define FRESH(test) cmocka_unit_test_setup_teardown(test, set_up, fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRESH(crash_inside_login_is_a_refusal),
        FRESH(crash_and_a_new_file_refuse_both),
        FRESH(crash_and_the_same_file_anew),
        FRESH(agent_finishes_its_login_first),
        FRESH(agent_outlives_whoever_started_it_in_a_login),
        FRESH(agent_without_a_login_ends_at_once),
        FRESH(agents_that_start_together_try_it_once),
        FRESH(doubtful_code_counts_for_a_pin_that_was_never_good),
        FRESH(doubtful_code_is_an_outage_for_a_pin_that_was_good),
        FRESH(good_login_with_another_copy_proves_both),
        FRESH(tokens_own_count_decides),
        FRESH(outage_is_no_refusal),
        FRESH(expired_pin_is_not_tried_again),
        FRESH(locked_or_final_means_no_login),
        FRESH(wrong_pin_of_somebody_else_counts),
        FRESH(no_state_directory_means_no_login),
        FRESH(full_disk_means_no_login),
        FRESH(keypad_logs_in),
        FRESH(keypad_needs_a_token_that_has_one),
        FRESH(person_at_the_keypad_is_asked_once),
        FRESH(keypad_is_asked_again_where_nobody_was),
    };
    (void)alarm(TEST_SECONDS); /* a gate that nobody opens */
    return FIXTURE_RUN("PIN in doubt", tests);
}
