/* SPDX-License-Identifier: Apache-2.0 */
/* p11-kms keys destroy beside the real daemon: what it refuses, what it leaves alone, and what a
 * crash in the middle leaves behind. */
#include "faults.h"

#include "envelope.h"
#include "fixture.h"
#include "ring_objects.h"

#include <grpc/status.h>
#include <inttypes.h>
#include <pty.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { TEST_SECONDS = 120, RUN_MS = 60000, OK_MS = 20000 };

/* Made in 2023: generation 2 is superseded, 3 is active, and generation 1 is init's, of today. */
static const char old_raw[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x01";
static const char new_raw[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x02";
static const char old_kek[] = "k8s.01890101-0101-7101-8101-010101010101";
static const char new_kek[] = "k8s.01890101-0101-7101-8101-010101010102";

static const struct scheme_row *scheme = fixture_schemes; /* of this test's KEKs */
static char output[8192];

static void make_kek(const struct harness *h, const char *raw, uint32_t generation,
                     enum key_state state)
{
    struct fixture f = {.scheme = scheme, .agent = {.pid = -1}};
    const struct odd_key key = {.id = raw, .label = fixture_label(&f, generation, 0, state)};
    (void)snprintf(f.dir, sizeof f.dir, "%s", h->dir);
    (void)snprintf(f.config.module, sizeof f.config.module, "%s", h->config.module);
    fixture_make_odd_key(&f, &key);
}

static int set_up_ring(void **state)
{
    int failed = harness_setup(state);
    struct harness *h = *state;
    if (failed)
        return failed;
    make_kek(h, old_raw, 2, KEY_DEACTIVATED);
    make_kek(h, new_raw, 3, KEY_ACTIVE);
    h->config.ring = "  rotateEvery: never\n";
    harness_write_config(h);
    return 0;
}

static int set_up(void **state)
{
    scheme = fixture_schemes;
    return set_up_ring(state);
}

/* KEKs of two objects. */
static int set_up_two(void **state)
{
    for (scheme = fixture_schemes; scheme->scheme != SCHEME_AES_CBC_HMAC;)
        scheme++;
    return set_up_ring(state);
}

/* How many objects the token has of the old KEK. */
static size_t old_objects(const struct harness *h)
{
    return ring_objects_labelled(h, "p11-kms/k8s/2/");
}

/* Runs `p11-kms keys destroy` with these words; the exit code. output holds what it said. */
static int destroy(const struct harness *h, const char *const *words)
{
    char path[HARNESS_PATH_MAX];
    char *argv[16] = {(char[]){"build/p11-kms"}, (char[]){"keys"}, (char[]){"destroy"},
                      (char[]){"--config"}, (char *)(uintptr_t)h->config_path};
    for (size_t i = 0; words[i]; i++)
        argv[5 + i] = (char *)(uintptr_t)words[i];
    harness_path(h, "output", path);
    (void)unlink(path);
    int code = process_run(argv, path, RUN_MS);
    (void)harness_read(path, output, sizeof output);
    return code;
}

#define DESTROY(h, ...) destroy(h, (const char *const[]){__VA_ARGS__, NULL})

/* As an operator runs it who has thought of everything. */
static int destroy_kek(const struct harness *h, const char *key_id)
{
    return DESTROY(h, key_id, "--unreferenced-checked-by-me", "--confirm", key_id, "--json");
}

static void assert_said(const char *part)
{
    if (!strstr(output, part))
        fail_msg("\"%s\" is not in: %s", part, output);
}

static void state_path(const struct harness *h, const char *folder, const char *key_id,
                       char ret[static HARNESS_PATH_MAX])
{
    char name[128];
    (void)snprintf(name, sizeof name, "state/%s/%s", folder, key_id);
    harness_path(h, name, ret);
}

static bool exists(const struct harness *h, const char *folder, const char *key_id)
{
    char path[HARNESS_PATH_MAX];
    state_path(h, folder, key_id, path);
    return access(path, F_OK) == 0;
}

/* As if the daemon had seen it out of use for so many days. */
static void backdate(const struct harness *h, const char *folder, const char *key_id, int days)
{
    char name[128], text[32], path[HARNESS_PATH_MAX];
    (void)snprintf(name, sizeof name, "state/%s", folder);
    harness_path(h, name, path);
    assert_true(mkdir(path, 0700) == 0 || access(path, W_OK) == 0);
    (void)snprintf(name, sizeof name, "state/%s/%s", folder, key_id);
    (void)snprintf(text, sizeof text, "%" PRId64 "\n",
                   ((int64_t)time(NULL) - (int64_t)days * 86400) * 1000);
    harness_write(h, name, text, 0600);
}

static void start_well(struct harness *h)
{
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
}

struct noted {
    const struct harness *h;
    const char *key_id;
};

static bool is_noted(void *context)
{
    const struct noted *noted = context;
    return exists(noted->h, "deactivated", noted->key_id);
}

/* Decrypts something that names the old KEK; gRPC's code. */
static int decrypt_code(const struct harness *h)
{
    CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
    AUTO_SECRET struct secret *plaintext = NULL;
    uint8_t raw[ENVELOPE_MAX] = {0};
    struct kms_sealed sealed = {.n_annotations = 0};
    struct kms_failure failure = {.code = 0};
    struct key_id key_id;
    struct writer w = writer_over(raw, sizeof raw);
    (void)snprintf(key_id.text, sizeof key_id.text, "%s", old_kek);
    (void)snprintf(sealed.key_id, sizeof sealed.key_id, "%s", old_kek);
    envelope_put_header(&w, SCHEME_AES_GCM, FAMILY_V2, &key_id);
    sealed.ciphertext = bytes_of(raw, w.len + 60);
    assert_false(err_is(secret_new(PLAINTEXT_MAX, &plaintext)));
    assert_true(err_is(
        kms_client_decrypt(client, KMS_API_V2, &sealed, HARNESS_CALL_MS, plaintext, &failure)));
    return failure.code;
}

/* A KEK out of use, once the daemon has written that down: it has looked at the ring since. */
static void make_and_await(const struct harness *h, const char *raw, const char *key_id)
{
    struct noted noted = {h, key_id};
    make_kek(h, raw, 1, KEY_DEACTIVATED);
    assert_true(await(is_noted, &noted, OK_MS, NULL));
}

/* The second look begins when the first has ended. */
static void await_a_whole_look(const struct harness *h)
{
    static const char first[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x11";
    static const char second[] = "\x01\x89\x01\x01\x01\x01\x71\x01\x81\x01\x01\x01\x01\x01\x01\x12";
    make_and_await(h, first, "k8s.01890101-0101-7101-8101-010101010111");
    make_and_await(h, second, "k8s.01890101-0101-7101-8101-010101010112");
}

static void test_a_kek_is_destroyed_beside_the_daemon(void **state)
{
    struct harness *h = *state;
    char log[32768];
    h->config.ring = "  rotateEvery: never\n  rescanEvery: 1s\n  activationDelay: 1s\n";
    harness_write_config(h);
    backdate(h, "canaries", old_kek, 0); /* torn, but the daemon knows the KEK */
    start_well(h);
    struct noted noted = {h, old_kek};
    assert_true(await(is_noted, &noted, OK_MS, NULL)); /* the daemon wrote down since when */
    pid_t agent = harness_agent(h);
    assert_int_equal(destroy_kek(h, old_kek), 6);
    assert_said("less than seven days");
    backdate(h, "deactivated", old_kek, 8);
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("{\"result\": \"destroyed\", \"key_id\": \"k8s.01890101-0101-7101-8101-0101010101");
    assert_said("\"active\": \"k8s.01890101-0101-7101-8101-010101010102\"");
    assert_said("\"daemon_restart_needed\": false");
    assert_false(exists(h, "deactivated", old_kek));
    assert_true(exists(h, "destroyed", old_kek));
    await_a_whole_look(h);
    assert_int_equal(decrypt_code(h), GRPC_STATUS_NOT_FOUND);
    (void)harness_await_health(h, "ok", OK_MS);
    harness_round_trips(h);
    assert_int_equal(harness_agent(h), agent);
    assert_null(strstr(harness_read(h->log, log, sizeof log), "not on the token any more"));
    harness_stop(h); /* the next look misses nothing */
    start_well(h);
    harness_round_trips(h);
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("already gone");
    h->passed = true;
}

static void test_what_is_refused(void **state)
{
    struct harness *h = *state;
    char empty[] = "";
    backdate(h, "deactivated", old_kek, 8);
    backdate(h, "deactivated", new_kek, 8);
    assert_int_equal(DESTROY(h, old_kek, "--confirm", old_kek), 6);
    assert_said("--unreferenced-checked-by-me");
    assert_int_equal(DESTROY(h, old_kek, "--unreferenced-checked-by-me", "--confirm", new_kek), 6);
    assert_int_equal(DESTROY(h, old_kek, "--unreferenced-checked-by-me"), 2); /* no terminal */
    assert_int_equal(destroy(h, (const char *const[]){NULL}), 2);
    assert_int_equal(destroy_kek(h, empty), 2);
    assert_int_equal(destroy_kek(h, "other.01890101-0101-7101-8101-010101010101"), 2);
    assert_int_equal(destroy_kek(h, new_kek), 6);
    assert_said("is active");
    assert_int_equal(destroy_kek(h, "k8s.01890101-0101-7101-8101-0101010101ff"), 1);
    assert_said("did not destroy it");
    backdate(h, "deactivated", old_kek, -1);
    assert_int_equal(destroy_kek(h, old_kek), 6);
    assert_said("set the clock");
    start_well(h); /* nothing of all that has hurt */
    harness_round_trips(h);
    backdate(h, "deactivated", old_kek, 8);
    assert_int_equal(destroy_kek(h, old_kek), 0);
    h->passed = true;
}

/* On a terminal, where the key_id is typed. */
static int destroy_typing(const struct harness *h, const char *typed)
{
    int terminal;
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    if (pid == 0) {
        (void)execl("build/p11-kms", "build/p11-kms", "keys", "destroy", old_kek, "--config",
                    h->config_path, "--unreferenced-checked-by-me", (char *)NULL);
        _exit(127);
    }
    assert_true(pid > 0);
    assert_int_equal(write(terminal, typed, strlen(typed)), strlen(typed));
    int code = process_wait(pid, RUN_MS);
    (void)close(terminal);
    return code;
}

static void test_the_key_id_is_typed(void **state)
{
    struct harness *h = *state;
    char typed[128];
    backdate(h, "deactivated", old_kek, 8);
    assert_int_equal(destroy_typing(h, "yes\n"), 6);
    assert_int_equal(destroy_typing(h, "\004"), 6); /* the end of what is typed */
    assert_false(exists(h, "destroying", old_kek));
    (void)snprintf(typed, sizeof typed, "%s\n", old_kek);
    assert_int_equal(destroy_typing(h, typed), 0);
    assert_true(exists(h, "destroyed", old_kek));
    h->passed = true;
}

/* What an earlier run began, or did before the token's backup brought the KEK back. */
static void leave_records(const struct harness *h)
{
    backdate(h, "destroying", old_kek, 0);
    backdate(h, "destroyed", old_kek, 90);
}

static void expect_no_record(const struct harness *h)
{
    assert_false(exists(h, "destroying", old_kek));
    assert_false(exists(h, "destroyed", old_kek));
}

/* The KEK is whole: whoever does not go on leaves nothing that would hide its loss later. */
static void test_an_old_record_hides_no_loss(void **state)
{
    struct harness *h = *state;
    leave_records(h);
    assert_int_equal(destroy_kek(h, old_kek), 6);
    assert_said("less than seven days");
    expect_no_record(h);
    backdate(h, "deactivated", old_kek, 8);
    leave_records(h);
    assert_int_equal(destroy_typing(h, "no\n"), 6);
    expect_no_record(h);
    assert_int_equal(old_objects(h), scheme_roles(scheme->scheme));
    h->passed = true;
}

/* A KEK that vanished by itself is a loss, and nothing this command says makes it less of one. */
static void test_a_loss_is_not_hidden(void **state)
{
    struct harness *h = *state;
    backdate(h, "deactivated", old_kek, 8);
    backdate(h, "canaries", old_kek, 8);
    char tokens[HARNESS_PATH_MAX], away[HARNESS_PATH_MAX];
    harness_path(h, "tokens", tokens);
    harness_path(h, "away", away);
    assert_int_equal(rename(tokens, away), 0);
    assert_int_equal(mkdir(tokens, 0700), 0);
    assert_int_not_equal(destroy_kek(h, old_kek), 0);
    backdate(h, "destroying", old_kek, 0); /* begun, but an empty token proves nothing */
    assert_int_not_equal(destroy_kek(h, old_kek), 0);
    assert_true(exists(h, "canaries", old_kek));
    assert_int_equal(rmdir(tokens), 0);
    assert_int_equal(rename(away, tokens), 0);
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("destroyed");
    assert_false(exists(h, "canaries", old_kek));
    assert_true(exists(h, "lost", old_kek));
    h->passed = true;
}

/* The agent dies right after the token has destroyed the key: the fresh one's word counts. */
static void test_the_agent_dies_of_it(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    faults_once(h, "C_DestroyObject", "crash after");
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("\"destroyed\"");
    assert_int_equal(faults_count(h, "fault"), 1);
    assert_int_equal(old_objects(h), 0);
    h->passed = true;
}

static void test_the_token_refuses(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    faults_once(h, "C_DestroyObject", "return CKR_DEVICE_ERROR");
    assert_int_equal(destroy_kek(h, old_kek), 5);
    assert_said("was not destroyed: C_DestroyObject: CKR_DEVICE_ERROR");
    assert_false(exists(h, "destroying", old_kek));
    assert_int_equal(old_objects(h), scheme_roles(scheme->scheme));
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_int_equal(old_objects(h), 0);
    h->passed = true;
}

/* It says yes, and does nothing. */
static void test_the_token_lies(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    faults_once(h, "C_DestroyObject", "nothing");
    assert_int_equal(destroy_kek(h, old_kek), 5);
    assert_said("was not destroyed: the token said that it destroyed the KEK");
    assert_int_equal(old_objects(h), scheme_roles(scheme->scheme));
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_int_equal(old_objects(h), 0);
    h->passed = true;
}

/* The first object goes, the second does not: half a KEK is not destroyed. */
static void test_the_token_refuses_the_rest(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    backdate(h, "canaries", old_kek, 8);
    faults_script(h, "calls", "on C_DestroyObject from 2 return CKR_DEVICE_ERROR\n");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(destroy_kek(h, old_kek), 5);
        assert_said("part of it may still be on the token: C_DestroyObject: CKR_DEVICE_ERROR");
        assert_int_equal(old_objects(h), 1);
        assert_true(exists(h, "canaries", old_kek));
        assert_true(exists(h, "destroying", old_kek));
    }
    faults_end(h);
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("already gone");
    assert_int_equal(old_objects(h), 0);
    assert_false(exists(h, "canaries", old_kek));
    assert_true(exists(h, "destroyed", old_kek));
    h->passed = true;
}

/* Once: another agent finishes it right away. */
static void test_the_rest_is_tried_again(void **state)
{
    struct harness *h = *state;
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    faults_script(h, "calls", "on C_DestroyObject call 2 return CKR_DEVICE_ERROR\n");
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("\"destroyed\"");
    assert_int_equal(faults_count(h, "fault"), 1);
    assert_int_equal(old_objects(h), 0);
    h->passed = true;
}

/* The command is killed once the token has done it, and so is its agent. */
static void test_the_command_dies_of_it(void **state)
{
    struct harness *h = *state;
    char path[HARNESS_PATH_MAX];
    faults_use(h);
    harness_write_config(h);
    backdate(h, "deactivated", old_kek, 8);
    backdate(h, "canaries", old_kek, 8);
    faults_once(h, "C_DestroyObject", "hang after");
    harness_path(h, "output", path);
    char *argv[] = {(char[]){"build/p11-kms"},
                    (char[]){"keys"},
                    (char[]){"destroy"},
                    (char *)(uintptr_t)old_kek,
                    (char[]){"--config"},
                    h->config_path,
                    (char[]){"--unreferenced-checked-by-me"},
                    (char[]){"--confirm"},
                    (char *)(uintptr_t)old_kek,
                    NULL};
    pid_t command = process_start(argv, path);
    faults_await(h, "fault", 1, OK_MS);
    assert_int_equal(kill(command, SIGKILL), 0);
    assert_int_equal(process_wait(command, RUN_MS), 128 + SIGKILL);
    assert_true(exists(h, "destroying", old_kek));
    assert_true(exists(h, "canaries", old_kek));
    assert_int_equal(destroy_kek(h, old_kek), 0);
    assert_said("already gone");
    assert_int_equal(old_objects(h), 0);
    assert_false(exists(h, "canaries", old_kek));
    assert_false(exists(h, "destroying", old_kek));
    assert_true(exists(h, "destroyed", old_kek));
    h->passed = true;
}

int main(void)
{
#define DESTRUCTION(test) cmocka_unit_test_setup_teardown(test, set_up, harness_teardown)
#define OF_TWO(test)                                                                               \
    {                                                                                              \
#test " of two objects", test, set_up_two, harness_teardown, NULL                          \
    }
    const struct CMUnitTest tests[] = {
        DESTRUCTION(test_a_kek_is_destroyed_beside_the_daemon),
        DESTRUCTION(test_what_is_refused),
        DESTRUCTION(test_the_key_id_is_typed),
        DESTRUCTION(test_an_old_record_hides_no_loss),
        DESTRUCTION(test_a_loss_is_not_hidden),
        DESTRUCTION(test_the_agent_dies_of_it),
        DESTRUCTION(test_the_token_refuses),
        DESTRUCTION(test_the_token_lies),
        DESTRUCTION(test_the_command_dies_of_it),
        OF_TWO(test_an_old_record_hides_no_loss),
        OF_TWO(test_the_agent_dies_of_it),
        OF_TWO(test_the_token_refuses),
        OF_TWO(test_the_token_lies),
        OF_TWO(test_the_token_refuses_the_rest),
        OF_TWO(test_the_rest_is_tried_again),
        OF_TWO(test_the_command_dies_of_it),
    };
    return HARNESS_RUN("destroying a KEK", tests, TEST_SECONDS);
}
