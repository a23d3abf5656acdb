/* SPDX-License-Identifier: Apache-2.0 */
/* A kms service for protocol tests: no token, and delays that the test controls. */
#ifndef P11KMS_FAKE_KMS_H
#define P11KMS_FAKE_KMS_H

#include "kms.h"

#include <pthread.h>

#define FAKE_KEY_ID "k8s.fake"

enum fake_mode {
    FAKE_AT_ONCE, /* answered inside kms_submit */
    FAKE_HOLD,    /* kept until fake_release */
    FAKE_THREAD,  /* answered by another thread as it comes */
    FAKE_STALL    /* kms_submit itself blocks until fake_release: no real service does that */
};

enum { FAKE_HELD_MAX = 4096, FAKE_INPUT_MAX = 1024 };

struct fake_held {
    struct kms_request request;
    uint8_t input[FAKE_INPUT_MAX];
};

struct kms_service {
    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    enum fake_mode mode;
    bool ended;
    struct kms_status status;
    enum err_code fail; /* what every request ends with, when not ERR_NONE */
    const char *fail_message;
    unsigned submitted;
    struct kms_request last; /* its borrowed ranges are not to be used, but: */
    char last_key_id[KEY_ID_MAX + 1];
    struct fake_held *held;
    size_t n_held;
    pthread_t replier;
};

/* Encrypt puts a byte 0xee before the plaintext, Decrypt takes it away. */
void fake_start(struct kms_service *fake);
void fake_set_mode(struct kms_service *fake, enum fake_mode mode);

/* Waits until n requests are held, or as many were submitted in all. */
void fake_wait_held(struct kms_service *fake, size_t n);
void fake_wait_submitted(struct kms_service *fake, unsigned n);

/* Waits until the first held request's client is gone. */
void fake_wait_cancelled(struct kms_service *fake);

/* Answers what is held, and whatever comes from now on at once. */
void fake_release(struct kms_service *fake);

unsigned fake_submitted(struct kms_service *fake);

/* What Status answers, and what every request ends with when code is not ERR_NONE. */
void fake_set_status(struct kms_service *fake, struct kms_status status);
void fake_set_failure(struct kms_service *fake, enum err_code code, const char *message);

/* The last request; of its borrowed ranges only the lengths. key_id has KEY_ID_MAX + 1 bytes, or
 * is NULL. */
struct kms_request fake_last(struct kms_service *fake, char *ret_key_id);

/* After the server has stopped. */
void fake_end(struct kms_service *fake);

#endif
