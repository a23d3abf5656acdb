/* SPDX-License-Identifier: Apache-2.0 */
#include "http_server.h"

#include "io.h"
#include "text.h"

#include <errno.h>
#include <microhttpd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    CONNECTION_MEMORY = 8192, /* request line and headers, and the answer's headers */
    WAKE_MS = 1000,
    NICE = 5 /* a scrape gives way to requests where the processor is short */
};

/* A connection that is open. */
struct http_peer {
    int fd; /* -1: this place is free */
    int64_t since_ns;
};

/* All but stop_fd is the thread's own once it runs. */
struct http_server {
    struct MHD_Daemon *daemon;
    const struct http_route *routes;
    size_t n_routes;
    void *context;
    int stop_fd;
    pthread_t thread;
    struct http_peer peers[HTTP_CONNECTIONS_MAX];
    size_t n_peers;
};

/* --- answering --------------------------------------------------------------------------- */

static enum MHD_Result send_and_close(struct MHD_Connection *connection, unsigned status,
                                      const char *type, struct MHD_Response *response)
{
    if (!response)
        return MHD_NO; /* the connection is closed */
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-cache, private");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_X_CONTENT_TYPE_OPTIONS, "nosniff");
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result queued = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result refuse(struct MHD_Connection *connection, unsigned status, const char *text)
{
    union {
        const char *constant;
        void *plain;
    } body = {.constant = text}; /* MHD does not write to what is persistent */
    return send_and_close(
        connection, status, "text/plain; charset=utf-8",
        MHD_create_response_from_buffer(strlen(text), body.plain, MHD_RESPMEM_PERSISTENT));
}

static bool query_has(struct MHD_Connection *connection, const char *word)
{
    const char *value = NULL;
    size_t size = 0;
    return MHD_lookup_connection_value_n(connection, MHD_GET_ARGUMENT_KIND, word, strlen(word),
                                         &value, &size) == MHD_YES;
}

static enum MHD_Result answer(struct http_server *server, struct MHD_Connection *connection,
                              const struct http_route *route)
{
    struct http_answer a;
    if (err_is(route->handler(server->context, query_has(connection, "verbose"), &a)))
        return refuse(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory\n");
    struct MHD_Response *response =
        MHD_create_response_from_buffer(a.len, a.text, MHD_RESPMEM_MUST_FREE);
    if (!response)
        free(a.text);
    return send_and_close(connection, a.status, a.type, response);
}

/* Answered when the headers are complete: a body, where one is announced, is never read. */
static enum MHD_Result on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *body,
                                  size_t *body_size, void **request)
{
    struct http_server *server = (struct http_server *)context;
    (void)version, (void)body, (void)body_size, (void)request;
    if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
        return refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
    for (size_t i = 0; i < server->n_routes; i++)
        if (strcmp(server->routes[i].path, url) == 0)
            return answer(server, connection, &server->routes[i]);
    return refuse(connection, MHD_HTTP_NOT_FOUND, "404 page not found\n");
}

/* --- connections ------------------------------------------------------------------------- */

static struct http_peer *free_place(struct http_server *server)
{
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        if (server->peers[i].fd < 0)
            return &server->peers[i];
    return NULL; /* MHD takes no more than there are places */
}

static void on_connection(void *context, struct MHD_Connection *connection, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *server = (struct http_server *)context;
    struct http_peer *peer = (struct http_peer *)*socket_context;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (peer) {
            peer->fd = -1;
            server->n_peers--;
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    peer = info ? free_place(server) : NULL;
    if (!peer)
        return;
    *peer = (struct http_peer){info->connect_fd, clock_monotonic_ns()};
    server->n_peers++;
    *socket_context = peer;
}

/* MHD's own timeout counts from the last byte, so that a byte a second would keep a place for
 * hours: here the connection's age counts. MHD sees its end, and closes it. */
static void end_old_ones(struct http_server *server)
{
    int64_t now = clock_monotonic_ns();
    int64_t may_last_ms =
        server->n_peers == HTTP_CONNECTIONS_MAX ? HTTP_GIVES_WAY_MS : HTTP_LASTS_MS;
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++) {
        const struct http_peer *peer = &server->peers[i];
        if (peer->fd >= 0 && now - peer->since_ns >= may_last_ms * 1000000)
            (void)shutdown(peer->fd, SHUT_RDWR);
    }
}

/* --- the thread -------------------------------------------------------------------------- */

static int wait_ms(struct http_server *server)
{
    MHD_UNSIGNED_LONG_LONG left = 0;
    int most = server->n_peers == HTTP_CONNECTIONS_MAX ? HTTP_GIVES_WAY_MS / 10 : WAKE_MS;
    if (MHD_get_timeout(server->daemon, &left) == MHD_YES && left < (unsigned)most)
        return (int)left;
    return most;
}

/* MHD looks at its listening socket again in the first run after places have become free. */
static void run_once(struct http_server *server)
{
    size_t before;
    do {
        before = server->n_peers;
        (void)MHD_run(server->daemon);
    } while (server->n_peers < before);
}

static void *serve(void *argument)
{
    struct http_server *server = (struct http_server *)argument;
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct pollfd fds[2] = {{.fd = server->stop_fd, .events = POLLIN},
                            {.fd = info ? info->epoll_fd : -1, .events = POLLIN}};
    (void)setpriority(PRIO_PROCESS, 0, NICE); /* on Linux: of this thread */
    while (poll(fds, 2, wait_ms(server)) >= 0 || errno == EINTR) {
        if (fds[0].revents != 0)
            break;
        run_once(server);
        end_old_ones(server);
    }
    return NULL;
}

static struct err run(struct http_server *server)
{
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&server->thread, NULL, serve, server);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed)
        return err_errno(failed, "pthread_create");
    (void)pthread_setname_np(server->thread, "http");
    return ERR_OK;
}

static struct err start(struct http_server *server, int fd)
{
    server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (server->stop_fd < 0)
        return err_errno(errno, "eventfd");
    server->daemon =
        MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, server, MHD_OPTION_LISTEN_SOCKET,
                         fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HTTP_CONNECTIONS_MAX,
                         MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
                         MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(HTTP_LASTS_MS / 1000),
                         MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_NOTIFY_CONNECTION,
                         on_connection, server, MHD_OPTION_END);
    return server->daemon ? run(server) : err_make(ERR_SYSTEM, "MHD_start_daemon");
}

static void release(struct http_server *server)
{
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    if (server->stop_fd >= 0)
        (void)close(server->stop_fd);
    free(server);
}

struct err http_server_start(int fd, const struct http_route *routes, size_t n, void *context,
                             struct http_server **ret)
{
    struct http_server *server = (struct http_server *)calloc(1, sizeof *server);
    if (!server)
        return err_make(ERR_EXHAUSTED, "http_server_start");
    server->routes = routes;
    server->n_routes = n;
    server->context = context;
    for (size_t i = 0; i < HTTP_CONNECTIONS_MAX; i++)
        server->peers[i].fd = -1;
    struct err e = start(server, fd);
    if (err_is(e))
        release(server);
    else
        *ret = server;
    return e;
}

void http_server_stop(struct http_server *server)
{
    if (!server)
        return;
    (void)eventfd_write(server->stop_fd, 1);
    (void)pthread_join(server->thread, NULL);
    release(server);
}
