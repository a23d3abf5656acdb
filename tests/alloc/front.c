/* SPDX-License-Identifier: Apache-2.0 */
/* Every allocation of the front end's servers fails in turn: their start, which succeeds when it is
 * tried again, and what they are asked, by gRPC and HTTP, on either socket. */
#include "admin_api.h"
#include "admin_client.h"
#include "alloc_fail.h"
#include "client_call.h"
#include "front_http.h"
#include "health_api.h"
#include "kms_api.h"
#include "kms_calls.h"
#include "pool_jobs.h"
#include "rpc_accept.h"
#include "rpc_runtime.h"

#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

enum { WAIT_MS = 20000, GRACE_MS = 5000, LONG_REQUEST = 40000 };
enum { KMS, ADMIN, HTTP, SOCKETS };

static struct front {
    struct kms_rig rig;
    struct rotation *rotation;
    struct vitals vitals;
    struct kms_api *api;
    struct health_api health;
    struct rpc_method methods[KMS_API_METHODS + 1];
    struct admin_api *admin;
    struct rpc_poller *poller;
    struct rpc_server *servers[2];
    struct rpc_listener *listeners[2];
    struct http_server *http;
    char dir[64];
    struct sockaddr_un addresses[SOCKETS];
    int fds[SOCKETS];
    int stop_fd;
    pthread_t accepter, monitor;
    bool stopping; /* guarded by rig.ring.lock */
} f;

static bool may_fail;

/* --- what surrounds the servers ---------------------------------------------------------- */

static void want_maker(void *context, uint64_t number)
{
    (void)context;
    (void)number;
}

static void changed(void *context, bool unseen)
{
    (void)context;
    (void)unseen;
}

static struct err forget(void *context, const struct key_id *key_id)
{
    (void)context;
    (void)key_id;
    return ERR_OK;
}

static void note(void *context, bool bad, const char *what, const char *key_id, const char *why)
{
    (void)context;
    (void)bad;
    (void)what;
    (void)key_id;
    (void)why;
}

static void ordered(void *context, const char *method, const char *key_id,
                    const struct rpc_peer *peer)
{
    (void)context;
    (void)method;
    (void)key_id;
    (void)peer;
}

static void refused(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                    const char *detail)
{
    (void)context;
    (void)peer;
    fail_msg("a connection was refused: %d, %s", (int)why, detail ? detail : "");
}

static bool is_ready(void *context)
{
    return vitals_ready(context);
}

/* An agent that the keeper gives up for want of memory has a successor, whatever the test waits
 * for. */
static void *play_monitor(void *argument)
{
    struct ring_rig *r = argument;
    const struct listed_key key = fake_key(1, KEY_ACTIVE, 1);
    alloc_exempt(true);
    pthread_mutex_lock(&r->lock);
    while (!f.stopping) {
        if (r->condemned < r->generation) {
            pthread_cond_wait(&r->changed, &r->lock);
            continue;
        }
        pthread_mutex_unlock(&r->lock);
        keeper_agent_gone(r->keeper, r->generation, "condemned");
        f.rig.agent = rig_serve(r, &key, 1);
        pthread_mutex_lock(&r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return NULL;
}

/* The front end's main loop. */
static void *accept_loop(void *argument)
{
    struct pollfd fds[] = {{.fd = rpc_listener_fd(f.listeners[KMS]), .events = POLLIN},
                           {.fd = rpc_listener_fd(f.listeners[ADMIN]), .events = POLLIN},
                           {.fd = f.stop_fd, .events = POLLIN}};
    (void)argument;
    while (fds[2].revents == 0) {
        vitals_beat(&f.vitals);
        (void)poll(fds, 3, 1000);
        for (size_t i = 0; i < 2; i++)
            if (fds[i].revents != 0)
                rpc_listener_ready(f.listeners[i]);
    }
    return NULL;
}

static void listen_on(int which, const char *name)
{
    f.addresses[which].sun_family = AF_UNIX;
    (void)snprintf(f.addresses[which].sun_path, sizeof f.addresses[which].sun_path, "%s/%s", f.dir,
                   name);
    f.fds[which] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(f.fds[which] >= 0);
    assert_int_equal(
        bind(f.fds[which], (struct sockaddr *)&f.addresses[which], sizeof f.addresses[0]), 0);
    assert_int_equal(listen(f.fds[which], 16), 0);
}

static void surround(void)
{
    static bool started;
    if (!started)
        rpc_runtime_start(NULL);
    started = true;
    memset(&f, 0, sizeof f);
    (void)snprintf(f.dir, sizeof f.dir, "/tmp/p11-kms-front-XXXXXX");
    assert_non_null(mkdtemp(f.dir));
    listen_on(KMS, "kms");
    listen_on(ADMIN, "admin");
    listen_on(HTTP, "http");
    f.stop_fd = eventfd(0, EFD_CLOEXEC);
    kms_rig_make(&f.rig);
    kms_rig_serve(&f.rig);
    assert_int_equal(pthread_create(&f.monitor, NULL, play_monitor, &f.rig.ring), 0);
}

/* --- the servers ------------------------------------------------------------------------- */

static void start_rotation(void)
{
    const struct rotation_options options = {
        .state_dir = f.rig.ring.dir,
        .keyring = f.rig.ring.keyring,
        .generate_timeout_ms = WAIT_MS,
        .tuning = {.activation_delay_ms = NEVER_MS, .max_seals = UINT64_C(1) << 32},
        .hooks = {want_maker, want_maker, changed, forget, note, NULL}};
    MAKE(rotation_new(&options, &f.rotation));
    kms_service_set_rotation(f.rig.service, f.rotation);
}

static void start_servers(void)
{
    const struct rpc_access access = admin_api_access();
    const struct admin_options admin = {.keyring = f.rig.ring.keyring,
                                        .rotation = f.rotation,
                                        .mode = "managed",
                                        .token = "pkcs11:token=t",
                                        .ordered = ordered};
    size_t n = 0;
    MAKE(kms_api_new(f.rig.service, "v2", &f.api));
    MAKE(admin_api_new(&admin, &f.admin));
    MAKE(rpc_poller_new(&f.poller));
    memcpy(f.methods, kms_api_methods(f.api, &n), KMS_API_METHODS * sizeof *f.methods);
    f.health = (struct health_api){is_ready, &f.vitals};
    f.methods[n] = health_api_method(&f.health);
    MAKE(rpc_server_start(f.poller, f.methods, n + 1, &f.servers[KMS]));
    const struct rpc_method *methods = admin_api_methods(f.admin, &n);
    MAKE(rpc_server_start(f.poller, methods, n, &f.servers[ADMIN]));
    for (int i = KMS; i <= ADMIN; i++)
        MAKE(rpc_listener_new(f.fds[i], f.servers[i], &access, refused, NULL, &f.listeners[i]));
    f.vitals.keyring = f.rig.ring.keyring;
    f.vitals.pool = f.rig.ring.pool;
    f.vitals.keeper = f.rig.ring.keeper;
    f.vitals.rotation = f.rotation;
    f.vitals.poller = f.poller;
    f.vitals.server = f.servers[KMS];
    assert_false(err_is(rpc_poller_run(f.poller)));
}

static void stop_all(void)
{
    struct ring_rig *r = &f.rig.ring;
    http_server_stop(f.http);
    (void)eventfd_write(f.stop_fd, 1);
    pthread_join(f.accepter, NULL);
    for (int i = KMS; i <= ADMIN; i++)
        rpc_listener_free(f.listeners[i]);
    assert_false(err_is(rpc_server_stop(f.servers[KMS], GRACE_MS)));
    rotation_stop(f.rotation);
    assert_false(err_is(rpc_server_stop(f.servers[ADMIN], GRACE_MS)));
    rpc_poller_free(f.poller);
    kms_api_free(f.api);
    admin_api_free(f.admin);
    pthread_mutex_lock(&r->lock);
    f.stopping = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(f.monitor, NULL);
}

/* Descriptors are not looked at: gRPC closes a connection's some time after its end. */
static void clean_up(void)
{
    f.rig.ring.fds_before = 0;
    kms_rig_end(&f.rig);
    rotation_free(f.rotation);
    (void)close(f.stop_fd);
    for (int i = 0; i < SOCKETS; i++) {
        if (i != HTTP)
            (void)close(f.fds[i]);
        assert_int_equal(unlink(f.addresses[i].sun_path), 0);
    }
    assert_int_equal(rmdir(f.dir), 0);
}

/* --- what is asked ----------------------------------------------------------------------- */

/* Ended as it should have, or, while memory fails, told as that. False: the latter. */
static bool ended(struct err e, enum err_code code, const struct kms_failure *failure)
{
    if (e.code == code)
        return true;
    const char *name = err_is(e) ? failure->name : "OK";
    bool outage = strcmp(name, "RESOURCE_EXHAUSTED") == 0 || strcmp(name, "UNAVAILABLE") == 0;
    if (!may_fail || !alloc_failed() || !outage)
        fail_msg("%s instead of %s: %s", name, err_name(code), err_is(e) ? failure->message : "");
    return false;
}

static void round_trip(struct kms_client *client, enum kms_api_version version)
{
    const struct bytes dek = bytes_of_string("0123456789abcdef0123456789abcdef");
    struct kms_sealed sealed;
    struct kms_failure failure;
    struct kms_client_status status;
    AUTO_SECRET struct secret *plaintext = NULL;
    assert_false(err_is(secret_new(64, &plaintext)));
    if (ended(kms_client_status(client, version, WAIT_MS, &status, &failure), ERR_NONE, &failure) &&
        !may_fail && version != KMS_API_V1BETA1)
        assert_string_equal(status.healthz, "ok");
    if (!ended(kms_client_encrypt(client, version, dek, WAIT_MS, &sealed, &failure), ERR_NONE,
               &failure))
        return;
    if (version != KMS_API_V1BETA1)
        assert_string_equal(sealed.key_id, fake_key_id(1).text);
    if (ended(kms_client_decrypt(client, version, &sealed, WAIT_MS, plaintext, &failure), ERR_NONE,
              &failure))
        assert_true(bytes_equal(secret_bytes(plaintext), dek));
    kms_sealed_release(&sealed);
}

/* A request in several pieces, an unknown method, and the question for health. */
static void odd_calls(struct kms_client *client)
{
    static const uint8_t zeros[LONG_REQUEST];
    static const uint8_t serving[] = {0x08, 0x01};
    struct kms_sealed sealed;
    struct kms_failure failure;
    struct client_response response = {NULL, 0};
    (void)ended(kms_client_encrypt(client, KMS_API_V2, bytes_of(zeros, sizeof zeros), WAIT_MS,
                                   &sealed, &failure),
                ERR_INVALID, &failure);
    (void)ended(client_call(client, "v2.KeyManagementService", "Rotate", bytes_of("", 0), WAIT_MS,
                            &response, &failure),
                ERR_UNSUPPORTED, &failure);
    if (ended(client_call(client, "grpc.health.v1.Health", "Check", bytes_of("", 0), WAIT_MS,
                          &response, &failure),
              ERR_NONE, &failure) &&
        !may_fail)
        assert_true(
            bytes_equal(bytes_of(response.data, response.len), bytes_of(serving, sizeof serving)));
    client_response_release(&response);
}

static void admin_calls(struct admin_client *client)
{
    struct admin_status status;
    struct admin_key_list list;
    struct admin_key key;
    struct admin_report report;
    struct kms_failure failure;
    const struct key_id id = fake_key_id(1);
    if (ended(admin_client_status(client, WAIT_MS, &status, &failure), ERR_NONE, &failure)) {
        assert_string_equal(status.ring, "k8s");
        assert_int_equal(status.keys.active, 1);
        admin_status_release(&status);
    }
    if (ended(admin_client_list(client, WAIT_MS, &list, &failure), ERR_NONE, &failure)) {
        assert_int_equal(list.n, 1);
        assert_string_equal(list.key[0].key_id, id.text);
        admin_key_list_release(&list);
    }
    if (ended(admin_client_key(client, id.text, WAIT_MS, &key, &failure), ERR_NONE, &failure))
        assert_string_equal(key.state, "active");
    (void)ended(admin_client_order(client, ADMIN_ADOPT, id.text, WAIT_MS, &report, &failure),
                ERR_REFUSED, &failure);
}

/* The status line says `status`, or that there was no memory. */
static void get(const char *path, const char *status, const char *word)
{
    static char answer[256 * 1024];
    char request[128];
    size_t len = 0;
    ssize_t got;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f.addresses[HTTP], sizeof f.addresses[0]), 0);
    int n = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path);
    assert_int_equal(write(fd, request, (size_t)n), n);
    while ((got = read(fd, answer + len, sizeof answer - 1 - len)) > 0)
        len += (size_t)got;
    answer[len] = '\0';
    (void)close(fd);
    bool right = strncmp(answer, status, strlen(status)) == 0 && strstr(answer, word);
    bool outage = strncmp(answer, "HTTP/1.1 50", 11) == 0;
    if (!right && !(may_fail && alloc_failed() && outage))
        fail_msg("%s: %.60s", path, answer);
}

static void http_requests(void)
{
    get("/livez", "HTTP/1.1 200", "ok");
    get("/readyz?verbose", "HTTP/1.1 200", "[+]token ok");
    get("/healthz", "HTTP/1.1 200", "ok");
    get("/metrics", "HTTP/1.1 200", "p11_kms_keks{state=\"active\"} 1\n");
    get("/nothing", "HTTP/1.1 404", "not found");
}

static void ask_all(struct kms_client *client, struct admin_client *admin)
{
    for (int i = 0; i < KMS_API_VERSIONS; i++)
        round_trip(client, (enum kms_api_version)i);
    odd_calls(client);
    admin_calls(admin);
    http_requests();
}

/* What has failed has had its consequences: an agent without fault is looked at from end to end. */
static void settle(struct ring_rig *r)
{
    struct health health;
    struct key_id current;
    do {
        unsigned looks = rig_looks(r);
        keeper_rescan(r->keeper);
        rig_wait_looks(r, looks + 1);
        keyring_status(r->keyring, &health, &current);
    } while (!health.ok || !lane_pool_has_lanes(r->pool));
}

static void ask_twice(void)
{
    struct kms_client *client = NULL;
    struct admin_client *admin = NULL;
    struct kms_client_options options = {.socket_path = f.addresses[KMS].sun_path};
    alloc_exempt(true);
    assert_false(err_is(kms_client_open(&options, &client)));
    assert_false(err_is(admin_client_open(f.addresses[ADMIN].sun_path, &admin)));
    may_fail = true;
    ask_all(client, admin);
    alloc_end();
    settle(&f.rig.ring);
    may_fail = false;
    ask_all(client, admin);
    admin_client_close(admin);
    kms_client_close(client);
    alloc_exempt(false);
}

static void run_front(void)
{
    surround();
    alloc_begin();
    start_rotation();
    start_servers();
    assert_int_equal(pthread_create(&f.accepter, NULL, accept_loop, NULL), 0);
    MAKE(front_http_start(f.fds[HTTP], &f.vitals, &f.http));
    ask_twice();
    stop_all();
    clean_up();
}

static void front_end(void **state)
{
    (void)state;
    alloc_sweep("front end", run_front);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(front_end)};
    fake_agent_aside = alloc_exempt;
    return cmocka_run_group_tests(tests, pool_jobs_setup, NULL);
}
