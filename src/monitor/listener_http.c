/* SPDX-License-Identifier: Apache-2.0 */
#include "listener_http.h"

#include "cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>

enum { BACKLOG = 128 };

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static socklen_t address_of(const struct http_place *place, union address *ret)
{
    memset(ret, 0, sizeof *ret);
    if (place->kind == HTTP_IPV4) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(place->port);
        memcpy(&ret->v4.sin_addr, place->address, sizeof ret->v4.sin_addr);
        return sizeof ret->v4;
    }
    ret->v6.sin6_family = AF_INET6;
    ret->v6.sin6_port = htons(place->port);
    memcpy(&ret->v6.sin6_addr, place->address, sizeof ret->v6.sin6_addr);
    return sizeof ret->v6;
}

static const char *text_of(const struct http_place *place, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN] = "";
    bool six = place->kind == HTTP_IPV6;
    (void)inet_ntop(six ? AF_INET6 : AF_INET, place->address, host, sizeof host);
    (void)snprintf(text, size, six ? "[%s]:%u" : "%s:%u", host, (unsigned)place->port);
    return text;
}

static struct err fail_call(struct listen_error *error, const struct http_place *place,
                            const char *what)
{
    int why = errno;
    char text[80];
    (void)snprintf(error->text, sizeof error->text, "http: cannot %s %s: %s", what,
                   text_of(place, text, sizeof text), strerror(why));
    return err_make(why == EADDRINUSE ? ERR_IN_USE : ERR_CONFIG, "socket");
}

static struct err open_port(const struct http_place *place, struct listener *ret,
                            struct listen_error *error)
{
    union address address;
    socklen_t size = address_of(place, &address);
    const int on = 1;
    AUTO_CLOSE int fd =
        socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return fail_call(error, place, "make a socket for");
    /* Connections of a daemon before us may still be in TIME_WAIT. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        bind(fd, &address.any, size) != 0)
        return fail_call(error, place, "bind");
    if (listen(fd, BACKLOG) != 0)
        return fail_call(error, place, "listen on");
    ret->fd = take_fd(&fd);
    return ERR_OK;
}

static struct err inherit_port(const struct http_place *place, int fd, struct listener *ret,
                               struct listen_error *error)
{
    union address wanted, bound = {.any = {.sa_family = AF_UNSPEC}};
    socklen_t size = sizeof bound, length = address_of(place, &wanted);
    char text[80];
    if (sd_is_socket(fd, AF_UNSPEC, SOCK_STREAM, 1) <= 0 ||
        getsockname(fd, &bound.any, &size) != 0 || size != length ||
        memcmp(&bound, &wanted, length) != 0) {
        (void)snprintf(error->text, sizeof error->text,
                       "http: systemd passed another socket than one that listens on %s; make "
                       "ListenStream= and http: agree",
                       text_of(place, text, sizeof text));
        return err_make(ERR_CONFIG, "socket");
    }
    ret->fd = fd;
    return ERR_OK;
}

struct err listener_http_open(const struct http_place *place, const char *group, int fd,
                              struct listener *ret, struct listen_error *ret_error)
{
    const struct socket_wish wish = {"http", place->path, group};
    struct listener listener = {.fd = -1, .lock = -1, .inherited = true}; /* no file to remove */
    ret_error->key = wish.key;
    if (place->kind == HTTP_OFF && fd >= 0) {
        (void)snprintf(ret_error->text, sizeof ret_error->text,
                       "http: systemd passed a socket named http, and the configuration has none");
        return err_make(ERR_CONFIG, "socket");
    }
    if (place->kind == HTTP_UNIX)
        return fd >= 0 ? listener_inherit(&wish, fd, ret, ret_error)
                       : listener_open(&wish, ret, ret_error);
    if (place->kind != HTTP_OFF)
        TRY(fd >= 0 ? inherit_port(place, fd, &listener, ret_error)
                    : open_port(place, &listener, ret_error));
    *ret = listener;
    return ERR_OK;
}
