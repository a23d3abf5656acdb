/* SPDX-License-Identifier: Apache-2.0 */
/* A daemon before faultp11, and what must hold of it whatever the token does. Nothing here ends
 * the test: what is wrong is written down, and the next case goes on. */
#ifndef P11KMS_TORTURE_SCENE_H
#define P11KMS_TORTURE_SCENE_H

#include "faults.h"

#include <grpc/status.h>

enum {
    SCENE_CALLS_MAX = 256,
    SCENE_NAME_MAX = 32,
    SCENE_HEALTHY_MS = 5000, /* after the fault is gone */
    SCENE_TOLD_MS = 3000,    /* until Status tells of one that stays */
    SCENE_KEPT_MAX = 4096
};

/* What is wrong with a case; empty: nothing is. The first finding stays. */
struct verdict {
    char text[512];
};

#define WRONG(verdict, ...)                                                                        \
    ((verdict)->text[0] ? (void)0                                                                  \
                        : (void)snprintf((verdict)->text, sizeof(verdict)->text, __VA_ARGS__))

static inline bool is_wrong(const struct verdict *verdict)
{
    return verdict->text[0] != '\0';
}

/* The PKCS#11 calls that were made, in their order. */
struct calls {
    size_t n;
    char names[SCENE_CALLS_MAX][SCENE_NAME_MAX];
};

/* What was sealed, with which API. */
struct kept {
    enum kms_api_version version;
    struct kms_sealed sealed;
};

struct scene {
    struct harness *h;
    struct kms_client *client; /* one connection for all of a daemon's life */
    pid_t front_end;
    int fds;                                /* of the front end while all is well */
    unsigned objects;                       /* that the token holds */
    char key_id[KMS_CLIENT_KEY_ID_MAX + 1]; /* that Status names, whatever breaks */
    bool kek_in_doubt; /* what breaks may hide the KEK or change it: Status may be an error */
    struct kept *kept;
    size_t n_kept;
    int64_t slowest_ms; /* to be well again */
};

/* A daemon on a fresh ring, with more lines of configuration for token and ring; well. */
void scene_begin(struct scene *s, struct harness *h, const char *token, const char *ring);

/* Frees what the scene kept; the daemon is the harness' to end. */
void scene_end(struct scene *s);

/* Starts the daemon and connects; it need not be well. */
void scene_start(struct scene *s);

/* Waits until it is well and idle, and takes that as how it must be after each case. False: it
 * does not become well. */
bool scene_settle(struct scene *s, struct verdict *v);

/* Stops it; it has to end by itself, with 0. */
void scene_stop(struct scene *s, struct verdict *v);

/* Ends it whatever it takes, and starts it anew without any fault. For after a case that failed. */
void scene_restart(struct scene *s);

/* What is to happen from now on: one line of faultp11's script; "" for none. Calls are recorded
 * anew. */
void scene_arm(const struct scene *s, const char *line);

/* Calls recorded since then. */
void scene_calls(const struct scene *s, struct calls *ret);

/* The same once no more are made. */
void scene_calls_settled(const struct scene *s, struct calls *ret);

/* One call. What an Encrypt gave is kept. Yields the gRPC code; the failure's words go to text. */
int scene_encrypt(struct scene *s, enum kms_api_version version, struct verdict *v,
                  char text[static 256]);

/* Opens what was kept i-th. With *ret_other a plaintext that is another is told there instead of
 * being wrong. */
int scene_decrypt(struct scene *s, size_t i, struct verdict *v, char text[static 256],
                  bool *ret_other);

/* Well within the time: Status says so and calls succeed. Until then they say nothing untrue. */
void scene_expect_well(struct scene *s, int64_t since_ms, struct verdict *v);

/* The same processes and descriptors, the same objects on the token. */
void scene_expect_unchanged(struct scene *s, struct verdict *v);

/* The process that met the fault is gone. */
void scene_expect_ended(const struct scene *s, struct verdict *v);

/* No more logins than one an agent that was started. */
void scene_expect_logins(const struct scene *s, struct verdict *v);

/* Waits until Status says that. */
bool scene_await_status(const struct scene *s, const char *text, int timeout_ms, struct verdict *v);

/* What an operator does once the PIN is known to be right. */
void scene_mend_pin(const struct scene *s);

/* Lets go of what was kept last, if it was not of the first. */
void scene_forget_last(struct scene *s);

/* Everything that was kept opens. */
void scene_expect_all_opens(struct scene *s, struct verdict *v);

/* Status now. It must name the same KEK as ever, and be no error without a reason. False: it is an
 * error, and the text is its message. */
bool scene_status(const struct scene *s, struct verdict *v, char text[static 256]);

#endif
