/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon and a login that takes its time: a token where somebody enters the PIN at a keypad,
 * and one that has logged us out. */
#include "async.h"
#include "faults.h"

#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>

enum { TEST_SECONDS = 150, SAYS_MS = 20000 };

#define PROTECTED_PATH "100"

/* pin_module.c of tests/token, with a keypad. */
static void use_keypad(struct harness *h, const char *entered)
{
    char *module = realpath("tests/token/pin-module.so", NULL), path[HARNESS_PATH_MAX];
    assert_non_null(module);
    assert_int_equal(setenv("P11KMS_PIN_MODULE", h->config.module, 1), 0);
    assert_int_equal(setenv("P11KMS_PIN_DIR", h->dir, 1), 0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
    (void)snprintf(h->config.pin_source, sizeof h->config.pin_source, "protected");
    harness_write(h, "flags", PROTECTED_PATH, 0600);
    harness_write(h, "keypad", entered, 0600);
    harness_path(h, "logins", path);
    (void)unlink(path);
    harness_write_config(h);
}

static const char *right_pin(const struct harness *h, char *pin, size_t size)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "pin", path);
    return harness_read(path, pin, size);
}

static unsigned times_asked(const struct harness *h)
{
    char path[HARNESS_PATH_MAX], text[4096];
    unsigned n = 0;
    harness_path(h, "logins", path);
    const char *at = harness_read(path, text, sizeof text);
    while ((at = strstr(at, "NULL\n"))) {
        at += 5;
        n++;
    }
    return n;
}

static void meet(const struct harness *h, const char *name, int flags)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, name, path);
    int fd = open(path, flags | O_CLOEXEC);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void make_gate(const struct harness *h)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "arrived", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    harness_path(h, "gate", path);
    assert_int_equal(mkfifo(path, 0600), 0);
    harness_write(h, "login", "before gate", 0600);
}

/* Status tells whoever should go to the token; nobody is asked twice, and once the PIN was entered
 * all is well. */
static void test_somebody_is_slow_at_the_keypad(void **state)
{
    struct harness *h = *state;
    char pin[64];
    use_keypad(h, right_pin(h, pin, sizeof pin));
    make_gate(h);
    harness_start(h);
    meet(h, "arrived", O_RDONLY);
    (void)harness_await_health(h, "C_Login has not returned", SAYS_MS);
    (void)harness_await_health(h, "C_Login has not returned for 6 s", SAYS_MS);
    meet(h, "gate", O_WRONLY);
    (void)harness_await_health(h, "ok", SAYS_MS);
    assert_int_equal(times_asked(h), 1);
    harness_round_trips(h);
    h->passed = true;
}

static void find_record(const struct harness *h, char path[static HARNESS_PATH_MAX])
{
    char pattern[HARNESS_PATH_MAX];
    glob_t found = {0};
    harness_path(h, "state/pin-*.record", pattern);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    (void)snprintf(path, HARNESS_PATH_MAX, "%s", found.gl_pathv[0]);
    globfree(&found);
}

static void remove_record(const struct harness *h)
{
    char path[HARNESS_PATH_MAX];
    find_record(h, path);
    assert_int_equal(unlink(path), 0);
}

/* As the manual says: remove the record, reload, enter the PIN. A reload alone asks nobody. */
static void test_refusal_at_the_keypad(void **state)
{
    struct harness *h = *state;
    char pin[64];
    use_keypad(h, "wrong-pin");
    harness_start(h);
    (void)harness_await_health(h, "nobody is asked again", SAYS_MS);
    harness_stop(h);
    harness_start(h);
    (void)harness_await_health(h, "nobody is asked again", SAYS_MS);
    assert_int_equal(times_asked(h), 1);
    harness_write(h, "keypad", right_pin(h, pin, sizeof pin), 0600);
    assert_int_equal(kill(h->monitor, SIGHUP), 0);
    remove_record(h);
    assert_int_equal(kill(h->monitor, SIGHUP), 0);
    (void)harness_await_health(h, "ok", SAYS_MS);
    assert_int_equal(times_asked(h), 2);
    harness_round_trips(h);
    h->passed = true;
}

/* --- a second login, which a request began --------------------------------------- */

/* What goes wrong for a token that has logged us out: the first Encrypt logs in again, and the
 * second one, beside it, finds a broken token. */
struct second_login {
    const char *timeout; /* token.timeout, in YAML */
    const char *hang;    /* C_Login */
    int call_ms;         /* how long who asks will wait */
    bool breaks;
};

static void write_script(const struct harness *h, const struct second_login *login)
{
    char lines[5 * HARNESS_PATH_MAX];
    int len = snprintf(lines, sizeof lines,
                       "on C_EncryptInit once %s/log-out log-out\n"
                       "on C_Login once %s/slow hang %s\n"
                       "on C_FindObjectsInit once %s/broken return CKR_DEVICE_ERROR\n",
                       h->dir, h->dir, login->hang, h->dir);
    assert_in_range(len, 1, sizeof lines - 1);
    faults_script(h, "calls", lines);
}

static void ignore(void *context, const struct async_answer *answer)
{
    (void)context;
    print_message("Encrypt: %s %s\n", async_code_name(answer->code), answer->text);
}

static void start_encrypt(struct async *async, int timeout_ms)
{
    uint8_t memory[WIRE_MESSAGE_MAX];
    struct writer w = writer_over(memory, sizeof memory);
    wire_put_encrypt(&w, KMS_API_V2, bytes_of_string("a DEK"));
    async_start(async, &(struct async_request){.version = KMS_API_V2,
                                               .method = WIRE_ENCRYPT,
                                               .message = writer_bytes(&w),
                                               .timeout_ms = timeout_ms,
                                               .done = ignore});
}

/* A daemon that is well, and then has an agent in its second C_Login. */
static struct async *begin_second_login(struct harness *h, const struct second_login *login)
{
    faults_use(h);
    h->config.token = login->timeout;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    assert_int_equal(faults_count(h, "C_Login"), 1);
    write_script(h, login);
    harness_write(h, "slow", "", 0600);
    harness_write(h, "log-out", "", 0600);
    struct async *async = async_open(h->socket, 1);
    assert_non_null(async);
    start_encrypt(async, login->call_ms);
    faults_await(h, "fault", 2, SAYS_MS);
    if (login->breaks) {
        harness_write(h, "broken", "", 0600);
        start_encrypt(async, login->call_ms);
    }
    return async;
}

/* No agent tries a PIN that counts as refused, so a third login shows that it does not. */
static void await_fresh_agent(struct harness *h, struct async *async)
{
    faults_await(h, "C_Login", 3, SAYS_MS);
    async_close(async);
    (void)harness_await_health(h, "ok", SAYS_MS);
    assert_int_equal(faults_count(h, "C_Login"), 3);
    harness_round_trips(h);
    h->passed = true;
}

static void test_login_outlasts_token_timeout(void **state)
{
    struct harness *h = *state;
    const struct second_login login = {
        .timeout = "  timeout: 1500ms\n", .hang = "4500ms", .call_ms = HARNESS_CALL_MS};
    await_fresh_agent(h, begin_second_login(h, &login));
}

static void test_login_while_another_lane_breaks(void **state)
{
    struct harness *h = *state;
    const struct second_login login = {
        .timeout = "", .hang = "1s", .call_ms = HARNESS_CALL_MS, .breaks = true};
    await_fresh_agent(h, begin_second_login(h, &login));
}

/* Nobody waits for an answer any more, so the front end ends at once; its agent has not been given
 * up by then. */
static void test_stopped_during_login(void **state)
{
    struct harness *h = *state;
    char path[HARNESS_PATH_MAX], text[1024], word[16];
    const struct second_login login = {
        .timeout = "  timeout: 8s\n", .hang = "4500ms", .call_ms = 2000};
    struct async *async = begin_second_login(h, &login);
    async_wait(async, 0);
    harness_stop(h);
    async_close(async);
    find_record(h, path);
    assert_int_equal(sscanf(harness_read(path, text, sizeof text), "%*s %15s", word), 1);
    assert_string_equal(word, "good");
    harness_start(h);
    await_fresh_agent(h, NULL);
}

int main(void)
{
#define LOGIN(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        LOGIN(test_somebody_is_slow_at_the_keypad), LOGIN(test_refusal_at_the_keypad),
        LOGIN(test_login_outlasts_token_timeout),   LOGIN(test_login_while_another_lane_breaks),
        LOGIN(test_stopped_during_login),
    };
    return HARNESS_RUN("logins that take their time", tests, TEST_SECONDS);
}
