/* SPDX-License-Identifier: Apache-2.0 */
#include "stand.h"

#include "rpc_runtime.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

static void count_refused(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                          const char *detail)
{
    struct stand *stand = (struct stand *)context;
    (void)peer;
    (void)detail;
    atomic_fetch_add(&stand->refused[why], 1);
}

static void *accept_loop(void *argument)
{
    struct stand *stand = (struct stand *)argument;
    struct pollfd fds[] = {{.fd = rpc_listener_fd(stand->listener), .events = POLLIN},
                           {.fd = stand->stop_fd, .events = POLLIN}};
    for (;;) {
        (void)poll(fds, 2, -1);
        if (fds[1].revents)
            return NULL;
        (void)pthread_mutex_lock(&stand->lock);
        rpc_listener_ready(stand->listener);
        (void)pthread_mutex_unlock(&stand->lock);
    }
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

static void listen_on(struct stand *stand)
{
    (void)snprintf(stand->directory, sizeof stand->directory, "/tmp/p11-kms-test.XXXXXX");
    assert_non_null(mkdtemp(stand->directory));
    (void)snprintf(stand->path, sizeof stand->path, "%s/k m.sock", stand->directory);
    struct sockaddr_un address = address_of(stand->path);
    stand->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(stand->listen_fd >= 0);
    assert_int_equal(bind(stand->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(stand->listen_fd, 512), 0);
}

void stand_start_runtime(void)
{
    static bool started;
    bool locked = false;
    if (!started) {
        rpc_runtime_start(NULL);
        assert_false(err_is(secret_init(1 << 19, &locked)));
    }
    started = true;
}

void stand_serve(struct stand *stand, const struct rpc_method *methods, size_t n,
                 const struct rpc_access *access)
{
    listen_on(stand);
    assert_false(err_is(rpc_poller_new(&stand->poller)));
    assert_false(err_is(rpc_server_start(stand->poller, methods, n, &stand->server)));
    assert_false(err_is(rpc_poller_run(stand->poller)));
    assert_false(err_is(rpc_listener_new(stand->listen_fd, stand->server, access, count_refused,
                                         stand, &stand->listener)));
    (void)pthread_mutex_init(&stand->lock, NULL);
    stand->stop_fd = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(pthread_create(&stand->accepter, NULL, accept_loop, stand), 0);
}

int stand_up(void **state)
{
    stand_start_runtime();
    struct stand *stand = (struct stand *)calloc(1, sizeof *stand);
    assert_non_null(stand);
    const struct rpc_access access = {.uids = {(uint32_t)getuid()}, .n_uids = 1};
    size_t n = 0;
    fake_start(&stand->fake);
    assert_false(err_is(kms_api_new(&stand->fake, "v2beta1", &stand->api)));
    const struct rpc_method *methods = kms_api_methods(stand->api, &n);
    stand_serve(stand, methods, n, &access);
    *state = stand;
    return 0;
}

struct err stand_stop(struct stand *stand, int grace_ms)
{
    if (!stand->server)
        return ERR_OK;
    uint64_t one = 1;
    assert_int_equal(write(stand->stop_fd, &one, sizeof one), sizeof one);
    (void)pthread_join(stand->accepter, NULL);
    rpc_listener_free(stand->listener);
    struct err e = rpc_server_stop(TAKE_PTR(stand->server), grace_ms);
    if (!err_is(e))
        rpc_poller_free(TAKE_PTR(stand->poller));
    return e;
}

void stand_close(struct stand *stand)
{
    assert_false(err_is(stand_stop(stand, 100)));
    (void)pthread_mutex_destroy(&stand->lock);
    (void)close(stand->stop_fd);
    (void)close(stand->listen_fd);
    (void)unlink(stand->path);
    (void)rmdir(stand->directory);
}

int stand_down(void **state)
{
    struct stand *stand = (struct stand *)*state;
    fake_release(&stand->fake);
    stand_close(stand);
    fake_end(&stand->fake);
    kms_api_free(stand->api);
    free(stand);
    return 0;
}

void stand_set_access(struct stand *stand, const struct rpc_access *access)
{
    (void)pthread_mutex_lock(&stand->lock);
    rpc_listener_set_access(stand->listener, access);
    (void)pthread_mutex_unlock(&stand->lock);
}

size_t stand_connections(struct stand *stand)
{
    (void)pthread_mutex_lock(&stand->lock);
    size_t n = rpc_listener_connections(stand->listener);
    (void)pthread_mutex_unlock(&stand->lock);
    return n;
}

struct kms_client *stand_client(const struct stand *stand)
{
    struct kms_client *client = NULL;
    struct kms_client_options options = {.socket_path = stand->path};
    assert_false(err_is(kms_client_open(&options, &client)));
    return client;
}

int stand_connect(const struct stand *stand)
{
    struct sockaddr_un address = address_of(stand->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

size_t count_fds(void)
{
    size_t n = 0;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    while (readdir(directory))
        n++;
    (void)closedir(directory);
    return n;
}
