/* SPDX-License-Identifier: Apache-2.0 */
/* A blocking client of the Kubernetes KMS APIs, for this plugin or any other. */
#ifndef P11KMS_KMS_CLIENT_H
#define P11KMS_KMS_CLIENT_H

#include "bytes.h"
#include "cleanup.h"
#include "error.h"
#include "secret.h"

enum kms_api_version { KMS_API_V1BETA1, KMS_API_V2ALPHA1, KMS_API_V2, KMS_API_VERSIONS };

/* "v1beta1", "v2alpha1" or "v2". Never NULL. */
const char *kms_api_version_name(enum kms_api_version version);

/* Its gRPC service, such as "v2.KeyManagementService". version is one of the above. */
const char *kms_api_service_name(enum kms_api_version version);

/* ERR_USAGE when the word names none. */
MUST_CHECK struct err kms_api_version_parse(const char *name, enum kms_api_version *ret);

enum { KMS_CLIENT_KEY_ID_MAX = 1024, KMS_CLIENT_MESSAGE_MAX = 1023, KMS_CLIENT_TEXT_MAX = 1023 };

/* What the server said of a call that failed. code is gRPC's number and name its name, such as
 * 14 and "UNAVAILABLE"; 0 when no server answered at all. */
struct kms_failure {
    int code;
    const char *name;
    char message[KMS_CLIENT_MESSAGE_MAX + 1];
};

struct kms_client_options {
    const char *socket_path; /* of the filesystem, or "@name" for an abstract one */
    const char *authority;   /* the :authority of each call; NULL: "localhost" */
};

struct kms_client;

/* Connects. The first client starts gRPC in this process. ERR_NOT_FOUND or ERR_UNAVAILABLE:
 * nobody listens; ERR_DENIED: not for us. */
MUST_CHECK struct err kms_client_open(const struct kms_client_options *options,
                                      struct kms_client **ret);

/* Accepts NULL. */
void kms_client_close(struct kms_client *client);
DEFINE_CLEANUP(struct kms_client, kms_client_close);

/* What Status (v2) or Version (v1) answered, terminated and cut to size. healthz and key_id are
 * empty with v1beta1, runtime is empty with v2. */
struct kms_client_status {
    char version[KMS_CLIENT_TEXT_MAX + 1];
    char healthz[KMS_CLIENT_TEXT_MAX + 1];
    char key_id[KMS_CLIENT_KEY_ID_MAX + 1];
    char runtime[KMS_CLIENT_TEXT_MAX + 1]; /* name and version */
};

struct kms_annotation {
    char *name;
    struct bytes value;
};

/* What Encrypt answers and Decrypt takes. Owns its memory unless the caller filled it. */
struct kms_sealed {
    struct bytes ciphertext;
    char key_id[KMS_CLIENT_KEY_ID_MAX + 1]; /* empty with v1beta1 */
    struct kms_annotation *annotations;
    size_t n_annotations;
};

/* Frees what kms_client_encrypt allocated. */
void kms_sealed_release(struct kms_sealed *sealed);

/* The calls below wait up to timeout_ms. An answer of the server that is an error gives
 * ERR_UNAVAILABLE, ERR_DEADLINE, ERR_INVALID, ERR_NOT_FOUND, ERR_EXHAUSTED, ERR_DENIED,
 * ERR_UNSUPPORTED, ERR_TOKEN (FAILED_PRECONDITION) or ERR_INTERNAL, and *ret_failure, which is
 * written in every case of failure, its words. One thread uses a client. */
MUST_CHECK struct err kms_client_status(struct kms_client *client, enum kms_api_version version,
                                        int timeout_ms, struct kms_client_status *ret,
                                        struct kms_failure *ret_failure);

MUST_CHECK struct err kms_client_encrypt(struct kms_client *client, enum kms_api_version version,
                                         struct bytes plaintext, int timeout_ms,
                                         struct kms_sealed *ret, struct kms_failure *ret_failure);

/* ret_plaintext has room for the plaintext; ERR_EXHAUSTED when it has not. */
MUST_CHECK struct err kms_client_decrypt(struct kms_client *client, enum kms_api_version version,
                                         const struct kms_sealed *sealed, int timeout_ms,
                                         struct secret *ret_plaintext,
                                         struct kms_failure *ret_failure);

#endif
