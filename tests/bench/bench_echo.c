/* SPDX-License-Identifier: Apache-2.0 */
/* The floor that the daemon is measured against: its own server code, answering with what it got.
 * usage: bench-echo SOCKET; prints "ready", serves until SIGTERM or SIGINT. */
#include "rpc_accept.h"
#include "rpc_runtime.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void echo(struct rpc_call *call, struct bytes request, const void *context)
{
    (void)context;
    rpc_call_reply(call, ERR_NONE, "", request);
}

static void refused(void *context, enum rpc_refusal why, const struct rpc_peer *peer,
                    const char *detail)
{
    (void)context;
    (void)fprintf(stderr, "refused uid %u: %d %s\n", peer->uid, (int)why, detail ? detail : "");
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address, sizeof address) != 0 ||
        listen(fd, 128) != 0) {
        perror(path);
        return -1;
    }
    return fd;
}

static int block_signals(void)
{
    sigset_t ends;
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigaddset(&ends, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    return signalfd(-1, &ends, SFD_CLOEXEC);
}

static void serve(struct rpc_listener *listener, int signal_fd)
{
    struct pollfd fds[] = {{.fd = rpc_listener_fd(listener), .events = POLLIN},
                           {.fd = signal_fd, .events = POLLIN}};
    (void)puts("ready");
    (void)fflush(stdout);
    while (poll(fds, 2, -1) >= 0 && !fds[1].revents)
        rpc_listener_ready(listener);
}

int main(int argc, char **argv)
{
    static const struct rpc_method methods[] = {{"/bench.Echo/Echo", echo, NULL, true}};
    struct rpc_access access = {.uids = {(uint32_t)getuid()}, .n_uids = 1};
    struct rpc_poller *poller = NULL;
    struct rpc_server *server = NULL;
    struct rpc_listener *listener = NULL;
    if (argc != 2) {
        (void)fputs("usage: bench-echo SOCKET\n", stderr);
        return 2;
    }
    int signal_fd = block_signals();
    int listen_fd = listen_on(argv[1]);
    if (signal_fd < 0 || listen_fd < 0)
        return 1;
    rpc_runtime_start(NULL);
    if (err_is(rpc_poller_new(&poller)) || err_is(rpc_server_start(poller, methods, 1, &server)) ||
        err_is(rpc_poller_run(poller)) ||
        err_is(rpc_listener_new(listen_fd, server, &access, refused, NULL, &listener)))
        return 1;
    serve(listener, signal_fd);
    rpc_listener_free(listener);
    (void)unlink(argv[1]);
    _exit(err_is(rpc_server_stop(server, 1000)) ? 1 : 0);
}
