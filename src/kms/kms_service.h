/* SPDX-License-Identifier: Apache-2.0 */
/* Making and feeding the service that kms.h describes; for the front end. */
#ifndef P11KMS_KMS_SERVICE_H
#define P11KMS_KMS_SERVICE_H

#include "keeper.h"
#include "kms.h"
#include "rotation.h"

/* The keyring and pool stay the caller's and outlive the service. */
MUST_CHECK struct err kms_service_new(struct keyring *keyring, struct lane_pool *pool,
                                      struct kms_service **ret);

/* Every request must have been answered. Accepts NULL. */
void kms_service_free(struct kms_service *service);

/* Must be called once before the first request; the keeper outlives the requests. */
void kms_service_set_keeper(struct kms_service *service, struct keeper *keeper);

/* Who counts the seals; before the first request. */
void kms_service_set_rotation(struct kms_service *service, struct rotation *rotation);

/* ring.verifySeals: whether v1 seals are opened again too; v2's always are. */
void kms_service_set_verify_v1(struct kms_service *service, bool verify);

/* ring.verifyOpens: whether what the token opened for v1, and for v2, is proved. */
void kms_service_set_verify_opens(struct kms_service *service, bool v1, bool v2);

/* The keeper's looked hook: answers what waited for this look at the token (0: for none), and what
 * has waited too long. */
void kms_service_looked(struct kms_service *service, uint64_t number);

#endif
