/* SPDX-License-Identifier: Apache-2.0 */
/* What the fifteen assertions say to a plugin: one row per API, and calls that fail the test when
 * they do not end as they should. */
#ifndef P11KMS_TEST_PEER_H
#define P11KMS_TEST_PEER_H

#include "harness.h"

enum { PEER_CALL_MS = 3000 /* kube-apiserver's default */, DEK_LEN = 32 };

struct api {
    enum kms_api_version version;
    const char *status_version; /* what Status or Version answers by default */
    bool v1;                    /* no key_id, uid or annotations on the wire */
};

/* Every proto package that some kube-apiserver calls; the index is enum kms_api_version. */
extern const struct api apis[KMS_API_VERSIONS];

/* A plaintext as kube-apiserver's are: an AES key or a seed. */
struct dek {
    uint8_t data[DEK_LEN];
};

struct dek random_dek(void);
struct bytes dek_bytes(const struct dek *dek);

/* The calls. Release what was sealed with kms_sealed_release. */
struct kms_client_status peer_status(struct kms_client *client, const struct api *api);
struct kms_sealed peer_seal(struct kms_client *client, const struct api *api,
                            struct bytes plaintext);
void peer_open(struct kms_client *client, const struct api *api, const struct kms_sealed *sealed,
               struct bytes expected);

/* Whether a Decrypt is answered with an error that blames the request; says so if not. */
bool peer_refuses(struct kms_client *client, const struct api *api, const struct kms_sealed *sealed,
                  const char *what, size_t at);

/* Starts the daemon and waits until it is healthy. */
void peer_serve(struct harness *h);

/* Ends it in order and serves again. */
void peer_restart(struct harness *h);

/* Serves with a second daemon on the same token, which shares nothing else with the first. top:
 * more lines for its config, as in struct harness_config. End it with harness_stop. */
void peer_serve_replica(const struct harness *h, const char *top, struct harness *ret);

/* Puts a newer active KEK on the token and tells the daemon to look. */
void peer_begin_rotation(const struct harness *h, const char *generation);

/* And waits until Status names it. */
void peer_rotate(const struct harness *h, const char *generation, struct kms_client_status *ret);

#endif
