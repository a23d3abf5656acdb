/* SPDX-License-Identifier: Apache-2.0 */
/* The Kubernetes KMS APIs as methods of an rpc_server: v1beta1, v2alpha1 and v2. */
#ifndef P11KMS_KMS_API_H
#define P11KMS_KMS_API_H

#include "kms.h"
#include "rpc_server.h"

struct kms_api;

enum { KMS_API_METHODS = 9 };

/* service is borrowed until kms_api_free. status_version: what Status of the package v2 answers,
 * "v2beta1" or "v2"; copied. ERR_EXHAUSTED. */
MUST_CHECK struct err kms_api_new(struct kms_service *service, const char *status_version,
                                  struct kms_api **ret);

/* The method table for rpc_server_start; lives as long as api. */
const struct rpc_method *kms_api_methods(const struct kms_api *api, size_t *ret_n);

/* Whether this is the name of one of the services, such as "v2.KeyManagementService". */
bool kms_api_has(struct bytes service);

/* Accepts NULL. After the server has stopped. */
void kms_api_free(struct kms_api *api);

#endif
