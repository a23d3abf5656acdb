/* SPDX-License-Identifier: Apache-2.0 */
/* The real daemon on SoftHSM, looked after with p11-kms alone: from one KEK to the next, what a
 * refusal leaves behind, and who gets at the admin socket. */
#include "admin_client.h"
#include "harness.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

enum { RUN_MS = 60000, NOBODY = 65534, OUTPUT_MAX = 65536 };

static char output[OUTPUT_MAX];

/* Runs p11-kms with the words, ended by NULL; output holds what it said. */
static int kms(const struct harness *h, const char *const *words)
{
    char said[HARNESS_PATH_MAX], program[] = "build/p11-kms", option[] = "--config";
    char *argv[16] = {program, option, (char *)(uintptr_t)h->config_path};
    size_t n = 3;
    for (; *words && n < 15; words++)
        argv[n++] = (char *)(uintptr_t)*words;
    harness_path(h, "said", said);
    (void)unlink(said);
    int code = process_run(argv, said, RUN_MS);
    (void)harness_read(said, output, sizeof output);
    return code;
}

#define KMS(h, ...) kms((h), (const char *const[]){__VA_ARGS__, NULL})

static void must(const struct harness *h, int wanted, const char *const *words)
{
    int code = kms(h, words);
    if (code != wanted)
        fail_msg("p11-kms %s: exit code %d: %s", words[0], code, output);
}

#define MUST(h, wanted, ...) must((h), (wanted), (const char *const[]){__VA_ARGS__, NULL})

static struct kms_client_status status_of(const struct harness *h)
{
    struct kms_client_status status;
    assert_true(harness_status(h, &status));
    return status;
}

static void start(struct harness *h, const char *ring)
{
    h->config.ring = ring;
    harness_write_config(h);
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_CALL_MS);
}

/* --- the ring's life --------------------------------------------------------------------- */

static void test_rotation_by_hand(void **state)
{
    struct harness *h = *state;
    start(h, "  activationDelay: 1s\n  rescanEvery: 1s\n");
    struct kms_client_status before = status_of(h);
    MUST(h, 0, "keys", "rotate", "--wait", "30s");
    struct kms_client_status after = status_of(h);
    assert_string_not_equal(before.key_id, after.key_id);
    assert_non_null(strstr(output, after.key_id));
    MUST(h, 0, "keys", "list");
    assert_non_null(strstr(output, before.key_id));
    MUST(h, 0, "keys", "show", after.key_id);
    assert_non_null(strstr(output, "active, seals\ngeneration:  2\n"));
    MUST(h, 0, "status");
    assert_non_null(strstr(output, after.key_id));
    harness_round_trips(h);
    h->passed = true;
}

struct named {
    const struct harness *h;
    const char *key_id;
};

static bool is_shown_as_compromised(void *context)
{
    const struct named *kek = context;
    MUST(kek->h, 0, "keys", "show", kek->key_id, "--json");
    return strstr(output, "\"state\": \"compromised\"") != NULL;
}

static void test_the_active_kek_is_compromised(void **state)
{
    struct harness *h = *state;
    start(h, "  activationDelay: 1s\n  rescanEvery: 1s\n");
    struct kms_client_status before = status_of(h);
    MUST(h, 2, "keys", "compromise", before.key_id);
    assert_string_equal(status_of(h).key_id, before.key_id);
    MUST(h, 0, "keys", "compromise", before.key_id, "--yes");
    struct named kek = {h, before.key_id}; /* what is shown is what the last look has seen */
    assert_true(await(is_shown_as_compromised, &kek, HARNESS_CALL_MS, NULL));
    assert_string_not_equal(status_of(h).key_id, before.key_id);
    MUST(h, 6, "keys", "activate", before.key_id);
    MUST(h, 6, "keys", "adopt", before.key_id);
    harness_round_trips(h);
    h->passed = true;
}

static void test_what_the_daemon_does_not_know(void **state)
{
    static const char unknown[] = "k8s.01976000-0000-7000-8000-000000000000";
    struct harness *h = *state;
    start(h, "");
    MUST(h, 1, "keys", "show", unknown);
    assert_non_null(strstr(output, "NOT_FOUND"));
    MUST(h, 1, "keys", "show", "nonsense");
    assert_non_null(strstr(output, "INVALID_ARGUMENT"));
    assert_int_not_equal(KMS(h, "keys", "deactivate", unknown, "--yes"), 0);
    MUST(h, 6, "keys", "rotate", "--acknowledge-loss", unknown);
    h->passed = true;
}

/* --- the socket -------------------------------------------------------------------------- */

static int connect_as(const char *path, uid_t uid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (uid != getuid() && (setgid(uid) != 0 || setuid(uid) != 0))
        return 2;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return connect(fd, (struct sockaddr *)&address, sizeof address) == 0 ? 0 : 3;
}

static int connects(const char *path, uid_t uid)
{
    int status = -1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        _exit(connect_as(path, uid));
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_the_socket_is_its_owners(void **state)
{
    struct harness *h = *state;
    struct stat st;
    start(h, "");
    assert_int_equal(stat(h->admin_socket, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(connects(h->admin_socket, getuid()), 0);
    if (geteuid() == 0) {
        assert_int_equal(chmod(h->dir, 0755), 0);
        assert_int_equal(connects(h->admin_socket, NOBODY), 3);
    }
    harness_stop(h);
    assert_int_not_equal(access(h->admin_socket, F_OK), 0);
    MUST(h, 5, "status");
    assert_non_null(strstr(output, "nobody listens on"));
    h->passed = true;
}

static void test_a_second_daemon_on_the_admin_socket(void **state)
{
    struct harness *h = *state;
    char said[HARNESS_PATH_MAX], first[HARNESS_PATH_MAX];
    start(h, "");
    (void)snprintf(first, sizeof first, "%s", h->socket);
    harness_path(h, "other.sock", h->socket);
    harness_write_config(h);
    harness_path(h, "second", said);
    assert_int_equal(process_wait(harness_spawn(h, said), RUN_MS), 4);
    assert_non_null(strstr(harness_read(said, output, sizeof output), h->admin_socket));
    assert_int_not_equal(access(h->socket, F_OK), 0); /* nothing of it is left */
    (void)snprintf(h->socket, sizeof h->socket, "%s", first);
    MUST(h, 0, "status");
    h->passed = true;
}

/* A daemon that is told to stop does not wait for the minutes an order may take. */
static void test_it_stops_with_a_connection_open(void **state)
{
    struct harness *h = *state;
    CLEANUP(admin_client_close_p) struct admin_client *client = NULL;
    CLEANUP(admin_status_release) struct admin_status status = {.ok = false};
    struct kms_failure failure;
    start(h, "");
    assert_false(err_is(admin_client_open(h->admin_socket, &client)));
    assert_false(err_is(admin_client_status(client, HARNESS_CALL_MS, &status, &failure)));
    assert_true(status.ok && status.has_active);
    harness_stop(h);
    h->passed = true;
}

#define ADMIN(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ADMIN(test_rotation_by_hand),
        ADMIN(test_the_active_kek_is_compromised),
        ADMIN(test_what_the_daemon_does_not_know),
        ADMIN(test_the_socket_is_its_owners),
        ADMIN(test_a_second_daemon_on_the_admin_socket),
        ADMIN(test_it_stops_with_a_connection_open),
    };
    return HARNESS_RUN("admin", tests, 240);
}
