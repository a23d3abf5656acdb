/* SPDX-License-Identifier: Apache-2.0 */
/* A token that shows an agent nothing that other processes have made or changed since its start:
 * what another replica does is seen all the same, and no request is lost for it. */
#include "faults.h"

#include "load.h"

#include <signal.h>
#include <string.h>

enum { TEST_SECONDS = 150, RUN_MS = 30000, SEEN_MS = 10000, GONE_MS = 5000, DEK_LEN = 32 };

static const char known[] = "tpm2-software.github.io"; /* has a row in src/format/quirks.c */
static const char often[] = "  rotateEvery: never\n  activationDelay: 1s\n  rescanEvery: 1s\n";
static const char rarely[] = "  rotateEvery: never\n  activationDelay: 1h\n  rescanEvery: 1h\n";

static char *plain(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* name NULL: nothing is known of such a token. */
static void use_aging_module(struct harness *h, const char *name, const char *ring)
{
    char *module = realpath("tests/fault/aging-module.so", NULL);
    assert_non_null(module);
    assert_int_equal(setenv("P11KMS_AGING_MODULE", h->config.module, 1), 0);
    assert_int_equal(name ? setenv("P11KMS_AGING_NAME", name, 1) : unsetenv("P11KMS_AGING_NAME"),
                     0);
    (void)snprintf(h->config.module, sizeof h->config.module, "%s", module);
    free(module);
    h->config.token = "  sessions: 2\n";
    h->config.ring = ring;
    harness_write_config(h);
}

/* Another daemon on the same token, as on another host; the log is the same. */
static void start_replica(const struct harness *h, struct harness *ret)
{
    char text[4096];
    *ret = *h;
    harness_path(h, "other.yaml", ret->config_path);
    harness_path(h, "other.sock", ret->socket);
    harness_path(h, "other-admin.sock", ret->admin_socket);
    (void)snprintf(text, sizeof text,
                   "apiVersion: p11-kms/v1\nsocket: unix://%s\nadminSocket: unix://%s\n"
                   "stateDir: %s/other\nallowUids: [%d]\n"
                   "token: {module: %s, uri: \"%s\", pinSource: \"%s\"}\nring:\n%s",
                   ret->socket, ret->admin_socket, h->dir, (int)getuid(), h->config.module,
                   h->config.uri, h->config.pin_source, often);
    harness_write(h, "other.yaml", text, 0600);
    ret->monitor = harness_spawn(ret, ret->log);
    (void)harness_await_health(ret, "ok", HARNESS_START_MS);
}

static void stop_replica(struct harness *other)
{
    assert_int_equal(kill(other->monitor, SIGTERM), 0);
    assert_int_equal(process_wait(other->monitor, RUN_MS), 0);
}

static void rotate(const struct harness *h)
{
    char *const argv[] = {plain("build/p11-kms"), plain("keys"),         plain("rotate"),
                          plain("--config"),      plain(h->config_path), NULL};
    assert_int_equal(process_run(argv, h->log, RUN_MS), 0);
}

static void key_id_of(const struct harness *h, char ret[static KMS_CLIENT_KEY_ID_MAX + 1])
{
    struct kms_client_status status;
    assert_true(harness_status(h, &status));
    memcpy(ret, status.key_id, sizeof status.key_id);
}

struct wanted_key {
    const struct harness *h;
    const char *key_id;
    bool other; /* any but that one */
};

static bool names_key(void *context)
{
    const struct wanted_key *wanted = context;
    struct kms_client_status status;
    return harness_status(wanted->h, &status) && strcmp(status.healthz, "ok") == 0 &&
           (strcmp(status.key_id, wanted->key_id) == 0) != wanted->other;
}

/* Waits until another KEK than `before` seals, and yields it. */
static void await_another(const struct harness *h, const char *before,
                          char ret[static KMS_CLIENT_KEY_ID_MAX + 1])
{
    struct wanted_key wanted = {h, before, true};
    assert_true(await(names_key, &wanted, SEEN_MS, NULL));
    key_id_of(h, ret);
}

static void await_key(const struct harness *h, const char *key_id)
{
    struct wanted_key wanted = {h, key_id, false};
    assert_true(await(names_key, &wanted, SEEN_MS, NULL));
}

static void assert_nothing_lost(const struct load_figures *load)
{
    assert_true(load->calls > 0);
    assert_int_equal(load->wrong, 0);
    assert_int_equal(load->by_code[GRPC_STATUS_OK], load->calls);
}

static bool is_gone(void *context)
{
    const pid_t *pid = context;
    return !process_alive(*pid);
}

static void test_what_another_replica_makes_is_seen_each_rescan(void **state)
{
    struct harness *h = *state, other;
    char first[KMS_CLIENT_KEY_ID_MAX + 1], second[KMS_CLIENT_KEY_ID_MAX + 1];
    struct load_figures figures;
    use_aging_module(h, known, often);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    start_replica(h, &other);
    pid_t agent = harness_agent(h);
    key_id_of(h, first);
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    rotate(&other);
    await_another(&other, first, second);
    await_key(h, second);
    assert_true(await(is_gone, &agent, GONE_MS, NULL)); /* it had its heir */
    assert_true(load_await_ok(load, 200, RUN_MS));
    load_stop(load, &figures);
    assert_nothing_lost(&figures);
    stop_replica(&other);
    h->passed = true;
}

static const uint8_t dek[DEK_LEN] = "the data encryption key sealed.";

static void seal_elsewhere(const struct harness *other, const char *key_id, struct kms_sealed *ret)
{
    struct kms_failure failure;
    CLEANUP(kms_client_close_p) struct kms_client *elsewhere = harness_client(other);
    assert_false(err_is(kms_client_encrypt(elsewhere, KMS_API_V2, bytes_of(dek, DEK_LEN),
                                           HARNESS_CALL_MS, ret, &failure)));
    assert_string_equal(ret->key_id, key_id);
}

static void open_here(const struct harness *h, const struct kms_sealed *sealed)
{
    struct kms_failure failure;
    AUTO_SECRET struct secret *opened = NULL;
    assert_false(err_is(secret_new(DEK_LEN * 2, &opened)));
    CLEANUP(kms_client_close_p) struct kms_client *here = harness_client(h);
    struct err e = kms_client_decrypt(here, KMS_API_V2, sealed, HARNESS_CALL_MS, opened, &failure);
    if (err_is(e))
        fail_msg("Decrypt: %s %s", failure.name, failure.message);
    assert_true(bytes_equal(secret_bytes(opened), bytes_of(dek, DEK_LEN)));
}

/* A KEK that seals elsewhere before the next rescan: the first Decrypt finds it. */
static void test_a_decrypt_of_what_it_has_not_seen(void **state)
{
    struct harness *h = *state, other;
    char first[KMS_CLIENT_KEY_ID_MAX + 1], second[KMS_CLIENT_KEY_ID_MAX + 1];
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    use_aging_module(h, known, rarely);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    start_replica(h, &other);
    key_id_of(h, first);
    rotate(&other);
    await_another(&other, first, second);
    seal_elsewhere(&other, second, &sealed);
    open_here(h, &sealed);
    stop_replica(&other);
    h->passed = true;
}

/* Killed in its first look, with its place taken already: the next one finds what it was to find,
 * and the agent before it goes only then. */
static void test_an_heir_dies_in_its_first_look(void **state)
{
    struct harness *h = *state, other;
    char first[KMS_CLIENT_KEY_ID_MAX + 1], second[KMS_CLIENT_KEY_ID_MAX + 1];
    faults_use(h);
    use_aging_module(h, known, rarely);
    h->config.token = "  sessions: 2\n  probeEvery: 1h\n";
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    pid_t agent = harness_agent(h);
    start_replica(h, &other);
    key_id_of(h, first);
    rotate(&other);
    await_another(&other, first, second);
    CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
    seal_elsewhere(&other, second, &sealed);
    stop_replica(&other);
    faults_once(h, "C_EncryptInit", "kill"); /* of a canary */
    open_here(h, &sealed);
    assert_int_equal(faults_count(h, "fault"), 1);
    await_key(h, second);
    assert_true(await(is_gone, &agent, GONE_MS, NULL));
    h->passed = true;
}

static bool log_says(void *context)
{
    const struct harness *h = context;
    static char text[1 << 20];
    return strstr(harness_read(h->log, text, sizeof text), "does not see what others change");
}

/* An agent that was started meanwhile, on a busy machine, sees the new KEK by itself. */
static void rotate_until_found_out(struct harness *h, char first[], char second[])
{
    for (;;) {
        pid_t agent = harness_agent(h);
        rotate(h);
        await_another(h, first, second);
        if (log_says(h))
            return;
        assert_int_not_equal(harness_agent(h), agent);
        memcpy(first, second, KMS_CLIENT_KEY_ID_MAX + 1);
    }
}

/* Nothing is known of the token: its own rotation shows it how it is. */
static void test_an_unknown_token_is_found_out(void **state)
{
    struct harness *h = *state, other;
    char first[KMS_CLIENT_KEY_ID_MAX + 1], second[KMS_CLIENT_KEY_ID_MAX + 1];
    char third[KMS_CLIENT_KEY_ID_MAX + 1];
    struct load_figures figures;
    use_aging_module(h, NULL, often);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    key_id_of(h, first);
    struct load *load = load_start(h->socket);
    assert_non_null(load);
    rotate_until_found_out(h, first, second);
    start_replica(h, &other);
    rotate(&other);
    await_another(&other, second, third);
    await_key(h, third);
    assert_true(load_await_ok(load, 200, RUN_MS));
    load_stop(load, &figures);
    assert_nothing_lost(&figures);
    stop_replica(&other);
    h->passed = true;
}

int main(void)
{
#define AGING(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        AGING(test_what_another_replica_makes_is_seen_each_rescan),
        AGING(test_a_decrypt_of_what_it_has_not_seen),
        AGING(test_an_heir_dies_in_its_first_look),
        AGING(test_an_unknown_token_is_found_out),
    };
    return HARNESS_RUN("agents that do not see what others do", tests, TEST_SECONDS);
}
