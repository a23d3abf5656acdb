/* SPDX-License-Identifier: Apache-2.0 */
/* One token operation of the KMS service, and who waits for it; for the files of this folder. */
#ifndef P11KMS_KMS_JOB_H
#define P11KMS_KMS_JOB_H

#include "keyring.h"
#include "kms.h"
#include "lane_pool.h"

/* Somebody who waits for a job's end. */
struct waiter {
    kms_done *done;
    void *context;
    const atomic_bool *cancelled;
    int64_t deadline_ns;
    struct waiter *next;
};

/* An Encrypt, or a Decrypt for everybody who asked the same at once (flight_join). */
struct job {
    struct lane_job lane; /* first: the pool gives it back */
    struct kms_service *service;
    struct ring_view *view;
    const struct kek *kek; /* in view */
    enum kms_op op;
    enum family family;
    uint64_t connection;    /* of the first who asked: it waits in that one's turns */
    struct object_id id;    /* Decrypt: the KEK that the envelope names */
    struct waiter *waiters; /* guarded by the flights' lock, as are the next three */
    bool shared;            /* stands in a bucket */
    uint64_t hash;
    struct job *next; /* in a bucket or among the parked */
    uint64_t look;    /* parked: what it waits for */
    size_t envelope_len;
    uint8_t envelope[]; /* Decrypt */
};

static inline struct bytes job_envelope(const struct job *job)
{
    return bytes_of(job->envelope, job->envelope_len);
}

#endif
