/* SPDX-License-Identifier: Apache-2.0 */
#include "listeners.h"

#include "listener_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Descriptors that systemd passed; -1: not that one. */
struct passed {
    int kms, admin, http;
};

static int *place_of(struct passed *passed, const char *name, bool alone)
{
    if (strcmp(name, "admin") == 0)
        return &passed->admin;
    if (strcmp(name, "http") == 0)
        return &passed->http;
    return strcmp(name, "kms") == 0 || alone ? &passed->kms : NULL;
}

static struct err sort_passed(int count, char *const *names, struct passed *passed,
                              struct listen_error *error)
{
    for (int i = 0; i < count; i++) {
        int *to = place_of(passed, names[i], count == 1);
        if (!to || *to >= 0) {
            (void)snprintf(error->text, sizeof error->text,
                           "socket: systemd passed %d sockets, one of them named %.64s; want at "
                           "most one FileDescriptorName= of each of kms, admin and http",
                           count, names[i]);
            return err_make(ERR_CONFIG, "socket");
        }
        *to = SD_LISTEN_FDS_START + i;
    }
    return ERR_OK;
}

static struct err take_passed(struct passed *passed, struct listen_error *error)
{
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    if (count < 0) {
        (void)snprintf(error->text, sizeof error->text, "socket: $LISTEN_FDS cannot be used: %s",
                       strerror(-count));
        return err_make(ERR_CONFIG, "socket");
    }
    struct err e = sort_passed(count, names, passed, error);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return e;
}

static struct err open_one(const struct socket_wish *wish, int fd, struct listener *ret,
                           struct listen_error *error)
{
    return fd >= 0 ? listener_inherit(wish, fd, ret, error) : listener_open(wish, ret, error);
}

struct err listeners_open(const struct config *config, struct listeners *ret,
                          struct listen_error *ret_error)
{
    const struct socket_wish kms = {"socket", config->socket_path, config->socket_group};
    const struct socket_wish admin = {"adminSocket", config->admin_socket_path, ""};
    struct passed passed = {-1, -1, -1};
    struct listeners listeners = {.admin = {.fd = -1, .lock = -1}};
    ret_error->key = kms.key;
    TRY(take_passed(&passed, ret_error));
    TRY(open_one(&kms, passed.kms, &listeners.kms, ret_error));
    struct err e = open_one(&admin, passed.admin, &listeners.admin, ret_error);
    if (!err_is(e))
        e = listener_http_open(&config->http, config->socket_group, passed.http, &listeners.http,
                               ret_error);
    if (err_is(e)) {
        listener_close(&listeners.kms);
        listener_close(&listeners.admin);
    } else {
        *ret = listeners;
    }
    return e;
}

void listeners_close(struct listeners *listeners)
{
    listener_close(&listeners->kms);
    listener_close(&listeners->admin);
    listener_close(&listeners->http);
}
