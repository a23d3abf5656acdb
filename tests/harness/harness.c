/* SPDX-License-Identifier: Apache-2.0 */
#include "harness.h"

#include "io.h"
#include "text.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>

enum { RUN_MS = 60000, STOP_MS = 20000, CHILD_MS = 10000, FILE_MAX = 65536 };

static const char token_maker[] = "softhsm-fixtures/softhsm-token";
static const char token_label[] = "test";
static char log_path[HARNESS_PATH_MAX]; /* for the alarm */

/* execvp takes what it does not write to as char *. */
static char *plain(const char *text)
{
    return (char *)(uintptr_t)text;
}

void harness_path(const struct harness *h, const char *name, char ret[static HARNESS_PATH_MAX])
{
    (void)snprintf(ret, HARNESS_PATH_MAX, "%s/%s", h->dir, name);
}

/* --- files ------------------------------------------------------------------------------- */

void harness_write(const struct harness *h, const char *name, const char *text, mode_t mode)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, name, path);
    assert_false(err_is(file_replace(path, bytes_of_string(text), mode)));
}

const char *harness_read(const char *path, char *text, size_t size)
{
    size_t len = 0;
    if (err_is(file_read(path, text, size - 1, &len)))
        len = 0;
    text[len] = '\0';
    return text;
}

void harness_write_config(const struct harness *h)
{
    char text[4096], scheme[64] = "";
    const char *named = getenv("P11KMS_TEST_SCHEME");
    if (named)
        (void)snprintf(scheme, sizeof scheme, "  scheme: %s\n", named);
    int len = snprintf(text, sizeof text,
                       "apiVersion: p11-kms/v1\n"
                       "socket: unix://%s\n"
                       "adminSocket: unix://%s\n"
                       "stateDir: %s/state\n"
                       "allowUids: [%u]\n"
                       "%stoken:\n"
                       "  module: %s\n"
                       "  uri: \"%s\"\n"
                       "  pinSource: %s\n"
                       "%s%s%s%s",
                       h->socket, h->admin_socket, h->dir, (unsigned)geteuid(), h->config.top,
                       h->config.module, h->config.uri, h->config.pin_source, h->config.token,
                       h->config.ring[0] || named ? "ring:\n" : "", scheme, h->config.ring);
    assert_in_range(len, 1, sizeof text - 1);
    harness_write(h, "config.yaml", text, 0600);
}

/* --- token and ring ---------------------------------------------------------------------- */

static int make_token(const char *dir, const char *label)
{
    char maker[HARNESS_PATH_MAX];
    const char *srcdir = getenv("srcdir");
    (void)snprintf(maker, sizeof maker, "%s/%s", srcdir ? srcdir : ".", token_maker);
    char *const argv[] = {maker, plain(dir), plain(label), NULL};
    return process_run(argv, "/dev/stderr", RUN_MS);
}

void harness_add_token(const struct harness *h, const char *label)
{
    assert_int_equal(make_token(h->dir, label), 0);
}

static void read_module(struct harness *h)
{
    char path[HARNESS_PATH_MAX];
    harness_path(h, "module", path);
    (void)harness_read(path, h->config.module, sizeof h->config.module);
    h->config.module[strcspn(h->config.module, "\n")] = '\0';
    assert_int_equal(h->config.module[0], '/');
}

static void set_defaults(struct harness *h)
{
    char conf[HARNESS_PATH_MAX];
    harness_path(h, "config.yaml", h->config_path);
    harness_path(h, "kms.sock", h->socket);
    harness_path(h, "admin.sock", h->admin_socket);
    harness_path(h, "log", h->log);
    harness_path(h, "softhsm2.conf", conf);
    assert_int_equal(setenv("SOFTHSM2_CONF", conf, 1), 0);
    (void)snprintf(h->config.uri, sizeof h->config.uri, "pkcs11:token=%s", token_label);
    (void)snprintf(h->config.pin_source, sizeof h->config.pin_source, "file:%s/pin", h->dir);
    h->config.top = h->config.token = h->config.ring = "";
    (void)snprintf(log_path, sizeof log_path, "%s", h->log);
}

static void make_ring(const struct harness *h)
{
    char *const argv[] = {plain("build/p11-kms"), plain("init"), plain("--config"),
                          plain(h->config_path), NULL};
    if (process_run(argv, h->log, RUN_MS) != 0) {
        char text[FILE_MAX];
        fail_msg("p11-kms init failed: %s", harness_read(h->log, text, sizeof text));
    }
}

void harness_make_kek(const struct harness *h, const char *generation)
{
    char pin[HARNESS_PATH_MAX], state[HARNESS_PATH_MAX];
    harness_path(h, "pin", pin);
    harness_path(h, "state", state);
    char *const argv[] = {plain("tests/token/make-kek"),
                          plain("build/p11-kms-agent"),
                          plain(h->config.module),
                          plain(h->config.uri),
                          pin,
                          state,
                          plain("k8s"),
                          plain(generation),
                          plain("active"),
                          NULL};
    assert_int_equal(process_run(argv, h->log, RUN_MS), 0);
}

/* --- set-up and tear-down ---------------------------------------------------------------- */

int harness_setup(void **state)
{
    struct harness *h = calloc(1, sizeof *h);
    assert_non_null(h);
    *state = h;
    (void)snprintf(h->dir, sizeof h->dir, "/tmp/p11-kms-test.XXXXXX");
    assert_non_null(mkdtemp(h->dir));
    h->broom = process_remove_at_exit(h->dir);
    assert_true(h->broom >= 0);
    assert_int_equal(make_token(h->dir, token_label), 0);
    set_defaults(h);
    read_module(h);
    harness_write_config(h);
    make_ring(h);
    return 0;
}

/* Only calls that are async-signal-safe: the alarm uses it. */
static void show_log(void)
{
    char text[4096];
    AUTO_CLOSE int fd = open(log_path, O_RDONLY | O_CLOEXEC);
    ssize_t len;
    while (fd >= 0 && (len = read(fd, text, sizeof text)) > 0)
        if (write(STDERR_FILENO, text, (size_t)len) != len)
            return;
}

/* The daemon outlives a front end or an agent that a sanitizer ended: their words tell. */
static bool sanitizer_complained(void)
{
    char line[1024];
    bool complained = false;
    AUTO_FCLOSE FILE *log = fopen(log_path, "re");
    while (log && !complained && fgets(line, sizeof line, log))
        complained = strstr(line, "Sanitizer") || strstr(line, "runtime error:");
    return complained;
}

int harness_teardown(void **state)
{
    struct harness *h = *state;
    int code = 0;
    if (h->monitor > 0) {
        (void)kill(h->monitor, SIGTERM);
        code = process_wait(h->monitor, STOP_MS);
    }
    if (code != 0)
        print_error("the daemon's exit code is %d\n", code);
    if (code == 0 && sanitizer_complained())
        code = 1;
    if (!h->passed || code != 0)
        show_log();
    (void)close(h->broom);
    free(h);
    return code;
}

/* --- the daemon -------------------------------------------------------------------------- */

pid_t harness_spawn(const struct harness *h, const char *output)
{
    const char *daemon = slow_daemon() ? slow_daemon() : "build/p11-kmsd";
    char *const argv[] = {plain(daemon), plain("--config"), plain(h->config_path), NULL};
    pid_t pid = process_start(argv, output);
    assert_true(pid > 0);
    return pid;
}

struct kms_client *harness_client(const struct harness *h)
{
    const struct kms_client_options options = {.socket_path = h->socket};
    struct kms_client *client = NULL;
    assert_false(err_is(kms_client_open(&options, &client)));
    return client;
}

bool harness_status(const struct harness *h, struct kms_client_status *ret)
{
    const struct kms_client_options options = {.socket_path = h->socket};
    CLEANUP(kms_client_close_p) struct kms_client *client = NULL;
    struct kms_failure failure;
    return !err_is(kms_client_open(&options, &client)) &&
           !err_is(kms_client_status(client, KMS_API_V2, HARNESS_CALL_MS, ret, &failure));
}

static bool answers(void *context)
{
    struct kms_client_status status;
    return harness_status((const struct harness *)context, &status);
}

void harness_start(struct harness *h)
{
    h->monitor = harness_spawn(h, h->log);
    assert_true(await(answers, h, HARNESS_START_MS, NULL));
}

void harness_stop(struct harness *h)
{
    if (h->monitor == 0)
        return;
    (void)kill(h->monitor, SIGTERM);
    int code = process_wait(h->monitor, STOP_MS);
    h->monitor = 0;
    assert_int_equal(code, 0);
}

struct wanted_child {
    pid_t parent;
    const char *word;
    pid_t found;
};

static bool child_is_there(void *context)
{
    struct wanted_child *wanted = context;
    wanted->found = process_child(wanted->parent, wanted->word);
    return wanted->found != 0;
}

static pid_t await_child(const struct harness *h, const char *word)
{
    struct wanted_child wanted = {.parent = h->monitor, .word = word};
    assert_true(await(child_is_there, &wanted, CHILD_MS, NULL));
    return wanted.found;
}

pid_t harness_front_end(const struct harness *h)
{
    return await_child(h, "--front-end");
}

pid_t harness_agent(const struct harness *h)
{
    return await_child(h, "p11-kms-agent");
}

/* --- asking ------------------------------------------------------------------------------ */

struct wanted_health {
    const struct harness *h;
    const char *text;
    struct kms_client_status last;
};

static bool health_is(void *context)
{
    struct wanted_health *wanted = context;
    if (!harness_status(wanted->h, &wanted->last))
        return false;
    if (strcmp(wanted->text, "ok") == 0)
        return strcmp(wanted->last.healthz, "ok") == 0;
    return strstr(wanted->last.healthz, wanted->text) != NULL;
}

int64_t harness_await_health(const struct harness *h, const char *text, int timeout_ms)
{
    struct wanted_health wanted = {.h = h, .text = text};
    int64_t took = 0;
    if (!await(health_is, &wanted, timeout_ms, &took))
        fail_msg("Status does not say '%s' in %d ms but: %s", text, patience(timeout_ms),
                 wanted.last.healthz);
    return took;
}

void harness_round_trips(const struct harness *h)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    AUTO_SECRET struct secret *opened = NULL;
    const struct bytes dek = bytes_of_string("0123456789abcdef0123456789abcdef");
    struct kms_failure failure;
    assert_false(err_is(secret_new(512, &opened)));
    for (int v = 0; v < KMS_API_VERSIONS; v++) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        enum kms_api_version version = (enum kms_api_version)v;
        if (err_is(kms_client_encrypt(client, version, dek, HARNESS_CALL_MS, &sealed, &failure)) ||
            err_is(kms_client_decrypt(client, version, &sealed, HARNESS_CALL_MS, opened, &failure)))
            fail_msg("%s: %s: %s", kms_api_version_name(version), failure.name, failure.message);
        assert_true(bytes_equal(secret_bytes(opened), dek));
    }
}

/* Lines of /proc/net/unix that end with our path: the listening socket and each accepted one. */
static bool only_listens(void *context)
{
    const struct harness *h = context;
    char line[512];
    unsigned n = 0;
    AUTO_FCLOSE FILE *file = fopen("/proc/net/unix", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        line[strcspn(line, "\n")] = '\0';
        const char *path = strchr(line, '/');
        n += path && strcmp(path, h->socket) == 0;
    }
    return n == 1;
}

void harness_await_no_connections(struct harness *h)
{
    assert_true(await(only_listens, h, HARNESS_CALL_MS, NULL));
}

/* --- running ----------------------------------------------------------------------------- */

static void on_alarm(int signal)
{
    static const char text[] = "the test takes too long; the daemon's log:\n";
    (void)signal;
    if (write(STDERR_FILENO, text, sizeof text - 1) > 0)
        show_log();
    _exit(1);
}

static bool token_can_be_made(int *ret_code)
{
    char dir[] = "/tmp/p11-kms-test.XXXXXX";
    if (!mkdtemp(dir))
        return false;
    int broom = process_remove_at_exit(dir);
    *ret_code = make_token(dir, "here");
    (void)close(broom);
    return *ret_code == 0;
}

int harness_run(const char *suite, const struct CMUnitTest *tests, size_t n, unsigned seconds)
{
    bool locked;
    int code = 1;
    if (!token_can_be_made(&code)) {
        print_error("%s: exit code %d\n", token_maker, code);
        return code == HARNESS_SKIPPED ? HARNESS_SKIPPED : 1;
    }
    if (err_is(secret_init(1 << 18, &locked)))
        return 1;
    (void)signal(SIGALRM, on_alarm);
    (void)signal(SIGPIPE, SIG_IGN);
    if (slow_daemon())
        printf("%s RUNS %s, A SLOW DAEMON: EVERY LIMIT OF TIME IS %d TIMES AS WIDE\n", suite,
               slow_daemon(), patience(1));
    else if (beside_others())
        printf("%s RUNS BESIDE OTHER TESTS: EVERY LIMIT OF TIME IS %d TIMES AS WIDE\n", suite,
               patience(1));
    (void)alarm((unsigned)patience((int)seconds));
    return _cmocka_run_group_tests(suite, tests, n, NULL, NULL) == 0 ? 0 : 1;
}
