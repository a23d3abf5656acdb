/* SPDX-License-Identifier: Apache-2.0 */
/* The real daemon on a SoftHSM token in a temporary directory, for tests of the whole. Whichever
 * way a test ends, processes and directory end with it. */
#ifndef P11KMS_TEST_HARNESS_H
#define P11KMS_TEST_HARNESS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "await.h"
#include "kms_client.h"
#include "process.h"

#include <limits.h>

/* A sanitizer's build: its memory and its speed are not the program's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARNESS_SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HARNESS_SANITIZED true
#endif
#endif
#ifndef HARNESS_SANITIZED
#define HARNESS_SANITIZED false
#endif

enum {
    HARNESS_SKIPPED = 77,
    HARNESS_START_MS = 20000, /* until a daemon answers: the machine may be busy */
    HARNESS_CALL_MS = 10000,
    HARNESS_PATH_MAX = 256
};

/* What a test may change before harness_write_config. */
struct harness_config {
    char module[HARNESS_PATH_MAX];
    char uri[128];
    char pin_source[HARNESS_PATH_MAX];
    const char *top; /* more lines of YAML, each with its newline; "" for none */
    const char *token;
    const char *ring;
};

struct harness {
    char dir[64]; /* holds everything */
    char config_path[HARNESS_PATH_MAX];
    char socket[HARNESS_PATH_MAX];
    char admin_socket[HARNESS_PATH_MAX];
    char log[HARNESS_PATH_MAX]; /* of all daemons of this test; shown unless it passed */
    struct harness_config config;
    pid_t monitor; /* 0: none runs */
    int broom;
    bool passed; /* a test's last statement sets it */
};

/* Runs a group; the value for main to return. 77 without SoftHSM. After `seconds` the log is shown
 * and the program ends. */
int harness_run(const char *suite, const struct CMUnitTest *tests, size_t n, unsigned seconds);
#define HARNESS_RUN(suite, tests, seconds)                                                         \
    harness_run(suite, tests, sizeof(tests) / sizeof *(tests), seconds)

/* cmocka set-up and tear-down: a token, a config, a ring with its first KEK; no daemon yet. */
int harness_setup(void **state);
int harness_teardown(void **state);

/* DIR/name. */
void harness_path(const struct harness *h, const char *name, char ret[static HARNESS_PATH_MAX]);

/* Replaces DIR/name. */
void harness_write(const struct harness *h, const char *name, const char *text, mode_t mode);

/* Writes h->config to the config file, with $P11KMS_TEST_SCHEME as ring.scheme where that is set.
 */
void harness_write_config(const struct harness *h);

/* A file as text; "" when it is not there. */
const char *harness_read(const char *path, char *text, size_t size);

/* One more SoftHSM token in the same store. */
void harness_add_token(const struct harness *h, const char *label);

/* A KEK made as a rotation makes it. */
void harness_make_kek(const struct harness *h, const char *generation);

/* Starts p11-kmsd and waits until Status is answered, with whatever health. */
void harness_start(struct harness *h);

/* SIGTERM; the exit code must be 0. Nothing to do without a daemon. */
void harness_stop(struct harness *h);

/* Starts p11-kmsd and is not disturbed when it ends. */
pid_t harness_spawn(const struct harness *h, const char *output);

/* The children of the monitor, waiting until each is there. */
pid_t harness_front_end(const struct harness *h);
pid_t harness_agent(const struct harness *h);

/* A new connection; close it with kms_client_close. */
struct kms_client *harness_client(const struct harness *h);

/* Asks Status (v2) over a new connection. False when the RPC failed. */
bool harness_status(const struct harness *h, struct kms_client_status *ret);

/* Waits until Status answers with healthz holding `text`; "ok" means exactly that. Returns the
 * milliseconds it took. */
int64_t harness_await_health(const struct harness *h, const char *text, int timeout_ms);

/* Encrypt and Decrypt with every API over a new connection, compared. */
void harness_round_trips(const struct harness *h);

/* Waits until the daemon has closed its end of all connections. */
void harness_await_no_connections(struct harness *h);

#endif
