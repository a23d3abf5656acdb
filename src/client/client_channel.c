/* SPDX-License-Identifier: Apache-2.0 */
#include "client_channel.h"

#include "cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grpc/grpc_posix.h>
#include <grpc/grpc_security.h>
#include <grpc/support/log.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

static pthread_once_t started = PTHREAD_ONCE_INIT;

/* What gRPC would log comes back as the status of the call. */
static void no_log(gpr_log_func_args *args)
{
    (void)args;
}

/* Stays up until the process ends: gRPC's own shutdown may take ten seconds. A server in the same
 * process has its own log filter, which must stay. */
static void start_grpc(void)
{
    if (!grpc_is_initialized())
        gpr_set_log_function(no_log);
    grpc_init();
}

static struct err address_of(const char *path, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof ret->sun_path)
        return err_make(ERR_INVALID, "the socket's path is empty or too long");
    memset(ret, 0, sizeof *ret);
    ret->sun_family = AF_UNIX;
    memcpy(ret->sun_path, path, len);
    if (path[0] == '@')
        ret->sun_path[0] = '\0';
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] != '@'));
    return ERR_OK;
}

static struct err connect_to(const char *path, int *ret)
{
    struct sockaddr_un address;
    socklen_t len = 0;
    TRY(address_of(path, &address, &len));
    AUTO_CLOSE int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_errno(errno, "socket");
    if (connect(fd, (const struct sockaddr *)&address, len) != 0) {
        if (errno == ECONNREFUSED)
            return err_make(ERR_UNAVAILABLE, "connect");
        return err_errno(errno, "connect");
    }
    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) != 0)
        return err_errno(errno, "fcntl");
    *ret = take_fd(&fd);
    return ERR_OK;
}

/* gRPC's arguments are char *, and it does not write to them. */
static char *constant(const char *text)
{
    union {
        const char *constant;
        char *plain;
    } both = {.constant = text};
    return both.plain;
}

struct err client_channel_open(const char *path, const char *authority, int receive_max,
                               grpc_channel **ret)
{
    int fd = -1;
    (void)pthread_once(&started, start_grpc);
    TRY(connect_to(path, &fd));
    grpc_arg args[] = {
        {.type = GRPC_ARG_STRING,
         .key = constant(GRPC_ARG_DEFAULT_AUTHORITY),
         .value.string = constant(authority)},
        {.type = GRPC_ARG_INTEGER,
         .key = constant(GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH),
         .value.integer = receive_max},
        {.type = GRPC_ARG_INTEGER, .key = constant(GRPC_ARG_ENABLE_RETRIES), .value.integer = 0},
    };
    grpc_channel_args channel_args = {sizeof args / sizeof args[0], args};
    grpc_channel_credentials *credentials = grpc_insecure_credentials_create();
    *ret = grpc_channel_create_from_fd("p11-kms", fd, credentials, &channel_args);
    grpc_channel_credentials_release(credentials);
    return ERR_OK;
}
