/* SPDX-License-Identifier: Apache-2.0 */
/* The real rpc server and accept step on a socket of their own, over a fake kms service. */
#ifndef P11KMS_STAND_H
#define P11KMS_STAND_H

#include "fake_kms.h"
#include "kms_api.h"
#include "kms_client.h"
#include "rpc_accept.h"

#include <setjmp.h> /* cmocka wants these four before it */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct stand {
    char directory[64];
    char path[96];
    int listen_fd;
    struct kms_service fake;
    struct kms_api *api;
    struct rpc_poller *poller;
    struct rpc_server *server;
    struct rpc_listener *listener; /* the accepting thread's, and locked against tests */
    pthread_mutex_t lock;
    pthread_t accepter;
    int stop_fd;
    atomic_uint refused[RPC_REFUSED_DESCRIPTORS + 1];
};

/* Setup and teardown of one test: *state is a struct stand. */
int stand_up(void **state);
int stand_down(void **state);

/* The parts of these, for servers of other methods: gRPC once a process, a socket with the methods
 * behind it, and its end. */
void stand_start_runtime(void);
void stand_serve(struct stand *stand, const struct rpc_method *methods, size_t n,
                 const struct rpc_access *access);
void stand_close(struct stand *stand);

/* Stops accepting, then the server. For tests that look at the stop itself. */
struct err stand_stop(struct stand *stand, int grace_ms);

void stand_set_access(struct stand *stand, const struct rpc_access *access);
size_t stand_connections(struct stand *stand);

/* A client of the stand; fails the test when it cannot connect. */
struct kms_client *stand_client(const struct stand *stand);

/* A connected, blocking socket, without gRPC. */
int stand_connect(const struct stand *stand);

/* Descriptors open in this process. */
size_t count_fds(void);

/* gRPC tells nobody when it has closed a descriptor: looks again until true, at most 10 s. */
#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int tries_ = 0;                                                                            \
        while (!(condition) && tries_++ < 5000)                                                    \
            (void)usleep(2000); /* lint: polls a condition */                                      \
        assert_true(condition);                                                                    \
    } while (0)

#endif
