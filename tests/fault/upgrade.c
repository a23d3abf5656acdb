/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon replaced by the next one, again and again, under 200 calls a second of clients that
 * connect and try again as kube-apiserver's do: no request is lost. */
#include "harness.h"

#include "lateness.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
    TEST_SECONDS = 240,
    ROUNDS = 6,
    LONG_ROUNDS = 20,
    CLIENTS = 4,
    PERIOD_MS = 20,     /* of each client: 200 calls a second in all */
    PATIENCE_MS = 3000, /* kube-apiserver's default timeout */
    GIVE_UP_MS = 10000, /* where the machine is so busy that the test's own threads are late */
    AGAIN_MS = 20,
    BACK_OFF_MS = 1000, /* gRPC's, after a connection was refused; then 1.6 times as long */
    BETWEEN = 10,       /* answers to each client between two rounds: all of them are connected */
    OK_MS = 20000,
    STOP_MS = 20000,
    DEK_LEN = 32,
    OPENED_MAX = 512,
    LOG_MAX = 1 << 20
};

static const uint8_t dek[DEK_LEN] = "the data encryption key of load";

static unsigned rounds = ROUNDS;

/* --- clients ----------------------------------------------------------------------------- */

struct load {
    const char *socket;
    struct kms_sealed sealed;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards the rest */
    unsigned answered, tried_again, late, lost, wrong, refused_connections;
    int64_t last_answer_ms, longest_gap_ms, slowest_ms;
};

struct client {
    struct load *load;
    pthread_t thread;
    struct kms_client *kms; /* NULL: not connected */
    int64_t connect_ms;     /* not before */
    int back_off_ms;
    unsigned calls;
    unsigned answered; /* guarded by the load's lock */
};

static void count_connection_refused(struct load *load)
{
    pthread_mutex_lock(&load->lock);
    load->refused_connections++;
    pthread_mutex_unlock(&load->lock);
}

static void connect_client(struct client *c)
{
    const struct kms_client_options options = {.socket_path = c->load->socket};
    int64_t now = now_ms();
    if (now < c->connect_ms)
        pass_time((int)(c->connect_ms - now));
    if (!err_is(kms_client_open(&options, &c->kms))) {
        c->back_off_ms = 0;
        return;
    }
    count_connection_refused(c->load);
    c->back_off_ms = c->back_off_ms ? c->back_off_ms * 16 / 10 : BACK_OFF_MS;
    c->connect_ms = now_ms() + c->back_off_ms;
}

static void hang_up(struct client *c)
{
    kms_client_close(TAKE_PTR(c->kms));
    c->connect_ms = now_ms();
}

/* One try. *ret_wrong: it was answered with something else. */
static bool try_once(struct client *c, int timeout_ms, bool *ret_wrong)
{
    struct kms_failure failure;
    if (c->calls % 2) {
        CLEANUP(kms_sealed_release) struct kms_sealed sealed = {.n_annotations = 0};
        return !err_is(kms_client_encrypt(c->kms, KMS_API_V2, bytes_of(dek, DEK_LEN), timeout_ms,
                                          &sealed, &failure));
    }
    AUTO_SECRET struct secret *opened = NULL;
    if (err_is(secret_new(OPENED_MAX, &opened)) ||
        err_is(
            kms_client_decrypt(c->kms, KMS_API_V2, &c->load->sealed, timeout_ms, opened, &failure)))
        return false;
    *ret_wrong = !bytes_equal(secret_bytes(opened), bytes_of(dek, DEK_LEN));
    return true;
}

static void count(struct client *c, int64_t start_ms, unsigned tries, bool done, bool wrong)
{
    struct load *load = c->load;
    int64_t now = now_ms();
    pthread_mutex_lock(&load->lock);
    load->answered += done;
    c->answered += done;
    load->lost += !done;
    load->wrong += wrong;
    load->tried_again += tries > 1;
    load->late += done && now - start_ms > PATIENCE_MS;
    if (done) {
        if (now - load->last_answer_ms > load->longest_gap_ms)
            load->longest_gap_ms = now - load->last_answer_ms;
        if (now - start_ms > load->slowest_ms)
            load->slowest_ms = now - start_ms;
        load->last_answer_ms = now;
    }
    pthread_mutex_unlock(&load->lock);
}

static void call(struct client *c)
{
    int64_t start = now_ms(), until = start + GIVE_UP_MS;
    bool done = false, wrong = false;
    unsigned tries = 0;
    c->calls++;
    while (!done && now_ms() < until) {
        tries++;
        if (!c->kms)
            connect_client(c);
        int64_t left = until - now_ms();
        done = c->kms && left > 0 && try_once(c, (int)left, &wrong);
        if (done || !c->kms)
            continue;
        hang_up(c);
        pass_time(AGAIN_MS);
    }
    count(c, start, tries, done, wrong);
}

static void *go_on(void *argument)
{
    struct client *c = argument;
    for (int64_t due = now_ms(); !atomic_load(&c->load->stop); due += PERIOD_MS) {
        int64_t now = now_ms();
        if (now < due)
            pass_time((int)(due - now));
        call(c);
    }
    kms_client_close(c->kms);
    return NULL;
}

static unsigned answered(struct client *c)
{
    pthread_mutex_lock(&c->load->lock);
    unsigned n = c->answered;
    pthread_mutex_unlock(&c->load->lock);
    return n;
}

struct wanted {
    struct client *client;
    unsigned n;
};

static bool enough(void *context)
{
    const struct wanted *wanted = context;
    return answered(wanted->client) >= wanted->n;
}

/* Of each client: then all of them are connected, as long before a daemon is replaced. */
static void await_answers(struct client clients[static CLIENTS])
{
    struct wanted wanted[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        wanted[i] = (struct wanted){&clients[i], answered(&clients[i]) + BETWEEN};
    for (int i = 0; i < CLIENTS; i++)
        assert_true(await(enough, &wanted[i], OK_MS, NULL));
}

/* --- daemons ----------------------------------------------------------------------------- */

/* As systemd would: the sockets are the test's, and outlive each daemon. */
struct sockets {
    int fds[2]; /* kms and admin; -1: each daemon binds its own */
};

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%.107s", path);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static pid_t start_daemon(const struct harness *h, const struct sockets *sockets)
{
    static char script[] = "export LISTEN_PID=$$ LISTEN_FDS=2 LISTEN_FDNAMES=kms:admin; "
                           "exec build/p11-kmsd --config \"$1\"";
    char config[HARNESS_PATH_MAX];
    memcpy(config, h->config_path, sizeof config);
    char *const argv[] = {(char[]){"sh"}, (char[]){"-c"}, script, (char[]){"sh"}, config, NULL};
    if (sockets->fds[0] < 0)
        return harness_spawn(h, h->log);
    pid_t pid = process_start_with(argv, h->log, sockets->fds, 2);
    assert_true(pid > 0);
    return pid;
}

static void stop_daemon(pid_t pid)
{
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(process_wait(pid, STOP_MS), 0);
}

static bool one_waits(void *context)
{
    static char log[LOG_MAX];
    const struct harness *h = context;
    char word[48];
    (void)snprintf(word, sizeof word, "waiting for its end pid=%d", (int)h->monitor);
    return strstr(harness_read(h->log, log, sizeof log), word) != NULL;
}

/* --- the test ---------------------------------------------------------------------------- */

typedef void replace(struct harness *h, const struct sockets *sockets, unsigned round);

static void stop_then_start(struct harness *h, const struct sockets *sockets, unsigned round)
{
    (void)round;
    stop_daemon(h->monitor);
    h->monitor = start_daemon(h, sockets);
}

/* Two at once on one state directory and one pair of sockets. */
static void start_then_stop(struct harness *h, const struct sockets *sockets, unsigned round)
{
    pid_t next = start_daemon(h, sockets);
    if (round % 2)
        assert_true(await(one_waits, h, OK_MS, NULL));
    stop_daemon(h->monitor);
    h->monitor = next;
}

static void start_clients(struct load *load, struct client clients[static CLIENTS])
{
    pthread_mutex_init(&load->lock, NULL);
    load->last_answer_ms = now_ms();
    for (int i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.load = load};
        assert_int_equal(pthread_create(&clients[i].thread, NULL, go_on, &clients[i]), 0);
    }
}

static void stop_clients(struct load *load, struct client clients[static CLIENTS])
{
    atomic_store(&load->stop, true);
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(pthread_join(clients[i].thread, NULL), 0);
    pthread_mutex_destroy(&load->lock);
}

/* A sanitizer's daemon takes longer to start than its clients wait between two tries. */
static void judge_lateness(const struct load *load, const struct lateness *lateness)
{
    if (HARNESS_SANITIZED || lateness->busy)
        printf("  %s (a thread that only sleeps was late by %.0f ms). That %u calls took more than "
               "3 s IS NOT JUDGED\n",
               HARNESS_SANITIZED ? "SANITIZED" : "THE MACHINE IS BUSY", lateness->worst_ms,
               load->late);
    else
        assert_int_equal(load->late, 0);
}

static void upgrade(struct harness *h, const struct sockets *sockets, const char *how,
                    replace *replace_one)
{
    struct client clients[CLIENTS];
    struct kms_failure failure;
    struct lateness lateness = {.worst_ms = 0};
    h->monitor = start_daemon(h, sockets);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    struct load load = {.socket = h->socket};
    {
        CLEANUP(kms_client_close_p) struct kms_client *client = harness_client(h);
        assert_false(err_is(kms_client_encrypt(client, KMS_API_V2, bytes_of(dek, DEK_LEN),
                                               HARNESS_CALL_MS, &load.sealed, &failure)));
    }
    lateness_start(&lateness);
    start_clients(&load, clients);
    for (unsigned round = 0; round < rounds; round++) {
        await_answers(clients);
        replace_one(h, sockets, round);
    }
    await_answers(clients);
    stop_clients(&load, clients);
    lateness_stop(&lateness);
    printf("figure: %s, %u times: %u calls answered, %u of them tried again, %u lost, %u wrong; %u "
           "connections refused; longest time without an answer %lld ms, slowest call %lld ms\n",
           how, rounds, load.answered, load.tried_again, load.lost, load.wrong,
           load.refused_connections, (long long)load.longest_gap_ms, (long long)load.slowest_ms);
    (void)fflush(stdout);
    assert_int_equal(load.lost, 0);
    assert_int_equal(load.wrong, 0);
    judge_lateness(&load, &lateness);
    harness_round_trips(h);
    kms_sealed_release(&load.sealed);
    h->passed = true;
}

static void test_own_sockets(void **state)
{
    const struct sockets none = {{-1, -1}};
    upgrade(*state, &none, "stopped, then started", stop_then_start);
}

static void upgrade_inheriting(struct harness *h, const char *how, replace *replace_one)
{
    const struct sockets sockets = {{listen_at(h->socket), listen_at(h->admin_socket)}};
    upgrade(h, &sockets, how, replace_one);
    (void)close(sockets.fds[0]);
    (void)close(sockets.fds[1]);
}

static void test_inherited_sockets(void **state)
{
    upgrade_inheriting(*state, "socket activation, stopped, then started", stop_then_start);
}

static void test_two_at_once(void **state)
{
    upgrade_inheriting(*state, "socket activation, started, then stopped", start_then_stop);
}

/* A daemon that shares nothing but the state directory does not start beside the first. */
static void test_a_second_daemon_stops_waiting_when_told(void **state)
{
    struct harness *h = *state, other;
    harness_start(h);
    (void)harness_await_health(h, "ok", HARNESS_START_MS);
    other = *h;
    harness_path(h, "other.yaml", other.config_path);
    harness_path(h, "other.sock", other.socket);
    harness_path(h, "other-admin.sock", other.admin_socket);
    char text[4096];
    (void)snprintf(text, sizeof text,
                   "apiVersion: p11-kms/v1\nsocket: unix://%s\nadminSocket: unix://%s\n"
                   "stateDir: %s/state\ntoken: {module: %s, uri: \"%s\", pinSource: \"%s\"}\n",
                   other.socket, other.admin_socket, h->dir, h->config.module, h->config.uri,
                   h->config.pin_source);
    harness_write(h, "other.yaml", text, 0600);
    pid_t second = harness_spawn(&other, h->log);
    assert_true(await(one_waits, h, OK_MS, NULL));
    assert_int_equal(kill(second, SIGTERM), 0);
    assert_int_equal(process_wait(second, STOP_MS), 0);
    harness_round_trips(h);
    h->passed = true;
}

/* --long: twenty times where it is six. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--long") == 0)
        rounds = LONG_ROUNDS;
#define UPGRADE(test) cmocka_unit_test_setup_teardown(test, harness_setup, harness_teardown)
    const struct CMUnitTest tests[] = {
        UPGRADE(test_own_sockets),
        UPGRADE(test_inherited_sockets),
        UPGRADE(test_two_at_once),
        UPGRADE(test_a_second_daemon_stops_waiting_when_told),
    };
    return HARNESS_RUN("upgrade in place", tests, TEST_SECONDS);
}
