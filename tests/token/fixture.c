/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "cleanup.h"
#include "io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

const struct token_row token_rows[] = {
    {"softhsm", "softhsm-fixtures/softhsm-token"},
};
const size_t token_rows_count = sizeof token_rows / sizeof *token_rows;

const struct scheme_row fixture_schemes[] = {
    {SCHEME_AES_GCM, "AES:32", "AES:16", "GENERIC:32", 12 + 16, 0},
    {SCHEME_HMAC_DERIVE, "GENERIC:32", "GENERIC:16", "AES:32", 32 + 16, 0},
    {SCHEME_AES_CBC_HMAC, NULL, NULL, NULL, 16 + 32, 16},
};

static const struct token_row *row = token_rows;
static const struct scheme_row *scheme_row = fixture_schemes;

/* Runs a program to its end; its exit code. */
static int run(char *const argv[])
{
    pid_t pid = fork();
    int status;
    if (pid == 0) {
        (void)execvp(argv[0], argv);
        _exit(127);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

static int make_token(const char *dir, const char *label)
{
    char maker[PATH_MAX];
    const char *srcdir = getenv("srcdir");
    (void)snprintf(maker, sizeof maker, "%s/%s", srcdir ? srcdir : ".", row->maker);
    char *argv[] = {maker, (char *)(uintptr_t)dir, (char *)(uintptr_t)label, NULL};
    return run(argv);
}

static void remove_tree(char *dir)
{
    char *argv[] = {(char[]){"rm"}, (char[]){"-rf"}, (char[]){"--"}, dir, NULL};
    (void)run(argv);
}

void fixture_path(const struct fixture *f, const char *name, char ret[static PATH_MAX])
{
    (void)snprintf(ret, PATH_MAX, "%s/%s", f->dir, name);
}

void fixture_write(const struct fixture *f, const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    fixture_path(f, name, path);
    assert_false(err_is(file_replace(path, bytes_of_string(text), mode)));
}

static void read_line_of(const char *dir, const char *name, char *ret, size_t size)
{
    char path[PATH_MAX];
    size_t len = 0;
    assert_false(err_is(path_join(dir, name, path, sizeof path)));
    assert_false(err_is(file_read(path, ret, size - 1, &len)));
    ret[len] = '\0';
    ret[strcspn(ret, "\n")] = '\0';
}

/* One line of a file that the maker left. */
static void read_line(const struct fixture *f, const char *name, char *ret, size_t size)
{
    read_line_of(f->dir, name, ret, size);
}

static void take_environment(const struct fixture *f)
{
    char line[PATH_MAX];
    read_line(f, "env", line, sizeof line);
    char *value = strchr(line, '=');
    assert_non_null(value);
    *value = '\0';
    assert_int_equal(setenv(line, value + 1, 1), 0);
}

static bool is_there(const char *dir, const char *name)
{
    char path[PATH_MAX];
    return !err_is(path_join(dir, name, path, sizeof path)) && access(path, F_OK) == 0;
}

static void configure(struct fixture *f)
{
    f->config = (struct agent_config){.lanes = 2, .uri = "pkcs11:token=test", .ring = "k8s"};
    (void)snprintf(f->config.pin_source, sizeof f->config.pin_source, "file:%s/pin", f->dir);
    fixture_path(f, "state", f->config.state_dir);
    assert_int_equal(mkdir(f->config.state_dir, 0700), 0);
    f->agent.pid = -1;
    f->scheme = scheme_row;
}

int fixture_setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/p11-kms-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    if (make_token(f->dir, "test") != 0) { /* cmocka calls no tear-down after a failed set-up */
        remove_tree(f->dir);
        free(f);
        return -1;
    }
    take_environment(f);
    configure(f);
    read_line(f, "module", f->config.module, sizeof f->config.module);
    *state = f;
    return 0;
}

struct fixture *fixture_beside(void)
{
    char pin[64];
    const char *token = getenv("TOKEN_DIR");
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(token);
    assert_non_null(f);
    (void)snprintf(f->dir, sizeof f->dir, "/tmp/p11-kms-test.XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    configure(f);
    read_line_of(token, "module", f->config.module, sizeof f->config.module);
    read_line_of(token, "uri", f->config.uri, sizeof f->config.uri);
    read_line_of(token, "pin", pin, sizeof pin - 1);
    (void)strcat(pin, "\n");
    fixture_write(f, "pin", pin, 0600);
    if (is_there(token, "pin-source"))
        read_line_of(token, "pin-source", f->config.pin_source, sizeof f->config.pin_source);
    return f;
}

int fixture_teardown(void **state)
{
    struct fixture *f = *state;
    fixture_stop(f);
    remove_tree(f->dir);
    free(f);
    return 0;
}

void fixture_add_token(struct fixture *f, const char *label)
{
    assert_int_equal(make_token(f->dir, label), 0);
}

void fixture_start(struct fixture *f, enum agent_role role)
{
    const char *path = getenv("P11KMS_AGENT");
    fixture_stop(f);
    f->config.role = role;
    assert_false(
        err_is(agent_process_start(path ? path : "build/p11-kms-agent", &f->config, &f->agent)));
    assert_false(
        err_is(lane_hello(f->agent.lane[0], CALL_MS, f->packet, sizeof f->packet, &f->reply)));
}

void fixture_stop(struct fixture *f)
{
    agent_process_kill(&f->agent);
}

void fixture_up(struct fixture *f, enum agent_role role)
{
    fixture_start(f, role);
    if (f->reply.status.code != ERR_NONE)
        fail_msg("%s", f->reply.status.text);
}

enum err_code fixture_call_on(struct fixture *f, uint32_t lane, struct lane_request *request)
{
    request->number = ++f->number;
    assert_false(err_is(
        lane_call(f->agent.lane[lane], request, CALL_MS, f->packet, sizeof f->packet, &f->reply)));
    return f->reply.status.code;
}

enum err_code fixture_call(struct fixture *f, struct lane_request *request)
{
    return fixture_call_on(f, f->agent.lanes - 1, request);
}

void fixture_make_key(struct fixture *f, uint32_t generation, struct key_id *ret)
{
    struct lane_request request = {.op = LANE_GENERATE};
    request.u.generate.label =
        (struct key_label){"k8s", generation, f->scheme->scheme, 0, KEY_ACTIVE};
    fixture_up(f, AGENT_MAKE);
    assert_int_equal(fixture_call(f, &request), ERR_NONE);
    assert_false(err_is(key_id_make("k8s", &f->reply.u.made, ret)));
    fixture_up(f, AGENT_SERVE);
}

enum err_code fixture_seal_by(struct fixture *f, enum scheme scheme, enum family family,
                              const struct key_id *key, struct bytes plaintext, uint8_t *ret,
                              size_t *ret_len)
{
    struct lane_request request = {.op = LANE_SEAL};
    request.u.seal.family = family;
    request.u.seal.scheme = scheme;
    request.u.seal.verify = true;
    request.u.seal.key_id = *key;
    request.u.seal.plaintext = plaintext;
    if (fixture_call(f, &request) == ERR_NONE) {
        memcpy(ret, f->reply.u.envelope.data, f->reply.u.envelope.len);
        *ret_len = f->reply.u.envelope.len;
    }
    return f->reply.status.code;
}

enum err_code fixture_seal(struct fixture *f, enum family family, const struct key_id *key,
                           struct bytes plaintext, uint8_t *ret, size_t *ret_len)
{
    return fixture_seal_by(f, f->scheme->scheme, family, key, plaintext, ret, ret_len);
}

enum err_code fixture_open(struct fixture *f, enum family family, struct bytes envelope)
{
    struct lane_request request = {.op = LANE_OPEN};
    request.u.open.family = family;
    request.u.open.verify = true;
    request.u.open.envelope = envelope;
    return fixture_call(f, &request);
}

uint32_t fixture_objects(const struct fixture *f, uint32_t keks)
{
    return keks * (uint32_t)scheme_roles(f->scheme->scheme);
}

const char *fixture_label(const struct fixture *f, uint32_t generation, size_t role,
                          enum key_state state)
{
    static char text[KEY_LABEL_MAX + 1];
    const struct key_label label = {"k8s", generation, f->scheme->scheme, (uint32_t)role, state};
    assert_false(err_is(key_label_format(&label, text)));
    return text;
}

void fixture_external(struct fixture *f, const char *select, uint32_t waive)
{
    f->config.external = true;
    f->config.waive = waive;
    (void)snprintf(f->config.select, sizeof f->config.select, "%s", select);
}

void fixture_fault(struct fixture *f, const char *rule)
{
    char path[PATH_MAX], text[PATH_MAX + 256];
    read_line(f, "module", f->config.module, sizeof f->config.module);
    if (!rule)
        return;
    (void)snprintf(text, sizeof text, "module %s\non %s\n", f->config.module, rule);
    fixture_write(f, "script", text, 0600);
    fixture_path(f, "script", path);
    assert_int_equal(setenv("FAULTP11_SCRIPT", path, 1), 0);
    char *module = realpath("build/faultp11.so", NULL);
    assert_non_null(module);
    (void)snprintf(f->config.module, sizeof f->config.module, "%s", module);
    free(module);
}

void fixture_pkcs11_tool(struct fixture *f, const char *const *words)
{
    char pin[64];
    const char *argv[32] = {"pkcs11-tool", "--module", f->config.module, "--token-label",
                            "test",        "--login",  "--pin",          "env:PIN"};
    size_t n = 8;
    read_line(f, "pin", pin, sizeof pin);
    assert_int_equal(setenv("PIN", pin, 1), 0);
    while (*words && n < 30)
        argv[n++] = *words++;
    assert_int_equal(run((char **)(uintptr_t)argv), 0);
    assert_int_equal(unsetenv("PIN"), 0);
}

/* On every token that is here. */
static int run_tokens(const char *suite, const char *with, const struct CMUnitTest *tests,
                      size_t count)
{
    int failed = 0, ran = 0;
    for (size_t i = 0; i < token_rows_count; i++) {
        char dir[] = "/tmp/p11-kms-test.XXXXXX";
        char name[96];
        row = &token_rows[i];
        if (!mkdtemp(dir))
            return 1;
        int made = make_token(dir, "here");
        remove_tree(dir);
        if (made == SKIPPED)
            continue;
        (void)snprintf(name, sizeof name, "%s on %s%s", suite, row->name, with);
        ran++;
        failed += _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    }
    return ran == 0 ? SKIPPED : failed != 0;
}

int fixture_run(const char *suite, const struct CMUnitTest *tests, size_t count)
{
    return run_tokens(suite, "", tests, count);
}

int fixture_run_schemes(const char *suite, bool external, const struct CMUnitTest *tests,
                        size_t count)
{
    int worst = 0;
    for (size_t i = 0; i < sizeof fixture_schemes / sizeof *fixture_schemes; i++) {
        char with[32];
        if (external && !fixture_schemes[i].tool_type)
            continue;
        scheme_row = &fixture_schemes[i];
        (void)snprintf(with, sizeof with, " with %s", scheme_name(scheme_row->scheme));
        int result = run_tokens(suite, with, tests, count);
        worst = worst == 0 || result == 1 ? result : worst;
    }
    return worst;
}
