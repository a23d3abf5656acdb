/* SPDX-License-Identifier: Apache-2.0 */
#include "listeners.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>

/* Descriptors that systemd passed; -1: not that one. */
struct passed {
    int kms, admin;
};

static struct err sort_passed(int count, char *const *names, struct passed *passed,
                              struct listen_error *error)
{
    for (int i = 0; i < count; i++) {
        bool admin = strcmp(names[i], "admin") == 0;
        bool kms = strcmp(names[i], "kms") == 0 || (count == 1 && !admin);
        int *to = admin ? &passed->admin : &passed->kms;
        if ((!admin && !kms) || *to >= 0) {
            (void)snprintf(error->text, sizeof error->text,
                           "socket: systemd passed %d sockets, one of them named %.64s; want at "
                           "most one FileDescriptorName=kms and one FileDescriptorName=admin",
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
    struct passed passed = {-1, -1};
    struct listeners listeners;
    ret_error->key = kms.key;
    TRY(take_passed(&passed, ret_error));
    TRY(open_one(&kms, passed.kms, &listeners.kms, ret_error));
    struct err e = open_one(&admin, passed.admin, &listeners.admin, ret_error);
    if (err_is(e))
        listener_close(&listeners.kms);
    else
        *ret = listeners;
    return e;
}

void listeners_close(struct listeners *listeners)
{
    listener_close(&listeners->kms);
    listener_close(&listeners->admin);
}
