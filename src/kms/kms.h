/* SPDX-License-Identifier: Apache-2.0 */
/* The KMS service: what an Encrypt, a Decrypt and a Status mean, whichever API asks. */
#ifndef P11KMS_KMS_H
#define P11KMS_KMS_H

#include "envelope.h"
#include "error.h"

#include <stdatomic.h>

enum kms_op { KMS_ENCRYPT, KMS_DECRYPT };

/* How a request ended. Everything is borrowed until the callback returns. */
struct kms_result {
    enum err_code code;          /* rpc maps it to a gRPC code */
    const char *message;         /* for the client; "" with ERR_NONE; names no secret */
    struct bytes output;         /* envelope or plaintext; empty unless ERR_NONE */
    const struct key_id *key_id; /* of the KEK that sealed; NULL unless an Encrypt's ERR_NONE */
};

typedef void kms_done(void *context, const struct kms_result *result);

/* One internal request, made by an API version file from its message. */
struct kms_request {
    enum kms_op op;
    enum family family;           /* FAMILY_V1 or FAMILY_V2 */
    struct bytes input;           /* plaintext or envelope; borrowed during kms_submit only */
    bool has_key_id;              /* Decrypt where the API sends it */
    struct bytes key_id;          /* borrowed during kms_submit only */
    uint64_t connection;          /* whose request it is: connections take turns at the token */
    int64_t deadline_ns;          /* clock_monotonic_ns(); INT64_MAX: none */
    const atomic_bool *cancelled; /* the client is gone: lives until done was called */
    kms_done *done; /* called exactly once, on any thread, maybe before kms_submit returns */
    void *context;
};

struct kms_service;

/* Checks the request and hands it to a lane, or answers it at once. Never blocks, so that the
 * polling thread may call it. Thread-safe. */
void kms_submit(struct kms_service *service, const struct kms_request *request);

/* What Status answers, by value. */
struct kms_status {
    bool failed;       /* the active KEK is proved missing or changed: an RPC error, with healthz
                          as its message */
    char healthz[512]; /* exactly "ok", or one line an operator can act on */
    char key_id[KEY_ID_MAX + 1]; /* the active KEK's, or the last known; empty: none ever */
};

/* From memory, in microseconds; never waits for a token. Thread-safe. */
void kms_status(struct kms_service *service, struct kms_status *ret);

#endif
