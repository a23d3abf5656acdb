/* SPDX-License-Identifier: Apache-2.0 */
/* What each API version's file gives to the table in kms_client.c. */
#ifndef P11KMS_CLIENT_VERSIONS_H
#define P11KMS_CLIENT_VERSIONS_H

#include "client_call.h"

/* One call's constant part. */
struct client_target {
    struct kms_client *client;
    const char *service;
    int timeout_ms;
};

struct client_version {
    struct err (*status)(const struct client_target *target, struct kms_client_status *ret,
                         struct kms_failure *ret_failure);
    struct err (*encrypt)(const struct client_target *target, struct bytes plaintext,
                          struct kms_sealed *ret, struct kms_failure *ret_failure);
    struct err (*decrypt)(const struct client_target *target, const struct kms_sealed *sealed,
                          struct secret *ret_plaintext, struct kms_failure *ret_failure);
};

extern const struct client_version client_v1beta1;
extern const struct client_version client_v2; /* v2alpha1 too: the same bytes */

#endif
